#include "agent/cli/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/sysmacros.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "repo/format/file_mode.h"

namespace firn::cli {
namespace {

using format::FileType;

struct FreeArchive {
  void operator()(struct archive* handle) const noexcept { ::archive_write_free(handle); }
};
struct FreeEntry {
  void operator()(struct archive_entry* entry) const noexcept { ::archive_entry_free(entry); }
};

std::uint32_t little(ByteView bytes, std::size_t offset, std::size_t count) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    value |= static_cast<std::uint32_t>(bytes[offset + i]) << (8 * i);
  }
  return value;
}

/// The kernel's form of a POSIX ACL: version u32, then tag u16, permissions u16, id u32 each. False for
/// anything else: it then stays an extended attribute.
bool add_acl(struct archive_entry* entry, int kind, ByteView acl) {
  constexpr std::size_t kHeader = 4;
  constexpr std::size_t kItem = 8;
  if (acl.size() < kHeader || (acl.size() - kHeader) % kItem != 0 || little(acl, 0, 4) != 2) {
    return false;
  }
  for (std::size_t at = kHeader; at < acl.size(); at += kItem) {
    int tag = 0;
    switch (little(acl, at, 2)) {
      case 0x01:
        tag = ARCHIVE_ENTRY_ACL_USER_OBJ;
        break;
      case 0x02:
        tag = ARCHIVE_ENTRY_ACL_USER;
        break;
      case 0x04:
        tag = ARCHIVE_ENTRY_ACL_GROUP_OBJ;
        break;
      case 0x08:
        tag = ARCHIVE_ENTRY_ACL_GROUP;
        break;
      case 0x10:
        tag = ARCHIVE_ENTRY_ACL_MASK;
        break;
      case 0x20:
        tag = ARCHIVE_ENTRY_ACL_OTHER;
        break;
      default:
        return false;
    }
    const auto permissions = static_cast<int>(little(acl, at + 2, 2) & 7U);  // r 4, w 2, x 1, as libarchive's
    const bool has_id = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;
    const std::uint32_t id = has_id ? little(acl, at + 4, 4) : UINT32_MAX;
    // libarchive's ids are ints: a larger one goes as a name, which tar reads as a number again.
    const std::string name = has_id && id > INT32_MAX ? std::to_string(id) : std::string();
    if (::archive_entry_acl_add_entry(entry, kind, permissions, tag, name.empty() ? static_cast<int>(id) : -1,
                                      name.empty() ? nullptr : name.c_str()) != ARCHIVE_OK) {
      return false;
    }
  }
  return true;
}

}  // namespace

struct ArchiveWriter::State {
  Sink sink;
  std::optional<Error> sink_error;
  std::unique_ptr<struct archive, FreeArchive> handle;
  bool is_tar = true;

  Result<> check(la_ssize_t code, const std::string& what) {
    if (sink_error) {
      return Failure(*sink_error);
    }
    // Warnings are about names that no character set holds; the bytes are written all the same.
    if (code >= 0 || code == ARCHIVE_WARN) {
      return {};
    }
    const char* why = ::archive_error_string(handle.get());
    return fail(code == ARCHIVE_FAILED ? ErrorCode::Unsupported : ErrorCode::Unavailable,
                what + ": " + (why == nullptr ? "the archive does not take it" : why));
  }

  static la_ssize_t write(struct archive*, void* self, const void* buffer, std::size_t size) {
    auto* state = static_cast<State*>(self);
    auto written = state->sink({static_cast<const std::byte*>(buffer), size});
    if (!written) {
      state->sink_error = std::move(written).error();
      return -1;
    }
    return static_cast<la_ssize_t>(size);
  }
};

ArchiveWriter::ArchiveWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
ArchiveWriter::~ArchiveWriter() = default;

Result<std::unique_ptr<ArchiveWriter>> ArchiveWriter::open(ArchiveKind kind, Sink sink) {
  auto state = std::make_unique<State>();
  state->sink = std::move(sink);
  state->handle.reset(::archive_write_new());
  state->is_tar = kind == ArchiveKind::Tar;
  struct archive* handle = state->handle.get();
  const int format =
      state->is_tar ? ::archive_write_set_format_pax(handle) : ::archive_write_set_format_zip(handle);
  FIRN_TRY(state->check(format, "archive"));
  if (state->is_tar) {
    // The one form of extended attributes that GNU tar reads, too.
    FIRN_TRY(
        state->check(::archive_write_set_format_option(handle, "pax", "xattrheader", "SCHILY"), "archive"));
  }
  ::archive_write_set_bytes_in_last_block(handle, 1);
  FIRN_TRY(
      state->check(::archive_write_open(handle, state.get(), nullptr, State::write, nullptr), "archive"));
  return std::unique_ptr<ArchiveWriter>(new ArchiveWriter(std::move(state)));
}

Result<> ArchiveWriter::begin(const format::Entry& entry, const Member& member) {
  const std::unique_ptr<struct archive_entry, FreeEntry> header(::archive_entry_new());
  struct archive_entry* out = header.get();
  ::archive_entry_copy_pathname(out, member.path.c_str());
  ::archive_entry_set_mode(out, format::file_type_bits(entry.type) | entry.mode);
  ::archive_entry_set_uid(out, entry.uid);
  ::archive_entry_set_gid(out, entry.gid);
  ::archive_entry_set_mtime(out, entry.mtime.seconds, entry.mtime.nanoseconds);
  if (state_->is_tar) {
    ::archive_entry_set_ctime(out, entry.ctime.seconds, entry.ctime.nanoseconds);
    if (entry.atime) {
      ::archive_entry_set_atime(out, entry.atime->seconds, entry.atime->nanoseconds);
    }
  }
  if (entry.type == FileType::Symlink) {
    ::archive_entry_copy_symlink(out, entry.target.c_str());
  }
  if (entry.type == FileType::Block || entry.type == FileType::Character) {
    ::archive_entry_set_rdev(out, ::makedev(static_cast<unsigned>(entry.rdev >> 32),
                                            static_cast<unsigned>(entry.rdev & 0xFFFFFFFF)));
  }
  if (!member.hard_link.empty()) {
    ::archive_entry_copy_hardlink(out, member.hard_link.c_str());
    ::archive_entry_set_size(out, 0);
    return state_->check(::archive_write_header(state_->handle.get(), out), member.path);
  }
  ::archive_entry_set_size(out,
                           entry.type == FileType::Regular ? static_cast<la_int64_t>(entry.size_bytes) : 0);
  if (state_->is_tar) {
    for (const format::ExtendedAttribute& attribute : member.xattrs) {
      const bool is_acl = (attribute.name == "system.posix_acl_access" &&
                           add_acl(out, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, attribute.value)) ||
                          (attribute.name == "system.posix_acl_default" &&
                           add_acl(out, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, attribute.value));
      if (!is_acl) {
        ::archive_entry_xattr_add_entry(out, attribute.name.c_str(), attribute.value.data(),
                                        attribute.value.size());
      }
    }
    // libarchive wants the ranges that hold data.
    std::uint64_t position = 0;
    for (const format::Hole& hole : member.holes) {
      if (hole.offset > position) {
        ::archive_entry_sparse_add_entry(out, static_cast<la_int64_t>(position),
                                         static_cast<la_int64_t>(hole.offset - position));
      }
      position = hole.offset + hole.length;
    }
    if (!member.holes.empty() && position < entry.size_bytes) {
      ::archive_entry_sparse_add_entry(out, static_cast<la_int64_t>(position),
                                       static_cast<la_int64_t>(entry.size_bytes - position));
    }
  }
  return state_->check(::archive_write_header(state_->handle.get(), out), member.path);
}

Result<> ArchiveWriter::data(ByteView bytes) {
  while (!bytes.empty()) {
    const la_ssize_t written = ::archive_write_data(state_->handle.get(), bytes.data(), bytes.size());
    FIRN_TRY(state_->check(written, "archive"));
    if (written == 0) {
      return fail(ErrorCode::Unavailable, "archive: a file is longer than it said");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<> ArchiveWriter::finish() {
  return state_->check(::archive_write_close(state_->handle.get()), "archive");
}

}  // namespace firn::cli
