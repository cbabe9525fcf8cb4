// The scalar gear scan, and how it looks at no more than the lines that a vector kernel marked.
#include "chunker/gear.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <utility>

#include "chunker/detail/markers.h"

namespace firn::chunker {

namespace {

constexpr std::size_t kQuietOffsets = kHashWindowBytes - 1;

constexpr std::uint32_t limit_of(std::uint32_t leading_zero_bits) {
  return std::uint32_t{1} << (32 - leading_zero_bits);
}

/// Where a scan stopped, and the hash there.
struct Stop {
  std::size_t index;
  std::uint32_t hash;
};

/// The first byte after which the hash is below `limit`; index bytes.size() when there is none.
Stop first_pass(const GearTable& table, std::uint32_t limit, std::span<const std::byte> bytes,
                std::uint32_t hash) {
  std::size_t at = 0;
  // Four bytes a round: what they add to the hash is summed apart from it, so that the chain between rounds
  // is one shift and one addition instead of four of each (bench/chunker_bench: a third faster than byte by
  // byte).
  for (; bytes.size() - at >= 4; at += 4) {
    const std::byte* four = bytes.data() + at;
    const std::uint32_t sum1 = table.word(four[0]);
    const std::uint32_t sum2 = (sum1 << 1) + table.word(four[1]);
    const std::uint32_t sum3 = (sum2 << 1) + table.word(four[2]);
    const std::uint32_t sum4 = (sum3 << 1) + table.word(four[3]);
    if (const std::uint32_t h = (hash << 1) + sum1; h < limit) {
      return {at, h};
    }
    if (const std::uint32_t h = (hash << 2) + sum2; h < limit) {
      return {at + 1, h};
    }
    if (const std::uint32_t h = (hash << 3) + sum3; h < limit) {
      return {at + 2, h};
    }
    hash = (hash << 4) + sum4;
    if (hash < limit) {
      return {at + 3, hash};
    }
  }
  for (; at < bytes.size(); ++at) {
    hash = (hash << 1) + table.word(bytes[at]);
    if (hash < limit) {
      break;
    }
  }
  return {at, hash};
}

}  // namespace

GearTable GearTable::from_bytes(std::span<const std::byte, kKeyBytes> key_bytes) {
  std::array<std::uint32_t, 256> words{};
  for (std::size_t i = 0; i < words.size(); ++i) {
    for (std::size_t byte = 0; byte < 4; ++byte) {
      words[i] |= std::to_integer<std::uint32_t>(key_bytes[4 * i + byte]) << (8 * byte);
    }
  }
  return GearTable(words);
}

GearScanView::GearScanView(const GearTable& table, const CutRules& rules)
    : table_(table), strict_limit_(limit_of(rules.strict_bits)), loose_limit_(limit_of(rules.loose_bits)) {}

void GearScanView::restart(std::span<const std::byte> before) {
  const auto known = before.last(std::min(before.size(), kWarmupBytes));
  const auto tested = known.last(std::min(known.size(), kQuietOffsets));
  hash_ = 0;
  for (const std::byte value : known.first(known.size() - tested.size())) {
    hash_ = (hash_ << 1) + table_.word(value);
  }
  quiet_ = kQuietOffsets;
  for (std::size_t done = 0; done < tested.size();) {
    done += next(tested.subspan(done)).value_or(tested.size() - done);
  }
}

std::optional<std::size_t> GearScanView::next(std::span<const std::byte> bytes) {
  for (std::size_t from = 0;;) {
    const auto [quiet, hash] = first_pass(table_, loose_limit_, bytes.subspan(from), hash_);
    hash_ = hash;
    quiet_ += quiet;
    if (from + quiet == bytes.size()) {
      return std::nullopt;
    }
    from += quiet + 1;
    if (std::exchange(quiet_, 0) >= kQuietOffsets) {
      return from;
    }
  }
}

void GearScanView::skip(std::span<const std::byte> bytes) {
  if (bytes.size() < kHashWindowBytes) {
    std::abort();
  }
  hash_ = 0;
  for (const std::byte value : bytes.last(kHashWindowBytes)) {
    hash_ = (hash_ << 1) + table_.word(value);
  }
  quiet_ += bytes.size();
}

namespace {

using detail::kLineBytes;
using detail::LineMarker;

// Below this a tile's lanes would spend a good part of their work on the bytes before them; above, its bytes
// would leave the second cache before the scalar scan comes to the marked lines.
constexpr std::size_t kLinesPerLaneMin = 8;
constexpr std::size_t kTileLinesMax = 4096;

std::size_t lines_per_lane(const LineMarker& marker, std::size_t left_bytes) {
  const std::size_t lines = std::min(left_bytes / kLineBytes, kTileLinesMax) / marker.lanes;
  if (lines < kLinesPerLaneMin) {
    return 0;
  }
  // An odd number: lanes that stand a power of two apart would share few sets of the first cache.
  return lines - (lines % 2 == 0 ? 1 : 0);
}

class CandidateFinder {
 public:
  CandidateFinder(GearScanView& scan, std::span<const std::byte> block, std::uint64_t block_offset,
                  std::vector<Candidate>& out)
      : scan_(scan), block_(block), block_offset_(block_offset), out_(out) {}

  std::size_t left_bytes() const { return block_.size() - done_; }

  /// Looks at every offset of the next `size_bytes`.
  void scan(std::size_t size_bytes) {
    const std::size_t end = done_ + size_bytes;
    while (const auto step = scan_.next(block_.subspan(done_, end - done_))) {
      done_ += *step;
      out_.push_back({.offset = block_offset_ + done_, .strict = scan_.strict()});
    }
    done_ = end;
  }

  /// Looks at the marked lines of the next `lines` lines.
  void scan_marked(std::size_t lines, std::span<const std::uint64_t> marks) {
    const std::size_t begin = done_;
    for (std::size_t word = 0; word * 64 < lines; ++word) {
      for (std::uint64_t left = marks[word]; left != 0; left &= left - 1) {
        const std::size_t line = 64 * word + static_cast<std::size_t>(std::countr_zero(left));
        skip_to(begin + line * kLineBytes);
        scan(kLineBytes);
      }
    }
    skip_to(begin + lines * kLineBytes);
  }

 private:
  void skip_to(std::size_t end) {
    if (done_ < end) {
      scan_.skip(block_.subspan(done_, end - done_));
      done_ = end;
    }
  }

  GearScanView& scan_;
  std::span<const std::byte> block_;
  std::uint64_t block_offset_;
  std::vector<Candidate>& out_;
  std::size_t done_ = 0;  // of block_
};

}  // namespace

void detail::find_candidates_with(const LineMarker* marker, const GearTable& table, const CutRules& rules,
                                  std::span<const std::byte> warmup, std::span<const std::byte> block,
                                  std::uint64_t block_offset, std::vector<Candidate>& out) {
  if (warmup.size() < std::min<std::uint64_t>(kWarmupBytes, block_offset)) {
    std::abort();
  }
  GearScanView scan(table, rules);
  scan.restart(warmup);
  CandidateFinder finder(scan, block, block_offset, out);
  while (marker != nullptr) {
    const std::size_t per_lane = lines_per_lane(*marker, finder.left_bytes());
    if (per_lane == 0) {
      break;
    }
    std::array<std::uint64_t, kTileLinesMax / 64> marks{};
    marker->mark(table, limit_of(rules.loose_bits),
                 {.first = block.data() + (block.size() - finder.left_bytes()),
                  .lines_per_lane = per_lane,
                  .hash = scan.hash()},
                 marks.data());
    finder.scan_marked(per_lane * marker->lanes, marks);
  }
  finder.scan(finder.left_bytes());
}

void find_candidates(const GearTable& table, const CutRules& rules, std::span<const std::byte> warmup,
                     std::span<const std::byte> block, std::uint64_t block_offset,
                     std::vector<Candidate>& out) {
  detail::find_candidates_with(detail::current_marker(), table, rules, warmup, block, block_offset, out);
}

}  // namespace firn::chunker
