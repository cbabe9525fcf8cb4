// The bytes of a file in a snapshot, in order: for dump.
//
// Threads: one caller.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "repo/chunk_reader.h"
#include "repo/format/blobs.h"
#include "repo/format/tree.h"

namespace firn::cli {

class ContentReader {
 public:
  explicit ContentReader(repo::ChunkReader& reader) : reader_(reader) {}

  /// Bytes [begin, end) of the file to `visit`, in order, holes as zeros. Errors: Corrupt, those of the store
  /// and of `visit`.
  Result<> read(const format::Entry& entry, std::uint64_t begin, std::uint64_t end,
                const std::function<Result<>(ByteView)>& visit);
  Result<std::vector<format::Hole>> holes(const format::Entry& entry);
  Result<std::vector<format::ExtendedAttribute>> xattrs(const format::Entry& entry);

 private:
  Result<ByteView> slice(const format::Slice& slice);

  repo::ChunkReader& reader_;
  /// The chunk of the last slice: neighbouring small files lie in one bundle.
  std::optional<format::ChunkSecret> kept_;
  Bytes kept_bytes_;
};

}  // namespace firn::cli
