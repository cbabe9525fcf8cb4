#include "agent/restore/jobs.h"

#include <algorithm>

#include "repo/base/check.h"
#include "repo/base/codec.h"

namespace firn::restore {

namespace {

bool is_limit_of_target(ErrorCode code) {
  return code == ErrorCode::Denied || code == ErrorCode::Unsupported || code == ErrorCode::Invalid;
}

}  // namespace

std::array<std::byte, kWantedPieceBytes> encode(const WantedPiece& piece) {
  Bytes bytes;
  bytes.reserve(kWantedPieceBytes);
  base::Writer out(bytes);
  out.u8(static_cast<std::uint8_t>(piece.location.pack.kind));
  out.bytes(piece.location.pack.id.view());
  for (int shift = 24; shift >= 0; shift -= 8) {  // big-endian: it takes part in the order
    out.u8(static_cast<std::uint8_t>(piece.location.offset >> shift));
  }
  out.bytes(piece.slice.chunk.view());
  out.u32(piece.location.shape.stored);
  out.u32(piece.location.shape.plain);
  out.u8(static_cast<std::uint8_t>(piece.location.shape.type));
  out.u8(static_cast<std::uint8_t>(piece.location.shape.codec));
  out.u32(piece.slice.offset);
  out.u32(piece.slice.length);
  out.u64(static_cast<std::uint64_t>(piece.file));
  out.u64(piece.file_offset);
  FIRN_CHECK(bytes.size() == kWantedPieceBytes);
  std::array<std::byte, kWantedPieceBytes> record{};
  std::copy(bytes.begin(), bytes.end(), record.begin());
  return record;
}

WantedPiece parse_wanted_piece(ByteView record) {
  base::Reader in(record);
  WantedPiece piece;
  piece.location.pack.kind = static_cast<format::PackKind>(in.u8());
  const ByteView id = in.bytes(32);
  std::copy(id.begin(), id.end(), piece.location.pack.id.bytes.begin());
  for (int i = 0; i < 4; ++i) {
    piece.location.offset = piece.location.offset << 8 | in.u8();
  }
  const ByteView chunk = in.bytes(32);
  std::copy(chunk.begin(), chunk.end(), piece.slice.chunk.bytes.begin());
  piece.location.shape.stored = in.u32();
  piece.location.shape.plain = in.u32();
  piece.location.shape.type = static_cast<format::ChunkType>(in.u8());
  piece.location.shape.codec = static_cast<format::Codec>(in.u8());
  piece.slice.offset = in.u32();
  piece.slice.length = in.u32();
  piece.file = static_cast<RecordNumber>(in.u64());
  piece.file_offset = in.u64();
  return piece;
}

void Reporter::item(Action action, std::string_view path, std::uint64_t size_bytes) {
  switch (action) {
    case Action::Restored:
    case Action::Updated:
      progress_.files_restored += 1;
      break;
    case Action::Unchanged:
    case Action::Skipped:
      progress_.files_skipped += 1;
      progress_.bytes_skipped += size_bytes;
      break;
    case Action::Deleted:
      progress_.files_deleted += 1;
      break;
  }
  (*observer_.lock())->item(action, path, size_bytes);
}

void Reporter::problem(std::string_view path, const Error& error) {
  progress_.errors += 1;
  (*observer_.lock())->problem(path, error);
}

void Reporter::shortfalls(std::string_view path, const Shortfalls& shortfalls) {
  if (shortfalls.empty()) {
    return;
  }
  *not_kept_.lock() += 1;
  for (const Error& shortfall : shortfalls) {
    if (is_limit_of_target(shortfall.code)) {
      (*observer_.lock())->not_kept(path, shortfall.message);
    } else {
      problem(path, shortfall);
    }
  }
}

}  // namespace firn::restore
