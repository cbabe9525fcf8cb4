// Cut rules: the sizes and hash tests that turn a candidate into a cut.
//
// Promise: frozen. The rules of one average size never change, because two backups that should share chunks
// must cut alike (docs/decisions/chunker-masks.md has the numbers behind them).
// Not here: finding candidates (gear.h), choosing cuts (cut_selector.h). Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>

namespace firn::chunker {

/// A chunk ends at the first strict candidate that leaves it at least `min_bytes` and less than
/// `normal_bytes`, else at the first candidate from `normal_bytes` on, else at `max_bytes`.
/// A candidate needs `loose_bits` leading zero bits of the gear hash, a strict one `strict_bits`: the tests
/// are nested. Leading bits, because bit k of the hash depends on the last k+1 bytes only.
struct CutRules {
  std::uint32_t min_bytes;
  std::uint32_t normal_bytes;
  std::uint32_t max_bytes;
  std::uint32_t strict_bits;
  std::uint32_t loose_bits;

  bool operator==(const CutRules&) const = default;
};

inline constexpr std::uint32_t kDefaultAverageBytes = 256u << 10;

/// The rules of one profile. `average_bytes`, the mean size of random data's chunks within 1 %, is 128, 256
/// (the default), 512 or 1024 KiB; min is a quarter of it, max four times, normal 13/16. Anything else:
/// nullopt.
std::optional<CutRules> rules_for(std::uint32_t average_bytes);

/// Cuts of block devices: the end of the fixed-size chunk that starts at `start`, a multiple of
/// `chunk_bytes`, or `size_bytes` if that comes first. `start` is less than `size_bytes`, `chunk_bytes` is
/// not 0.
std::uint64_t next_fixed_cut(std::uint64_t start, std::uint64_t size_bytes, std::uint32_t chunk_bytes);

}  // namespace firn::chunker
