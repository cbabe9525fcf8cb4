// The streaming form: skip the minimum, warm up, scan to a cut, repeat.
#include "chunker/chunker.h"

#include <algorithm>

namespace firn::chunker {

void ChunkerView::feed(std::span<const std::byte> piece, std::vector<std::uint64_t>& cuts) {
  const std::uint64_t end = seen_ + piece.size();
  std::uint64_t at = seen_;
  while (true) {
    if (!warm_) {
      // The first offset that may become a cut is start_ + min_bytes, and the byte before it is hashed first.
      const std::uint64_t first = start_ + rules_.min_bytes - 1;
      if (first >= end) {
        break;
      }
      at = first;
      warm_up(piece, static_cast<std::size_t>(at - seen_));
    }
    const std::uint64_t limit = start_ + rules_.max_bytes;
    const auto scanned = piece.subspan(static_cast<std::size_t>(at - seen_),
                                       static_cast<std::size_t>(std::min(end, limit) - at));
    const auto step = scan_.next(scanned);
    at += step.value_or(scanned.size());
    if (at == limit || (step && (scan_.strict() || at - start_ >= rules_.normal_bytes))) {
      cut(at, cuts);
    } else if (at == end) {
      break;
    }
  }
  remember(piece);
  seen_ = end;
}

void ChunkerView::finish(std::vector<std::uint64_t>& cuts) {
  if (start_ < seen_) {
    cut(seen_, cuts);
  }
}

/// Readies the scan for piece[at]: the bytes before it may lie in the piece, in the tail, or in both.
void ChunkerView::warm_up(std::span<const std::byte> piece, std::size_t at) {
  if (at >= kWarmupBytes) {
    scan_.restart(piece.first(at));
  } else {
    std::array<std::byte, 2 * kWarmupBytes> before{};
    const auto middle = std::copy_n(tail_.begin(), tail_size_, before.begin());
    const auto last = std::copy_n(piece.begin(), at, middle);
    scan_.restart(std::span(before.begin(), last));
  }
  warm_ = true;
}

void ChunkerView::remember(std::span<const std::byte> piece) {
  const std::size_t taken = std::min(piece.size(), kWarmupBytes);
  const std::size_t kept = std::min(tail_size_, kWarmupBytes - taken);
  std::copy_n(tail_.begin() + static_cast<std::ptrdiff_t>(tail_size_ - kept), kept, tail_.begin());
  std::copy_n(piece.last(taken).begin(), taken, tail_.begin() + static_cast<std::ptrdiff_t>(kept));
  tail_size_ = kept + taken;
}

void ChunkerView::cut(std::uint64_t offset, std::vector<std::uint64_t>& cuts) {
  start_ = offset;
  warm_ = false;
  cuts.push_back(offset);
}

}  // namespace firn::chunker
