// Compression of chunks: raw or zstd, and nothing that is not bounded.
//
// Promise: decoding writes exactly the length that was asked for, or fails; hostile frames can neither
// allocate more than a fixed window nor write beyond the buffer. Compressed bytes may differ between versions
// of zstd: nothing depends on them. The only place that sees zstd.
// Threads: a context belongs to one caller at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "repo/base/bytes.h"
#include "repo/base/result.h"

namespace firn::format {

enum class Codec : std::uint8_t { Raw = 0, Zstd = 1 };
inline constexpr std::uint8_t kCodecLast = 1;

class Compressor {
 public:
  /// `level` as zstd counts them (1 to 19 here; others are clamped).
  explicit Compressor(int level);
  Compressor(Compressor&&) noexcept;
  Compressor& operator=(Compressor&&) noexcept;
  ~Compressor();

  struct Encoded {
    Codec codec = Codec::Raw;
    ByteView bytes;  // of the input, or of the compressor's buffer until its next call
  };
  /// Raw when zstd saves less than 1/32 of `plain` (1 to kPlainBytesMax bytes).
  Encoded encode(ByteView plain);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Decompressor {
 public:
  Decompressor();
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;
  ~Decompressor();

  /// Fills `out` exactly: one zstd frame of exactly that length, or a copy. Errors: Corrupt.
  Result<> decode(Codec codec, ByteView encoded, MutableBytes out);

  /// Room for encoded bytes before they are decoded, so that callers need no buffer of their own. Valid until
  /// the next call.
  MutableBytes scratch(std::size_t size_bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace firn::format
