// Turns the candidates of a file, in order, into its cuts.
//
// Promise: the same cuts however the file was split into blocks. Time O(candidates + cuts), memory O(1):
// cheap enough to run serially behind blocks that were searched in parallel. Not here: finding candidates
// (gear.h). Threads: one object belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "chunker/gear.h"
#include "chunker/rules.h"

namespace firn::chunker {

class CutSelector {
 public:
  explicit CutSelector(const CutRules& rules) : rules_(rules) {}

  /// Takes all candidates of the next block, which ends at `block_end`; appends to `cuts` the ends of the
  /// chunks that are now certain. Blocks come in file order.
  void add(std::span<const Candidate> candidates, std::uint64_t block_end, std::vector<std::uint64_t>& cuts);

  /// The file ends where the last block did: appends the end of the last chunk. An empty file has no cuts.
  void finish(std::vector<std::uint64_t>& cuts);

  /// Where the chunk starts whose end is not known yet.
  std::uint64_t chunk_start() const { return start_; }

 private:
  void cut_at_max_until(std::uint64_t offset, std::vector<std::uint64_t>& cuts);

  CutRules rules_;
  std::uint64_t start_ = 0;
  std::uint64_t seen_ = 0;
};

}  // namespace firn::chunker
