#include "repo/format/tree.h"

#include <algorithm>

#include "repo/format/blobs.h"
#include "repo/format/detail/slice_codec.h"

namespace firn::format {
namespace {

constexpr std::uint8_t kEntryTag = 2;
constexpr std::uint16_t kModeMax = 07777;
constexpr std::uint32_t kNanosecondsMax = 999'999'999;

// Flags of an E. The last three are for regular files only.
constexpr std::uint8_t kChanged = 1;
constexpr std::uint8_t kHasAtime = 2;
constexpr std::uint8_t kHasHoles = 4;
constexpr std::uint8_t kHasDigest = 8;
constexpr std::uint8_t kHasXattrs = 16;
constexpr std::uint8_t kHasInodeFlags = 32;
constexpr std::uint8_t kHasProject = 64;
constexpr std::uint8_t kRegularFlags = kChanged | kHasHoles | kHasDigest;
constexpr std::uint8_t kFlagsAll = 127;

bool is_device(FileType type) { return type == FileType::Block || type == FileType::Character; }

std::uint64_t length_of(const std::vector<Slice>& slices) {
  std::uint64_t length = 0;
  for (const Slice& slice : slices) {
    length += slice.length;
  }
  return length;
}

// ---- writing

bool blob_is_valid(const Blob& blob, std::size_t inline_bytes_max) {
  switch (blob.form) {
    case BlobForm::Empty:
      return true;
    case BlobForm::Inline:
      return !blob.inline_bytes.empty() && blob.inline_bytes.size() <= inline_bytes_max;
    case BlobForm::Slices:
      return !blob.slices.empty() && blob.slices.size() <= kEntrySlicesMax &&
             std::all_of(blob.slices.begin(), blob.slices.end(), detail::slice_is_valid);
    case BlobForm::Pages:
      return blob.pages.length >= 1 && blob.pages.length <= kFileBytesMax;
  }
  return false;
}

void write_blob(base::Writer& out, const Blob& blob) {
  out.u8(static_cast<std::uint8_t>(blob.form));
  switch (blob.form) {
    case BlobForm::Empty:
      return;
    case BlobForm::Inline:
      out.varint(blob.inline_bytes.size());
      out.bytes(blob.inline_bytes);
      return;
    case BlobForm::Slices:
      out.u8(static_cast<std::uint8_t>(blob.slices.size()));
      for (const Slice& slice : blob.slices) {
        detail::write_slice(out, slice);
      }
      return;
    case BlobForm::Pages:
      out.varint(blob.pages.length);
      out.bytes(blob.pages.root.bytes);
      out.bytes(blob.pages.refs.bytes);
      return;
  }
}

void write_time(base::Writer& out, const Timestamp& time) {
  out.signed_varint(time.seconds);
  out.u32(time.nanoseconds);
}

/// Puts the length of what stands in `out` from `at` on before it.
void insert_length(Bytes& out, std::size_t at) {
  std::array<std::byte, base::kVarintBytesMax> length{};
  const std::size_t size = base::encode_varint(out.size() - at, length);
  out.insert(out.begin() + static_cast<std::ptrdiff_t>(at), length.begin(),
             length.begin() + static_cast<std::ptrdiff_t>(size));
}

std::uint8_t flags_of(const Entry& entry) {
  unsigned flags = 0;
  const auto set = [&flags](bool condition, std::uint8_t flag) { flags |= condition ? flag : 0U; };
  set(entry.changed_while_read, kChanged);
  set(entry.atime.has_value(), kHasAtime);
  set(entry.holes.form != BlobForm::Empty, kHasHoles);
  set(entry.digest.has_value(), kHasDigest);
  set(entry.xattrs.form != BlobForm::Empty, kHasXattrs);
  set(entry.inode_flags != 0, kHasInodeFlags);
  set(entry.project_id != 0, kHasProject);
  return static_cast<std::uint8_t>(flags);
}

// ---- what must be true of an entry, whoever made it

/// Size, content and holes of a regular file fit each other as far as the entry alone can tell.
bool sizes_fit(std::uint64_t size_bytes, std::uint64_t content_bytes, BlobForm holes_form,
               ByteView inline_holes) {
  if (size_bytes > kFileBytesMax || content_bytes > size_bytes) {
    return false;
  }
  if (holes_form == BlobForm::Empty) {
    return content_bytes == size_bytes;
  }
  if (holes_form == BlobForm::Inline) {
    return parse_holes(inline_holes, size_bytes, content_bytes).has_value();
  }
  return content_bytes < size_bytes;
}

bool time_is_valid(const Timestamp& time) { return time.nanoseconds <= kNanosecondsMax; }

bool entry_is_valid(const Entry& e) {
  const auto type = static_cast<std::uint8_t>(e.type);
  const bool regular = e.type == FileType::Regular;
  const bool symlink = e.type == FileType::Symlink;
  const bool common = type >= 1 && type <= 7 && e.mode <= kModeMax &&
                      (e.name.empty() || name_is_valid(e.name)) && time_is_valid(e.mtime) &&
                      time_is_valid(e.ctime) && (!e.atime || time_is_valid(*e.atime)) &&
                      blob_is_valid(e.xattrs, kInlineBlobBytesMax) && e.xattrs.length() <= kXattrsBytesMax &&
                      (e.xattrs.form != BlobForm::Inline || xattrs_are_valid(e.xattrs.inline_bytes));
  const bool fits_type = (regular || ((flags_of(e) & kRegularFlags) == 0 && e.size_bytes == 0 &&
                                      e.content.form == BlobForm::Empty)) &&
                         symlink == !e.target.empty() && e.target.size() <= kTargetBytesMax &&
                         e.target.find('\0') == std::string::npos && (is_device(e.type) || e.rdev == 0);
  const bool content_fits =
      !regular ||
      (blob_is_valid(e.content, kInlineContentBytesMax) && blob_is_valid(e.holes, kInlineBlobBytesMax) &&
       sizes_fit(e.size_bytes, e.content.length(), e.holes.form, e.holes.inline_bytes));
  return common && fits_type && content_fits;
}

// ---- reading

void read_time(base::Reader& in, Timestamp& time) {
  time.seconds = in.signed_varint();
  time.nanoseconds = in.u32();
  in.require(time_is_valid(time));
}

void read_blob(base::Reader& in, std::size_t inline_bytes_max, BlobView& blob) {
  blob = BlobView{};
  const std::uint8_t form = in.u8();
  in.require(form <= static_cast<std::uint8_t>(BlobForm::Pages));
  blob.form = static_cast<BlobForm>(form);
  switch (blob.form) {
    case BlobForm::Empty:
      return;
    case BlobForm::Inline:
      blob.length = in.varint_up_to(inline_bytes_max);
      in.require(blob.length >= 1);
      blob.inline_bytes = in.bytes(blob.length);
      return;
    case BlobForm::Slices: {
      const std::uint8_t count = in.u8();
      in.require(count >= 1 && count <= kEntrySlicesMax);
      const std::byte* begin = in.position();
      for (std::uint8_t i = 0; in.ok() && i < count; ++i) {
        Slice slice;
        detail::read_slice(in, slice);
        blob.length += slice.length;
      }
      if (in.ok()) {
        blob.slices = SliceListView({begin, in.position()}, count);
      }
      return;
    }
    case BlobForm::Pages:
      blob.pages.length = in.varint_up_to(kFileBytesMax);
      in.require(blob.pages.length >= 1);
      in.into(blob.pages.root.bytes);
      in.into(blob.pages.refs.bytes);
      blob.length = blob.pages.length;
      return;
  }
}

void read_regular(base::Reader& in, std::uint8_t flags, EntryView& entry) {
  entry.size_bytes = in.varint_up_to(kFileBytesMax);
  read_blob(in, kInlineContentBytesMax, entry.content);
  if ((flags & kHasHoles) != 0) {
    read_blob(in, kInlineBlobBytesMax, entry.holes);
    in.require(entry.holes.form != BlobForm::Empty);
  }
  if (in.ok()) {
    in.require(sizes_fit(entry.size_bytes, entry.content.length, entry.holes.form, entry.holes.inline_bytes));
  }
  if ((flags & kHasDigest) != 0) {
    in.into(entry.digest.emplace().bytes);
  }
}

void read_by_type(base::Reader& in, std::uint8_t flags, EntryView& entry) {
  if (entry.type == FileType::Regular) {
    read_regular(in, flags, entry);
  } else if (entry.type == FileType::Symlink) {
    entry.target = in.text(in.varint_up_to(kTargetBytesMax));
    in.require(!entry.target.empty() && entry.target.find('\0') == std::string_view::npos);
  } else if (is_device(entry.type)) {
    const std::uint64_t major = in.varint32();
    entry.rdev = major << 32 | in.varint32();
  }
}

/// A number that is there because a flag says so, and so is not 0.
std::uint32_t read_flagged(base::Reader& in, std::uint8_t flags, std::uint8_t flag) {
  if ((flags & flag) == 0) {
    return 0;
  }
  const std::uint32_t value = in.varint32();
  in.require(value != 0);
  return value;
}

void read_entry_body(base::Reader& in, EntryView& entry) {
  const std::uint8_t type = in.u8();
  const std::uint8_t flags = in.u8();
  in.require(type >= 1 && type <= 7 && flags <= kFlagsAll);
  in.require(type == static_cast<std::uint8_t>(FileType::Regular) || (flags & kRegularFlags) == 0);
  entry.type = static_cast<FileType>(type);
  entry.changed_while_read = (flags & kChanged) != 0;
  entry.mode = in.u16();
  in.require(entry.mode <= kModeMax);
  entry.name = in.text(in.u8());
  in.require(entry.name.empty() || name_is_valid(entry.name));
  entry.uid = in.varint32();
  entry.gid = in.varint32();
  read_time(in, entry.mtime);
  read_time(in, entry.ctime);
  if ((flags & kHasAtime) != 0) {
    read_time(in, entry.atime.emplace());
  }
  entry.inode = in.varint();
  entry.device = in.varint32();
  entry.nlink = in.varint32();
  if (in.ok()) {
    read_by_type(in, flags, entry);
  }
  if ((flags & kHasXattrs) != 0) {
    read_blob(in, kInlineBlobBytesMax, entry.xattrs);
    in.require(entry.xattrs.form != BlobForm::Empty && entry.xattrs.length <= kXattrsBytesMax);
    in.require(entry.xattrs.form != BlobForm::Inline || xattrs_are_valid(entry.xattrs.inline_bytes));
  }
  entry.inode_flags = read_flagged(in, flags, kHasInodeFlags);
  entry.project_id = read_flagged(in, flags, kHasProject);
}

Blob to_blob(const BlobView& view) {
  Blob blob{
      .form = view.form, .inline_bytes = to_bytes(view.inline_bytes), .slices = {}, .pages = view.pages};
  blob.slices.reserve(view.slices.size());
  for (const Slice& slice : view.slices) {
    blob.slices.push_back(slice);
  }
  return blob;
}

}  // namespace

Slice SliceListView::Iterator::operator*() const {
  base::Reader in(rest_);
  Slice slice;
  detail::read_slice(in, slice);
  return slice;
}

SliceListView::Iterator& SliceListView::Iterator::operator++() {
  base::Reader in(rest_);
  Slice slice;
  detail::read_slice(in, slice);
  rest_ = rest_.last(in.remaining());
  return *this;
}

std::uint64_t Blob::length() const {
  switch (form) {
    case BlobForm::Empty:
      return 0;
    case BlobForm::Inline:
      return inline_bytes.size();
    case BlobForm::Slices:
      return length_of(slices);
    case BlobForm::Pages:
      return pages.length;
  }
  return 0;
}

bool Blob::operator==(const Blob& other) const {
  return form == other.form && (form != BlobForm::Inline || inline_bytes == other.inline_bytes) &&
         (form != BlobForm::Slices || slices == other.slices) &&
         (form != BlobForm::Pages || pages == other.pages);
}

Entry to_entry(const EntryView& view) {
  Entry entry;
  static_cast<EntryFields&>(entry) = view;
  entry.name = view.name;
  entry.target = view.target;
  entry.content = to_blob(view.content);
  entry.holes = to_blob(view.holes);
  entry.xattrs = to_blob(view.xattrs);
  return entry;
}

Result<> encode_entry(const Entry& entry, Bytes& out) {
  if (!entry_is_valid(entry)) {
    return fail(ErrorCode::Invalid, "the format cannot hold this entry: " + entry.name);
  }
  base::Writer writer(out);
  writer.u8(kEntryTag);
  const std::size_t body_at = out.size();
  writer.u8(static_cast<std::uint8_t>(entry.type));
  writer.u8(flags_of(entry));
  writer.u16(entry.mode);
  writer.u8(static_cast<std::uint8_t>(entry.name.size()));
  writer.text(entry.name);
  writer.varint(entry.uid);
  writer.varint(entry.gid);
  write_time(writer, entry.mtime);
  write_time(writer, entry.ctime);
  if (entry.atime) {
    write_time(writer, *entry.atime);
  }
  writer.varint(entry.inode);
  writer.varint(entry.device);
  writer.varint(entry.nlink);
  if (entry.type == FileType::Regular) {
    writer.varint(entry.size_bytes);
    write_blob(writer, entry.content);
    if (entry.holes.form != BlobForm::Empty) {
      write_blob(writer, entry.holes);
    }
    if (entry.digest) {
      writer.bytes(entry.digest->bytes);
    }
  } else if (entry.type == FileType::Symlink) {
    writer.varint(entry.target.size());
    writer.text(entry.target);
  } else if (is_device(entry.type)) {
    writer.varint(entry.rdev >> 32);
    writer.varint(entry.rdev & UINT32_MAX);
  }
  if (entry.xattrs.form != BlobForm::Empty) {
    write_blob(writer, entry.xattrs);
  }
  if (entry.inode_flags != 0) {
    writer.varint(entry.inode_flags);
  }
  if (entry.project_id != 0) {
    writer.varint(entry.project_id);
  }
  insert_length(out, body_at);
  return {};
}

bool parse_entry(base::Reader& in, EntryView& entry) {
  entry = EntryView{};
  const std::byte* begin = in.position();
  in.require(in.u8() == kEntryTag);
  const std::uint64_t body_bytes = in.varint_up_to(kEntryBytesMax);
  base::Reader body(in.bytes(body_bytes));
  if (in.ok()) {
    entry.encoded = {begin, in.position()};
    in.require(entry.encoded.size() <= kEntryBytesMax);
    read_entry_body(body, entry);
    in.require(body.finished());
  }
  return in.ok();
}

std::strong_ordering compare_directories(std::string_view a, std::string_view b) {
  const auto [at_a, at_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (at_a == a.end() || at_b == b.end()) {
    // One is a prefix of the other, and so an ancestor of it or a shorter name: first either way.
    return a.size() <=> b.size();
  }
  // A name that ends here sorts before one that goes on: '/' is below every byte that names hold.
  const auto rank = [](char c) { return c == '/' ? 0 : static_cast<int>(static_cast<unsigned char>(c)); };
  return rank(*at_a) <=> rank(*at_b);
}

std::strong_ordering compare_keys(const Key& a, const Key& b) {
  const std::strong_ordering directories = compare_directories(a.directory, b.directory);
  return directories != std::strong_ordering::equal ? directories : a.name <=> b.name;
}

Bytes sort_key(const Key& key) {
  Bytes out;
  out.reserve(key.directory.size() + key.name.size() + 16);
  for (const char c : key.directory) {
    if (c == '/') {
      out.push_back(std::byte{0});
      out.push_back(std::byte{1});
    } else {
      out.push_back(static_cast<std::byte>(c));
    }
  }
  out.push_back(std::byte{0});
  out.push_back(std::byte{0});
  append(out, as_bytes(key.name));
  return out;
}

std::string path_of(const Key& key) {
  std::string path;
  path.reserve(key.directory.size() + 1 + key.name.size());
  path.append(key.directory);
  if (!key.directory.empty()) {
    path.push_back('/');
  }
  path.append(key.name);
  return path;
}

Key key_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) {
    return {{}, path};
  }
  return {path.substr(0, slash), path.substr(slash + 1)};
}

bool name_is_valid(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && name != "." && name != ".." &&
         std::memchr(name.data(), '/', name.size()) == nullptr &&
         std::memchr(name.data(), '\0', name.size()) == nullptr;
}

bool directory_is_valid(std::string_view directory) {
  if (directory.empty()) {
    return true;
  }
  if (directory.size() > kDirectoryBytesMax) {
    return false;
  }
  while (true) {
    const std::size_t slash = directory.find('/');
    if (!name_is_valid(directory.substr(0, slash))) {
      return false;
    }
    if (slash == std::string_view::npos) {
      return true;
    }
    directory.remove_prefix(slash + 1);
  }
}

}  // namespace firn::format
