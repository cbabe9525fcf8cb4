// The keyed gear hash, and the candidates it marks in any block of a file.
//
// Promise: whether there is a candidate at an offset depends only on the 63 bytes of the file before it, so
// that blocks, lanes and cores can look for candidates apart and find the same ones. At most one candidate in
// 32 bytes: hostile or periodic data cannot swell a list of candidates.
// Not here: minimum, average and maximum sizes (cut_selector.h). Standard library only. Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "chunker/rules.h"

namespace firn::chunker {

/// Bytes that one 32-bit gear hash depends on: each step shifts the oldest one out.
inline constexpr std::size_t kHashWindowBytes = 32;

/// Bytes before a block that must be known to find the block's candidates: a hash window less one for the
/// first offset's hash, and as many again because a candidate needs that many quiet offsets before it.
inline constexpr std::size_t kWarmupBytes = 2 * (kHashWindowBytes - 1);

/// The 256 secret words of the hash h = 2h + word[byte] (mod 2^32).
class GearTable {
 public:
  static constexpr std::size_t kKeyBytes = 1024;

  /// Word b is the little-endian number at 4b. The bytes come from the cut key: HKDF-Expand with SHA-256 of
  /// K_cut, info "firn/v1/gear". They are as secret as that key's purpose, the borders of chunks.
  static GearTable from_bytes(std::span<const std::byte, kKeyBytes> key_bytes);

  explicit GearTable(const std::array<std::uint32_t, 256>& words) : words_(words) {}

  std::uint32_t word(std::byte value) const { return words_[std::to_integer<std::size_t>(value)]; }

 private:
  std::array<std::uint32_t, 256> words_;
};

/// An offset in the file where a chunk may end: the byte before `offset` is the chunk's last.
struct Candidate {
  std::uint64_t offset;
  bool strict;

  bool operator==(const Candidate&) const = default;
};

/// Walks over consecutive bytes and stops at each candidate, once restart() said where it begins. Keeps a
/// reference to the table.
///
/// An offset passes when the hash of the 32 bytes before it (at the file's beginning: of those there are) has
/// `loose_bits` leading zero bits. It is a candidate when it passes and none of the 31 offsets before it
/// does.
class GearScanView {
 public:
  GearScanView(const GearTable& table, const CutRules& rules);

  /// Begins anew after `before`: the last kWarmupBytes or more before the next byte to scan, or all of the
  /// file before it.
  void restart(std::span<const std::byte> before);

  /// Scans up to the first candidate: how many bytes were scanned, the last of them being the one before the
  /// candidate; nullopt when there is none in `bytes`, and all of them were scanned.
  std::optional<std::size_t> next(std::span<const std::byte> bytes);

  /// Takes the next bytes, of which it is known that none passes, as scanned; kHashWindowBytes or more, else
  /// it aborts.
  void skip(std::span<const std::byte> bytes);

  /// After the last byte scanned.
  std::uint32_t hash() const { return hash_; }

  /// Of the candidate that next() stopped at.
  bool strict() const { return hash_ < strict_limit_; }

 private:
  const GearTable& table_;
  std::uint32_t strict_limit_;  // a hash passes when it is smaller
  std::uint32_t loose_limit_;
  std::uint32_t hash_ = 0;
  std::uint64_t quiet_ = 0;  // offsets since the last one that passed
};

/// Appends the candidates in (block_offset, block_offset + block.size()] to `out`, in order of offset.
/// `warmup` are bytes of the file directly before the block: min(kWarmupBytes, block_offset) or more. Fewer
/// would move cuts without a sign; that is a bug of the caller and aborts. The fastest kernel does it
/// (kernels.h).
void find_candidates(const GearTable& table, const CutRules& rules, std::span<const std::byte> warmup,
                     std::span<const std::byte> block, std::uint64_t block_offset,
                     std::vector<Candidate>& out);

}  // namespace firn::chunker
