// Line markers for x86-64, compiled for their instructions function by function and chosen by cpuid.
//
// What costs is the look-up of a word for each byte. AVX-512 VBMI holds the whole table in 16 registers, as
// four planes of bytes (byte k of every word), and looks 64 bytes up at once. AVX2 has no such instruction,
// and its gathers are slower than the scalar scan (1.9 against 3.4 GB/s), so words are fetched one by one and
// only what follows is done eight at a time.
#include <immintrin.h>

#include <array>
#include <bit>

#include "chunker/detail/markers.h"

namespace firn::chunker::detail {

namespace {

#define FIRN_AVX2 __attribute__((target("avx2")))
#define FIRN_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi")))
// A helper that takes vectors must become part of its caller.
#define FIRN_AVX512_PART __attribute__((always_inline, target("avx512f,avx512bw,avx512vl,avx512vbmi"))) inline

template <std::size_t Lanes>
std::array<std::uint32_t, Lanes> hashes_before(const GearTable& table, const Tile& tile) {
  std::array<std::uint32_t, Lanes> hashes{tile.hash};
  for (std::size_t lane = 1; lane < Lanes; ++lane) {
    hashes[lane] = hash_before(table, tile.first + lane * tile.lines_per_lane * kLineBytes);
  }
  return hashes;
}

void set_marks(std::uint64_t* marks, std::uint32_t lanes, const Tile& tile, std::size_t line) {
  for (; lanes != 0; lanes &= lanes - 1) {
    set_mark(marks, static_cast<std::size_t>(std::countr_zero(lanes)) * tile.lines_per_lane + line);
  }
}

FIRN_AVX2 void mark_avx2(const GearTable& table, std::uint32_t limit, const Tile& tile,
                         std::uint64_t* marks) {
  constexpr std::size_t kLanes = 8;
  const std::size_t stride = tile.lines_per_lane * kLineBytes;
  const auto first = hashes_before<kLanes>(table, tile);
  __m256i hash = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first.data()));
  const __m256i highest = _mm256_set1_epi32(static_cast<int>(limit - 1));
  for (std::size_t line = 0; line < tile.lines_per_lane; ++line) {
    const std::byte* const lane = tile.first + line * kLineBytes;
    __m256i smallest = _mm256_set1_epi32(-1);
    for (const std::byte* at = lane; at != lane + kLineBytes; ++at) {
      const auto word = [&](std::size_t l) { return static_cast<int>(table.word(at[l * stride])); };
      const __m256i words =
          _mm256_setr_epi32(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7));
      hash = _mm256_add_epi32(_mm256_add_epi32(hash, hash), words);
      smallest = _mm256_min_epu32(smallest, hash);
    }
    const __m256i below = _mm256_cmpeq_epi32(_mm256_min_epu32(smallest, highest), smallest);
    set_marks(marks, static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(below))), tile, line);
  }
}

/// 16 bytes of each of four lanes that stand 4 · stride apart, one in each quarter.
FIRN_AVX512_PART __m512i quarters(const std::byte* at, std::size_t stride) {
  const auto load = [](const std::byte* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  };
  // Masked broadcasts from memory: they keep the shuffle ports, which everything else here needs, free.
  __m512i all = _mm512_castsi128_si512(load(at));
  all = _mm512_mask_broadcast_i32x4(all, 0x00f0, load(at + 4 * stride));
  all = _mm512_mask_broadcast_i32x4(all, 0x0f00, load(at + 8 * stride));
  return _mm512_mask_broadcast_i32x4(all, 0xf000, load(at + 12 * stride));
}

/// table[x] of one plane: the low seven bits choose within a half, the eighth between the halves.
FIRN_AVX512_PART __m512i look_up(const __m512i* plane, __m512i x, __mmask64 high) {
  return _mm512_mask_blend_epi8(high, _mm512_permutex2var_epi8(plane[0], x, plane[1]),
                                _mm512_permutex2var_epi8(plane[2], x, plane[3]));
}

struct Hashes {
  __m512i now;
  __m512i smallest;  // of the line
};

FIRN_AVX512_PART void step(Hashes& hashes, __m512i words) {
  hashes.now = _mm512_add_epi32(_mm512_add_epi32(hashes.now, hashes.now), words);
  hashes.smallest = _mm512_min_epu32(hashes.smallest, hashes.now);
}

/// Four bytes of each lane: `bytes` holds them lane by lane.
FIRN_AVX512_PART void four_steps(Hashes& hashes, const __m512i* planes, __m512i bytes) {
  // Within a quarter: the first bytes of its four lanes, the second ones, and so on.
  const __m512i by_step =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  const __m512i x = _mm512_shuffle_epi8(bytes, by_step);
  const __mmask64 high = _mm512_movepi8_mask(x);
  const __m512i byte0 = look_up(planes, x, high);
  const __m512i byte1 = look_up(planes + 4, x, high);
  const __m512i byte2 = look_up(planes + 8, x, high);
  const __m512i byte3 = look_up(planes + 12, x, high);
  const __m512i low_half01 = _mm512_unpacklo_epi8(byte0, byte1);
  const __m512i low_half23 = _mm512_unpackhi_epi8(byte0, byte1);
  const __m512i high_half01 = _mm512_unpacklo_epi8(byte2, byte3);
  const __m512i high_half23 = _mm512_unpackhi_epi8(byte2, byte3);
  step(hashes, _mm512_unpacklo_epi16(low_half01, high_half01));
  step(hashes, _mm512_unpackhi_epi16(low_half01, high_half01));
  step(hashes, _mm512_unpacklo_epi16(low_half23, high_half23));
  step(hashes, _mm512_unpackhi_epi16(low_half23, high_half23));
}

FIRN_AVX512 void mark_avx512(const GearTable& table, std::uint32_t limit, const Tile& tile,
                             std::uint64_t* marks) {
  constexpr std::size_t kLanes = 16;
  constexpr std::size_t kLinesAhead = 4;
  const std::size_t stride = tile.lines_per_lane * kLineBytes;
  alignas(64) std::array<std::array<std::uint8_t, 256>, 4> plane_bytes;
  for (std::size_t value = 0; value < 256; ++value) {
    const std::uint32_t word = table.word(static_cast<std::byte>(value));
    for (std::size_t k = 0; k < 4; ++k) {
      plane_bytes[k][value] = static_cast<std::uint8_t>(word >> (8 * k));
    }
  }
  const auto part = [&](std::size_t n)
                        FIRN_AVX512 { return _mm512_load_si512(plane_bytes[n / 4].data() + 64 * (n % 4)); };
  const __m512i planes[16] = {part(0), part(1), part(2),  part(3),  part(4),  part(5),  part(6),  part(7),
                              part(8), part(9), part(10), part(11), part(12), part(13), part(14), part(15)};
  const auto first = hashes_before<kLanes>(table, tile);
  Hashes hashes{.now = _mm512_loadu_si512(first.data()), .smallest = {}};
  for (std::size_t line = 0; line < tile.lines_per_lane; ++line) {
    const std::byte* const lane = tile.first + line * kLineBytes;
    hashes.smallest = _mm512_set1_epi32(-1);
    // Sixteen stretches at once are more than the processor follows by itself: this doubles the speed.
    for (std::size_t l = 0; l < kLanes; ++l) {
      _mm_prefetch(reinterpret_cast<const char*>(lane + l * stride + kLinesAhead * kLineBytes), _MM_HINT_T0);
    }
    for (const std::byte* at = lane; at != lane + kLineBytes; at += 16) {
      // Four lanes of each quarter side by side, then column by column: 4 × 4 numbers of 32 bits turned over.
      const __m512i row0 = quarters(at, stride);
      const __m512i row1 = quarters(at + stride, stride);
      const __m512i row2 = quarters(at + 2 * stride, stride);
      const __m512i row3 = quarters(at + 3 * stride, stride);
      const __m512i pair01_low = _mm512_unpacklo_epi32(row0, row1);
      const __m512i pair01_high = _mm512_unpackhi_epi32(row0, row1);
      const __m512i pair23_low = _mm512_unpacklo_epi32(row2, row3);
      const __m512i pair23_high = _mm512_unpackhi_epi32(row2, row3);
      four_steps(hashes, planes, _mm512_unpacklo_epi64(pair01_low, pair23_low));
      four_steps(hashes, planes, _mm512_unpackhi_epi64(pair01_low, pair23_low));
      four_steps(hashes, planes, _mm512_unpacklo_epi64(pair01_high, pair23_high));
      four_steps(hashes, planes, _mm512_unpackhi_epi64(pair01_high, pair23_high));
    }
    const __m512i limits = _mm512_set1_epi32(static_cast<int>(limit));
    set_marks(marks, _mm512_cmplt_epu32_mask(hashes.smallest, limits), tile, line);
  }
}

constexpr LineMarker kAvx2{.kernel = Kernel::Avx2, .lanes = 8, .mark = mark_avx2};
constexpr LineMarker kAvx512{.kernel = Kernel::Avx512, .lanes = 16, .mark = mark_avx512};

}  // namespace

std::span<const LineMarker> line_markers() {
  static constexpr std::array kAll{kAvx2, kAvx512};
  // The compiler's cpuid test also asks whether the system keeps the registers.
  static const std::size_t count = [] {
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi");
    return !avx2 ? std::size_t{0} : avx512 ? kAll.size() : std::size_t{1};
  }();
  return std::span(kAll).first(count);
}

}  // namespace firn::chunker::detail
