#include "agent/cli/content.h"

#include <algorithm>

#include "agent/restore/content.h"

namespace firn::cli {
namespace {
constexpr std::size_t kZerosBytes = 64 << 10;
constexpr std::uint64_t kXattrsBytesMax = format::kXattrsBytesMax;
}  // namespace

Result<ByteView> ContentReader::slice(const format::Slice& slice) {
  if (kept_ != slice.chunk) {
    const format::ChunkId id = format::chunk_id(slice.chunk);
    FIRN_LET(const auto locations, reader_.locate(id));
    if (locations.empty()) {
      return fail(ErrorCode::NotFound, "chunk " + id.hex() + " is in no pack");
    }
    kept_.reset();
    FIRN_LET(kept_bytes_, reader_.read(locations.front().shape.type, slice.chunk));
    kept_ = slice.chunk;
  }
  if (std::uint64_t{slice.offset} + slice.length > kept_bytes_.size()) {
    return fail(ErrorCode::Corrupt, "a slice reaches behind the end of its chunk");
  }
  return ByteView(kept_bytes_).subspan(slice.offset, slice.length);
}

Result<> ContentReader::read(const format::Entry& entry, std::uint64_t begin, std::uint64_t end,
                             const std::function<Result<>(ByteView)>& visit) {
  end = std::min(end, entry.size_bytes);
  std::uint64_t position = begin;
  const Bytes zeros(kZerosBytes);
  const auto zeros_until = [&](std::uint64_t until) -> Result<> {
    until = std::min(until, end);
    while (position < until) {
      const std::size_t count = std::min<std::uint64_t>(zeros.size(), until - position);
      FIRN_TRY(visit(ByteView(zeros).first(count)));
      position += count;
    }
    return {};
  };
  if (entry.content.form == format::BlobForm::Inline && entry.holes.form == format::BlobForm::Empty) {
    return begin < end ? visit(ByteView(entry.content.inline_bytes).subspan(begin, end - begin)) : Result<>();
  }
  FIRN_LET(const auto holes, restore::read_holes(reader_, entry));
  const auto take = [&](std::uint64_t offset, std::uint64_t length, const auto& bytes_of) -> Result<> {
    const std::uint64_t from = std::max(offset, begin);
    const std::uint64_t to = std::min(offset + length, end);
    if (from >= to) {
      return {};
    }
    FIRN_TRY(zeros_until(from));
    FIRN_LET(const ByteView bytes, bytes_of());
    FIRN_TRY(visit(bytes.subspan(from - offset, to - from)));
    position = to;
    return {};
  };
  if (entry.content.form == format::BlobForm::Inline) {
    // Inline content between holes: piece by piece, as the hole map says.
    std::uint64_t offset = 0;
    ByteView rest = entry.content.inline_bytes;
    for (std::size_t i = 0; !rest.empty(); ++i) {
      const std::uint64_t until = i < holes.size() ? holes[i].offset : offset + rest.size();
      const ByteView piece = rest.first(std::min<std::uint64_t>(rest.size(), until - offset));
      FIRN_TRY(take(offset, piece.size(), [&]() -> Result<ByteView> { return piece; }));
      rest = rest.subspan(piece.size());
      offset = i < holes.size() ? holes[i].offset + holes[i].length : offset + piece.size();
    }
  }
  FIRN_TRY(restore::for_each_piece(reader_, entry, holes, [&](const restore::PlacedPiece& piece) {
    return take(piece.file_offset, piece.slice.length, [&] { return slice(piece.slice); });
  }));
  return zeros_until(end);
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
