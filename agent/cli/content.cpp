#include "agent/cli/content.h"

#include <algorithm>
#include <array>

#include "agent/mount/repository_chunks.h"
#include "agent/restore/content.h"

namespace firn::cli {
namespace {

constexpr std::uint64_t kXattrsBytesMax = format::kXattrsBytesMax;
constexpr std::uint64_t kStepBytes = 1 << 20;
/// Of one file that is expected: a large one reads ahead itself, once it is read.
constexpr std::size_t kExpectedChunksMax = 8;

}  // namespace

ContentReader::ContentReader(repo::ChunkReader& reader, std::size_t cache_bytes)
    : reader_(reader), cache_(mount::cache_of(reader, cache_bytes)) {}

Result<> ContentReader::read(const format::Entry& entry, std::uint64_t begin, std::uint64_t end,
                             const std::function<Result<>(ByteView)>& visit) {
  static constexpr std::array<std::byte, 64 << 10> kZeros{};
  const mount::Call call;
  FIRN_LET(const auto content, mount::FileContent::open(cache_, streams_, entry, call));
  end = std::min(end, entry.size_bytes);
  for (std::uint64_t position = begin; position < end; position += kStepBytes) {
    FIRN_LET(const auto parts, content->read(position, std::min(kStepBytes, end - position), call));
    for (const mount::FileContent::Part& part : parts) {
      if (part.chunk) {
        FIRN_TRY(visit(ByteView(*part.chunk).subspan(part.offset, part.length)));
        continue;
      }
      for (std::uint64_t rest = part.length; rest > 0;) {
        const std::size_t count = std::min<std::uint64_t>(rest, kZeros.size());
        FIRN_TRY(visit(ByteView(kZeros).first(count)));
        rest -= count;
      }
    }
  }
  return {};
}

std::size_t ContentReader::expect(const format::Entry& entry) {
  std::vector<format::ChunkSecret> chunks;
  for (const format::Slice& slice : entry.content.slices) {
    // Neighbouring small files lie in one bundle.
    if (slice.chunk == expected_ || chunks.size() == kExpectedChunksMax) {
      continue;
    }
    expected_ = slice.chunk;
    chunks.push_back(slice.chunk);
  }
  cache_.prefetch(mount::ChunkKind::Content, chunks);
  return chunks.size();
}

Result<std::vector<format::Hole>> ContentReader::holes(const format::Entry& entry) {
  return restore::read_holes(reader_, entry);
}

Result<std::vector<format::ExtendedAttribute>> ContentReader::xattrs(const format::Entry& entry) {
  if (entry.xattrs.form == format::BlobForm::Empty) {
    return std::vector<format::ExtendedAttribute>();
  }
  FIRN_LET(const Bytes encoded, restore::read_blob(reader_, entry.xattrs, kXattrsBytesMax));
  return format::parse_xattrs(encoded);
}

}  // namespace firn::cli
