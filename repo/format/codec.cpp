#include "repo/format/codec.h"

#include <zstd.h>

#include <algorithm>

#include "repo/base/check.h"
#include "repo/format/limits.h"

namespace firn::format {
namespace {

// log2 of kPlainBytesMax: no frame of a valid chunk needs a larger window.
constexpr int kWindowLogMax = 23;

template <auto Free>
struct FreeWith {
  void operator()(auto* handle) const noexcept { Free(handle); }
};

}  // namespace

struct Compressor::State {
  std::unique_ptr<ZSTD_CCtx, FreeWith<ZSTD_freeCCtx>> context{ZSTD_createCCtx()};
  Bytes buffer;
};

Compressor::Compressor(int level) : state_(std::make_unique<State>()) {
  FIRN_CHECK(state_->context != nullptr);
  ZSTD_CCtx_setParameter(state_->context.get(), ZSTD_c_compressionLevel, std::clamp(level, 1, 19));
  // The length stands in trailer and index; a checksum would repeat what the capability proves.
  ZSTD_CCtx_setParameter(state_->context.get(), ZSTD_c_contentSizeFlag, 0);
  ZSTD_CCtx_setParameter(state_->context.get(), ZSTD_c_checksumFlag, 0);
}
Compressor::Compressor(Compressor&&) noexcept = default;
Compressor& Compressor::operator=(Compressor&&) noexcept = default;
Compressor::~Compressor() = default;

Compressor::Encoded Compressor::encode(ByteView plain) {
  FIRN_CHECK(!plain.empty() && plain.size() <= kPlainBytesMax);
  // A destination of exactly the bytes that are worth it: zstd gives up early when it cannot save enough.
  const std::size_t worth_bytes = plain.size() - std::max<std::size_t>(1, (plain.size() + 31) / 32);
  if (state_->buffer.size() < worth_bytes) {
    state_->buffer.resize(worth_bytes);
  }
  const std::size_t written =
      ZSTD_compress2(state_->context.get(), state_->buffer.data(), worth_bytes, plain.data(), plain.size());
  if (ZSTD_isError(written) != 0) {
    return {Codec::Raw, plain};
  }
  return {Codec::Zstd, ByteView(state_->buffer).first(written)};
}

struct Decompressor::State {
  std::unique_ptr<ZSTD_DCtx, FreeWith<ZSTD_freeDCtx>> context{ZSTD_createDCtx()};
  Bytes scratch;
};

Decompressor::Decompressor() : state_(std::make_unique<State>()) {
  FIRN_CHECK(state_->context != nullptr);
  ZSTD_DCtx_setParameter(state_->context.get(), ZSTD_d_windowLogMax, kWindowLogMax);
}
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;
Decompressor::~Decompressor() = default;

MutableBytes Decompressor::scratch(std::size_t size_bytes) {
  if (state_->scratch.size() < size_bytes) {
    state_->scratch.resize(size_bytes);
  }
  return MutableBytes(state_->scratch).first(size_bytes);
}

Result<> Decompressor::decode(Codec codec, ByteView encoded, MutableBytes out) {
  if (codec == Codec::Raw) {
    if (encoded.size() != out.size()) {
      return fail(ErrorCode::Corrupt, "raw chunk has another length than it should");
    }
    std::copy(encoded.begin(), encoded.end(), out.begin());
    return {};
  }
  // One frame and nothing else: several frames or skippable ones would be a second encoding of the same
  // bytes.
  const std::size_t frame = ZSTD_findFrameCompressedSize(encoded.data(), encoded.size());
  const bool one_frame = ZSTD_isError(frame) == 0 && frame == encoded.size() && encoded.size() >= 4 &&
                         encoded[0] == std::byte{0x28} && encoded[1] == std::byte{0xB5} &&
                         encoded[2] == std::byte{0x2F} && encoded[3] == std::byte{0xFD};
  if (!one_frame) {
    return fail(ErrorCode::Corrupt, "compressed chunk is not one zstd frame");
  }
  const std::size_t written =
      ZSTD_decompressDCtx(state_->context.get(), out.data(), out.size(), encoded.data(), encoded.size());
  if (ZSTD_isError(written) != 0 || written != out.size()) {
    return fail(ErrorCode::Corrupt, "compressed chunk does not decode to its length");
  }
  return {};
}

}  // namespace firn::format
