// The line marker for aarch64, whose every processor has NEON.
//
// Words are fetched one by one into the lanes of two vectors: NEON's table look-up takes 64 entries at a
// time, sixteen of which a byte of the word would need.
#include <arm_neon.h>

#include <array>

#include "chunker/detail/markers.h"

namespace firn::chunker::detail {

namespace {

constexpr std::size_t kLanes = 8;

__attribute__((always_inline)) inline uint32x4_t words_of(const GearTable& table, const std::byte* at,
                                                          std::size_t stride) {
  const std::array<std::uint32_t, 4> words{table.word(at[0]), table.word(at[stride]),
                                           table.word(at[2 * stride]), table.word(at[3 * stride])};
  uint32x4_t lanes = vdupq_n_u32(words[0]);
  lanes = vsetq_lane_u32(words[1], lanes, 1);
  lanes = vsetq_lane_u32(words[2], lanes, 2);
  return vsetq_lane_u32(words[3], lanes, 3);
}

void mark_neon(const GearTable& table, std::uint32_t limit, const Tile& tile, std::uint64_t* marks) {
  const std::size_t stride = tile.lines_per_lane * kLineBytes;
  std::array<std::uint32_t, kLanes> before{tile.hash};
  for (std::size_t lane = 1; lane < kLanes; ++lane) {
    before[lane] = hash_before(table, tile.first + lane * stride);
  }
  uint32x4_t low = vld1q_u32(before.data());
  uint32x4_t high = vld1q_u32(before.data() + 4);
  for (std::size_t line = 0; line < tile.lines_per_lane; ++line) {
    const std::byte* const lane = tile.first + line * kLineBytes;
    uint32x4_t smallest_low = vdupq_n_u32(~std::uint32_t{0});
    uint32x4_t smallest_high = smallest_low;
    for (const std::byte* at = lane; at != lane + kLineBytes; ++at) {
      low = vaddq_u32(vaddq_u32(low, low), words_of(table, at, stride));
      high = vaddq_u32(vaddq_u32(high, high), words_of(table, at + 4 * stride, stride));
      smallest_low = vminq_u32(smallest_low, low);
      smallest_high = vminq_u32(smallest_high, high);
    }
    std::array<std::uint32_t, kLanes> smallest;
    vst1q_u32(smallest.data(), smallest_low);
    vst1q_u32(smallest.data() + 4, smallest_high);
    for (std::size_t l = 0; l < kLanes; ++l) {
      if (smallest[l] < limit) {
        set_mark(marks, l * tile.lines_per_lane + line);
      }
    }
  }
}

constexpr std::array kAll{LineMarker{.kernel = Kernel::Neon, .lanes = kLanes, .mark = mark_neon}};

}  // namespace

std::span<const LineMarker> line_markers() { return kAll; }

}  // namespace firn::chunker::detail
