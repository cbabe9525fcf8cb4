#include "agent/restore/content.h"

#include <algorithm>
#include <utility>

namespace firn::restore {
namespace {

using format::BlobForm;
using format::ChunkType;

constexpr std::uint64_t kHoleMapBytesMax = 256 << 20;

}  // namespace

Result<Bytes> read_blob(repo::ChunkReader& reader, const format::Blob& blob, std::uint64_t size_bytes_max) {
  if (blob.form == BlobForm::Empty || blob.form == BlobForm::Inline) {
    return blob.inline_bytes;
  }
  if (blob.length() > size_bytes_max) {
    return fail(ErrorCode::Unsupported,
                "an attribute or hole map is too large: " + std::to_string(blob.length()) + " bytes");
  }
  repo::RepositoryPages pages(reader);
  tree::SliceListReader slices(pages, blob);
  Bytes bytes;
  while (true) {
    FIRN_LET(const auto placed, slices.next());
    if (!placed) {
      return bytes;
    }
    FIRN_LET(const Bytes chunk, reader.read(ChunkType::Data, placed->slice.chunk));
    const std::uint64_t end = std::uint64_t{placed->slice.offset} + placed->slice.length;
    if (end > chunk.size()) {
      return fail(ErrorCode::Corrupt, "a slice reaches behind the end of its chunk");
    }
    append(bytes, ByteView(chunk).subspan(placed->slice.offset, placed->slice.length));
  }
}

Result<std::vector<format::Hole>> read_holes(repo::ChunkReader& reader, const format::Entry& entry) {
  if (entry.holes.form == BlobForm::Empty) {
    return std::vector<format::Hole>();
  }
  FIRN_LET(const Bytes map, read_blob(reader, entry.holes, kHoleMapBytesMax));
  return format::parse_holes(map, entry.size_bytes, entry.content.length());
}

Result<> for_each_piece(repo::ChunkReader& reader, const format::Entry& entry,
                        const std::vector<format::Hole>& holes,
                        const std::function<Result<>(const PlacedPiece&)>& visit) {
  if (entry.content.form != BlobForm::Slices && entry.content.form != BlobForm::Pages) {
    return {};
  }
  repo::RepositoryPages pages(reader);
  tree::SliceListReader slices(pages, entry.content);
  std::uint64_t offset = 0;  // in the file
  auto hole = holes.begin();
  while (true) {
    FIRN_LET(const auto placed, slices.next());
    if (!placed) {
      return {};
    }
    format::Slice rest = placed->slice;
    while (rest.length > 0) {
      while (hole != holes.end() && hole->offset == offset) {
        offset += hole->length;
        ++hole;
      }
      const std::uint64_t until_hole = hole == holes.end() ? rest.length : hole->offset - offset;
      const auto length = static_cast<std::uint32_t>(std::min<std::uint64_t>(rest.length, until_hole));
      FIRN_TRY(visit(
          {.slice = {.chunk = rest.chunk, .offset = rest.offset, .length = length}, .file_offset = offset}));
      rest.offset += length;
      rest.length -= length;
      offset += length;
    }
  }
}

Result<bool> read_target(TargetFile& file, std::uint64_t offset, MutableBytes out) {
  while (!out.empty()) {
    FIRN_LET(const std::size_t got, file.read_at(offset, out));
    if (got == 0) {
      return false;
    }
    out = out.subspan(got);
    offset += got;
  }
  return true;
}

Result<bool> piece_matches(repo::ChunkReader& reader, TargetFile& file, const PlacedPiece& piece,
                           Bytes& buffer) {
  buffer.resize(piece.slice.length);
  FIRN_LET(const bool whole, read_target(file, piece.file_offset, buffer));
  if (!whole) {
    return false;
  }
  const format::ContentKey* content = reader.repository().keys().content();
  if (piece.slice.offset == 0 && content != nullptr &&
      format::chunk_capability(*content, ChunkType::Data, buffer) == piece.slice.chunk) {
    return true;
  }
  // A part of a chunk, or a piece of a bundle: only its bytes can tell.
  FIRN_LET(const auto locations, reader.locate(format::chunk_id(piece.slice.chunk)));
  if (locations.empty()) {
    return fail(ErrorCode::NotFound, "chunk " + format::chunk_id(piece.slice.chunk).hex() + " is in no pack");
  }
  const format::ChunkShape& shape = locations.front().shape;
  if (shape.type == ChunkType::Data && piece.slice.offset == 0 && piece.slice.length == shape.plain) {
    return false;  // the capability above was of the whole chunk
  }
  FIRN_LET(const Bytes chunk, reader.read(shape.type, piece.slice.chunk));
  const std::uint64_t end = std::uint64_t{piece.slice.offset} + piece.slice.length;
  return end <= chunk.size() &&
         equal(ByteView(chunk).subspan(piece.slice.offset, piece.slice.length), buffer);
}

}  // namespace firn::restore
