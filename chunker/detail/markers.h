// The vector half of the candidate search: which lines of 64 bytes hold an offset that passes.
//
// A tile is cut into as many stretches as the vector has lanes; each lane walks one of them, all in step, and
// keeps the smallest hash of its line. One line in about a thousand is marked (loose_bits = 16), and the
// scalar scan looks at marked lines only (find_candidates()), so that rules about neighbouring offsets are
// written once. Not here: what passes means (gear.h), the choice (kernels.cpp). Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "chunker/gear.h"
#include "chunker/kernels.h"

namespace firn::chunker::detail {

inline constexpr std::size_t kLineBytes = 64;

/// A tile of lanes × lines_per_lane lines, in file order: lane l has lines [l · lines_per_lane, …).
struct Tile {
  const std::byte* first;
  std::size_t lines_per_lane;  // > 0
  std::uint32_t hash;          // before *first
};

struct LineMarker {
  Kernel kernel;
  std::size_t lanes;
  /// Sets bit n % 64 of marks[n / 64] iff a hash in line n is below `limit`; leaves the other bits alone.
  void (*mark)(const GearTable& table, std::uint32_t limit, const Tile& tile, std::uint64_t* marks);
};

/// What this processor has, the slowest first; not yet tested.
std::span<const LineMarker> line_markers();

/// The marker in use; nullptr: the scalar scan alone.
const LineMarker* current_marker();

/// find_candidates() with this marker.
void find_candidates_with(const LineMarker* marker, const GearTable& table, const CutRules& rules,
                          std::span<const std::byte> warmup, std::span<const std::byte> block,
                          std::uint64_t block_offset, std::vector<Candidate>& out);

/// The hash that the last 31 bytes before a lane leave; 31, because the next byte shifts older ones out.
inline std::uint32_t hash_before(const GearTable& table, const std::byte* lane) {
  std::uint32_t hash = 0;
  for (const std::byte* at = lane - (kHashWindowBytes - 1); at != lane; ++at) {
    hash = (hash << 1) + table.word(*at);
  }
  return hash;
}

inline void set_mark(std::uint64_t* marks, std::size_t line) {
  marks[line / 64] |= std::uint64_t{1} << (line % 64);
}

}  // namespace firn::chunker::detail
