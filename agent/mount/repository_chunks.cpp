#include "agent/mount/repository_chunks.h"

#include <algorithm>

namespace firn::mount {
namespace {

/// What a fetching task costs beside the cache is up to two chunks; more tasks than this gain nothing.
constexpr unsigned kTasksMin = 4;
constexpr unsigned kTasksMax = 32;

Result<Bytes> load(repo::ChunkReader& reader, ChunkKind kind, const format::ChunkSecret& t) {
  switch (kind) {
    case ChunkKind::TreePage:
      return reader.read(format::ChunkType::TreePage, t);
    case ChunkKind::SlicePage:
      return reader.read(format::ChunkType::SlicePage, t);
    case ChunkKind::Content:
      break;
  }
  return reader.read_content(t);
}

}  // namespace

ChunkCache cache_of(repo::ChunkReader& reader, std::size_t bytes_max) {
  return ChunkCache(
      reader.repository().services().executor,
      [&reader](ChunkKind kind, const format::ChunkSecret& t) { return load(reader, kind, t); },
      {.count = [&reader](auto wanted) { return reader.count_neighbours(wanted); },
       .load = [&reader](auto wanted, const auto& visit) { reader.read_contents(wanted, visit); }},
      {.bytes_max = bytes_max,
       .tasks = std::clamp(reader.repository().store().parallel_requests(), kTasksMin, kTasksMax)});
}

}  // namespace firn::mount
