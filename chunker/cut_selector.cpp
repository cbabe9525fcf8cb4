// The serial pass over candidates.
#include "chunker/cut_selector.h"

namespace firn::chunker {

void CutSelector::add(std::span<const Candidate> candidates, std::uint64_t block_end,
                      std::vector<std::uint64_t>& cuts) {
  for (const Candidate& candidate : candidates) {
    cut_at_max_until(candidate.offset, cuts);
    const std::uint64_t size = candidate.offset - start_;
    if (size >= rules_.min_bytes && (candidate.strict || size >= rules_.normal_bytes)) {
      start_ = candidate.offset;
      cuts.push_back(start_);
    }
  }
  cut_at_max_until(block_end, cuts);
  seen_ = block_end;
}

void CutSelector::finish(std::vector<std::uint64_t>& cuts) {
  if (start_ < seen_) {
    start_ = seen_;
    cuts.push_back(start_);
  }
}

void CutSelector::cut_at_max_until(std::uint64_t offset, std::vector<std::uint64_t>& cuts) {
  while (offset - start_ >= rules_.max_bytes) {
    start_ += rules_.max_bytes;
    cuts.push_back(start_);
  }
}

}  // namespace firn::chunker
