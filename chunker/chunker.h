// Cuts one stream, fed in pieces of any size; the form for small files and pipes.
//
// Promise: the same cuts as find_candidates() with CutSelector, whatever the pieces. Faster than those on one
// core, because the minimum of every chunk is skipped without hashing it.
// Not here: bytes. Offsets come out; the caller keeps the data. Threads: one object, one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "chunker/gear.h"
#include "chunker/rules.h"

namespace firn::chunker {

/// Keeps a reference to the table that it is given.
class ChunkerView {
 public:
  ChunkerView(const GearTable& table, const CutRules& rules) : scan_(table, rules), rules_(rules) {}

  /// Takes the next bytes of the stream; appends to `cuts` the ends of the chunks that are now certain, as
  /// offsets in the stream.
  void feed(std::span<const std::byte> piece, std::vector<std::uint64_t>& cuts);

  /// The stream ends here: appends the end of the last chunk. An empty stream has no cuts.
  void finish(std::vector<std::uint64_t>& cuts);

 private:
  void warm_up(std::span<const std::byte> piece, std::size_t at);
  void remember(std::span<const std::byte> piece);
  void cut(std::uint64_t offset, std::vector<std::uint64_t>& cuts);

  GearScanView scan_;
  CutRules rules_;
  std::uint64_t start_ = 0;                     // of the open chunk
  std::uint64_t seen_ = 0;                      // bytes fed before the current piece
  bool warm_ = false;                           // scan_ stands inside the open chunk, past its minimum
  std::array<std::byte, kWarmupBytes> tail_{};  // the last tail_size_ bytes before the current piece
  std::size_t tail_size_ = 0;
};

}  // namespace firn::chunker
