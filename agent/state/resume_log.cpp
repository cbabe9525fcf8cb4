#include "agent/state/resume_log.h"

#include <array>
#include <utility>

#include "repo/base/codec.h"

namespace firn::state {
namespace {

constexpr kv::TableId kPages{0};
constexpr std::uint64_t kSizeBytesMax = 16ULL << 30;
constexpr std::string_view kCurrentFile = "resume-current";
// Two, so that a resumed backup reads the one while it writes the other.
constexpr std::array<std::string_view, 2> kNames{"resume-a", "resume-b"};

/// The state file: which of the two logs counts, whose it is, and when its scan began.
struct Current {
  std::uint8_t which = 0;
  format::SourceTag source;
  base::WallTime scan_start;
};

Bytes encode(const Current& current) {
  Bytes bytes;
  base::Writer out(bytes);
  out.u8(current.which);
  out.bytes(current.source.view());
  out.i64(current.scan_start.nanoseconds);
  return bytes;
}

std::optional<Current> read_current(kv::LocalKv& state) {
  const auto bytes = state.read_file(kCurrentFile, 64);
  if (!bytes) {
    return std::nullopt;
  }
  base::Reader in(*bytes);
  Current current;
  current.which = in.u8();
  const ByteView source = in.bytes(format::SourceTag::kBytes);
  current.scan_start.nanoseconds = in.i64();
  if (!in.finished() || current.which >= kNames.size()) {
    return std::nullopt;
  }
  std::copy(source.begin(), source.end(), current.source.bytes.begin());
  return current;
}

std::array<std::byte, 8> key_of(std::uint64_t number) {
  std::array<std::byte, 8> key{};
  for (std::size_t i = 0; i < key.size(); ++i) {
    key[i] = static_cast<std::byte>(number >> (8 * (key.size() - 1 - i)));
  }
  return key;
}

}  // namespace

std::unique_ptr<ResumeReader> ResumeReader::open(kv::LocalKv& state, const repo::Repository& repository,
                                                 const format::SourceTag& source) {
  const auto current = read_current(state);
  if (!current || current->source != source) {
    return nullptr;
  }
  auto environment = state.open(kNames[current->which], {.size_bytes_max = kSizeBytesMax, .durable = false});
  if (!environment) {
    return nullptr;
  }
  std::unique_ptr<ResumeReader> reader(new ResumeReader(*std::move(environment), repository));
  reader->scan_start_ = current->scan_start;
  return reader;
}

Result<std::optional<Bytes>> ResumeReader::next_page() {
  FIRN_LET(auto txn, environment_->begin_read());
  FIRN_LET(const auto sealed, txn->get(kPages, key_of(next_)));
  if (!sealed) {
    return std::nullopt;
  }
  next_ += 1;
  FIRN_LET(Bytes page, repository_.open_local(kCurrentFile, *sealed));
  return page;
}

ResumeWriter::ResumeWriter(kv::LocalKv& state, const repo::Repository& repository,
                           const format::SourceTag& source, base::WallTime scan_start, tree::PageSink& pages)
    : state_(state), repository_(repository), pages_(pages) {
  const auto before = read_current(state);
  const Current current{.which = static_cast<std::uint8_t>(before ? 1 - before->which : 0),
                        .source = source,
                        .scan_start = scan_start};
  name_ = kNames[current.which];
  static_cast<void>(state_.remove(name_));
  auto environment = state_.open(name_, {.size_bytes_max = kSizeBytesMax, .durable = false});
  if (environment && state_.write_file(kCurrentFile, encode(current))) {
    environment_ = *std::move(environment);
  }
}

Result<tree::StoredPage> ResumeWriter::store_page(format::ChunkType type, ByteView plain) {
  auto stored = pages_.store_page(type, plain);
  if (stored && environment_ && type == format::ChunkType::TreePage && !plain.empty() &&
      plain[0] == std::byte{0}) {
    log(plain);
  }
  return stored;
}

void ResumeWriter::log(ByteView page) {
  auto txn = environment_->begin_write();
  const bool logged = txn &&
                      (*txn)->append(kPages, key_of(next_), repository_.seal_local(kCurrentFile, page)) &&
                      (*txn)->commit();
  if (logged) {
    next_ += 1;
  } else {
    environment_.reset();  // a log with a gap would be wrong; without one a resumed backup reads again
  }
}

void ResumeWriter::finished() {
  environment_.reset();
  static_cast<void>(state_.remove_file(kCurrentFile));
  for (const std::string_view name : kNames) {
    static_cast<void>(state_.remove(name));
  }
}

}  // namespace firn::state
