#include "repo/index/chunk_filter.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "repo/base/check.h"

namespace firn::index {
namespace {

constexpr std::size_t kWordsPerBlock = 8;

struct Place {
  std::size_t first_word = 0;
  std::array<std::uint32_t, kWordsPerBlock> masks{};
};

/// The id's first 8 bytes choose the block, the next 5 the bits: five bits of them for each word.
Place place_of(const format::ChunkId& id, std::size_t words_count) {
  std::uint64_t block = 0;
  std::uint64_t bits = 0;
  std::memcpy(&block, id.bytes.data(), sizeof(block));
  std::memcpy(&bits, id.bytes.data() + sizeof(block), sizeof(bits));
  Place place;
  place.first_word = (block & (words_count / kWordsPerBlock - 1)) * kWordsPerBlock;
  for (std::size_t i = 0; i < kWordsPerBlock; ++i) {
    place.masks[i] = std::uint32_t{1} << (bits >> (5 * i) & 31);
  }
  return place;
}

}  // namespace

std::size_t ChunkFilter::size_for(std::uint64_t keys, std::size_t size_bytes_max) {
  const std::size_t most = std::bit_floor(std::max(size_bytes_max, kBlockBytes));
  const std::uint64_t wanted = std::bit_ceil(std::min<std::uint64_t>(keys, most) * 2);
  return std::clamp<std::uint64_t>(wanted, std::min(kSizeBytesMin, most), most);
}

ChunkFilter::ChunkFilter(std::size_t size_bytes)
    : words_count_(size_bytes / sizeof(Word)), words_(std::make_unique<Word[]>(words_count_)) {
  FIRN_CHECK(size_bytes >= kBlockBytes && std::has_single_bit(size_bytes));
}

void ChunkFilter::add(const format::ChunkId& id) {
  const Place place = place_of(id, words_count_);
  for (std::size_t i = 0; i < kWordsPerBlock; ++i) {
    words_[place.first_word + i].fetch_or(place.masks[i], std::memory_order_relaxed);
  }
  keys_.fetch_add(1, std::memory_order_relaxed);
}

bool ChunkFilter::may_contain(const format::ChunkId& id) const {
  const Place place = place_of(id, words_count_);
  std::uint32_t missing = 0;
  for (std::size_t i = 0; i < kWordsPerBlock; ++i) {
    missing |= place.masks[i] & ~words_[place.first_word + i].load(std::memory_order_relaxed);
  }
  return missing == 0;
}

void ChunkFilter::save(MutableBytes bits) const {
  FIRN_CHECK(bits.size() == size_bytes());
  for (std::size_t i = 0; i < words_count_; ++i) {
    const std::uint32_t word = words_[i].load(std::memory_order_relaxed);
    std::memcpy(bits.data() + i * sizeof(word), &word, sizeof(word));
  }
}

void ChunkFilter::load(ByteView bits, std::uint64_t keys) {
  FIRN_CHECK(bits.size() == size_bytes());
  for (std::size_t i = 0; i < words_count_; ++i) {
    std::uint32_t word = 0;
    std::memcpy(&word, bits.data() + i * sizeof(word), sizeof(word));
    words_[i].store(word, std::memory_order_relaxed);
  }
  keys_.store(keys, std::memory_order_relaxed);
}

}  // namespace firn::index
