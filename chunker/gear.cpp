// The scalar gear scan. A vector kernel replaces first_pass() and nothing else.
#include "chunker/gear.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

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

void find_candidates(const GearTable& table, const CutRules& rules, std::span<const std::byte> warmup,
                     std::span<const std::byte> block, std::uint64_t block_offset,
                     std::vector<Candidate>& out) {
  if (warmup.size() < std::min<std::uint64_t>(kWarmupBytes, block_offset)) {
    std::abort();
  }
  GearScanView scan(table, rules);
  scan.restart(warmup);
  for (std::size_t done = 0; const auto step = scan.next(block.subspan(done));) {
    done += *step;
    out.push_back({.offset = block_offset + done, .strict = scan.strict()});
  }
}

}  // namespace firn::chunker
