// Where the bytes of a file lie: from slices of its content to ranges of the file, around its holes.
//
// Not here: fetching and writing. Threads: any.
#pragma once

#include <functional>
#include <vector>

#include "agent/restore/target_fs.h"
#include "repo/chunk_reader.h"
#include "repo/format/blobs.h"
#include "repo/format/tree.h"
#include "repo/tree/slice_list.h"

namespace firn::restore {

/// A piece of a chunk and where it goes in the file.
struct PlacedPiece {
  format::Slice slice;
  std::uint64_t file_offset = 0;
};

/// All bytes of a blob that hangs on an entry: inline, or put together from its slices. Errors: Corrupt,
/// those of the store.
Result<Bytes> read_blob(repo::ChunkReader& reader, const format::Blob& blob, std::uint64_t size_bytes_max);

/// The holes of a regular file. Errors: Corrupt.
Result<std::vector<format::Hole>> read_holes(repo::ChunkReader& reader, const format::Entry& entry);

/// Every piece of the content that lies in chunks, in file order. Inline content has none. Errors: Corrupt,
/// those of the store and of `visit`.
Result<> for_each_piece(repo::ChunkReader& reader, const format::Entry& entry,
                        const std::vector<format::Hole>& holes,
                        const std::function<Result<>(const PlacedPiece&)>& visit);

/// True iff the file's bytes in [piece.file_offset, + length) are those of the piece. Reads the file; fetches
/// the chunk only when its capability alone cannot tell. `buffer` is scratch memory.
Result<bool> piece_matches(repo::ChunkReader& reader, TargetFile& file, const PlacedPiece& piece,
                           Bytes& buffer);

/// Fills `out` from the file. False when the file ends before.
Result<bool> read_target(TargetFile& file, std::uint64_t offset, MutableBytes out);

}  // namespace firn::restore
