// The frozen profiles, and fixed-size cuts.
#include "chunker/rules.h"

#include <algorithm>
#include <bit>

namespace firn::chunker {

namespace {

// Normalisation level: how many bits the two tests stand away from log2(average). With the normal size at
// 13/16 of the average, chunks of random data have 0.99 times the average size in the mean.
constexpr std::uint32_t kLevel = 2;

}  // namespace

std::optional<CutRules> rules_for(std::uint32_t average_bytes) {
  constexpr std::uint32_t kSmallest = 128u << 10;
  constexpr std::uint32_t kLargest = 1024u << 10;
  if (!std::has_single_bit(average_bytes) || average_bytes < kSmallest || average_bytes > kLargest) {
    return std::nullopt;
  }
  const auto average_bits = static_cast<std::uint32_t>(std::countr_zero(average_bytes));
  return CutRules{.min_bytes = average_bytes / 4,
                  .normal_bytes = average_bytes / 16 * 13,
                  .max_bytes = average_bytes * 4,
                  .strict_bits = average_bits + kLevel,
                  .loose_bits = average_bits - kLevel};
}

std::uint64_t next_fixed_cut(std::uint64_t start, std::uint64_t size_bytes, std::uint32_t chunk_bytes) {
  return std::min(size_bytes - start, std::uint64_t{chunk_bytes}) + start;
}

}  // namespace firn::chunker
