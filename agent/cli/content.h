// The bytes of files in a snapshot, in order: for dump.
//
// Chunks are fetched and decoded by several tasks ahead of who reads them. Memory: `cache_bytes`, and what is
// being fetched (agent/mount/chunk_cache.h). Threads: one caller.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "agent/mount/chunk_cache.h"
#include "agent/mount/file_content.h"
#include "repo/chunk_reader.h"
#include "repo/format/blobs.h"
#include "repo/format/tree.h"

namespace firn::cli {

class ContentReader {
 public:
  ContentReader(repo::ChunkReader& reader, std::size_t cache_bytes);

  /// Bytes [begin, end) of the file to `visit`, in order, holes as zeros. Errors: Corrupt, those of the store
  /// and of `visit`.
  Result<> read(const format::Entry& entry, std::uint64_t begin, std::uint64_t end,
                const std::function<Result<>(ByteView)>& visit);
  /// The file will be read soon, after those that were expected before it. How many chunks are fetched for
  /// it.
  std::size_t expect(const format::Entry& entry);
  std::size_t cache_bytes() const { return cache_.bytes_max(); }
  Result<std::vector<format::Hole>> holes(const format::Entry& entry);
  Result<std::vector<format::ExtendedAttribute>> xattrs(const format::Entry& entry);

 private:
  repo::ChunkReader& reader_;
  mount::Streams streams_{0};
  mount::ChunkCache cache_;
  std::optional<format::ChunkSecret> expected_;  // the last one
};

}  // namespace firn::cli
