// A split-block Bloom filter over chunk ids: says "certainly not" or "perhaps", without touching the disk.
//
// A block has 32 bytes; an id sets one bit in each of its eight words, so a question costs one cache line.
// Ids are random, so their own bytes serve as hash. An overfull filter only says "perhaps" more often.
// Threads: add() and may_contain() from any; an id that was added before another thread learned of it is
// seen.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "repo/base/bytes.h"
#include "repo/format/ids.h"

namespace firn::index {

class ChunkFilter {
 public:
  static constexpr std::size_t kBlockBytes = 32;
  static constexpr std::size_t kSizeBytesMin = 64 << 10;

  /// For `keys` ids at 16 bits each (about 1 in 1,000 wrong), rounded up to a power of two, within the
  /// bounds.
  static std::size_t size_for(std::uint64_t keys, std::size_t size_bytes_max);

  /// Empty. `size_bytes` is a power of two of at least kBlockBytes.
  explicit ChunkFilter(std::size_t size_bytes);

  void add(const format::ChunkId& id);
  bool may_contain(const format::ChunkId& id) const;

  std::size_t size_bytes() const { return words_count_ * sizeof(Word); }
  std::uint64_t keys() const { return keys_.load(std::memory_order_relaxed); }
  /// True when it holds so many ids that a larger one would be much better (below 10 bits each).
  bool is_crowded() const { return keys() * 10 > size_bytes() * 8; }

  /// The bits, for keeping and bringing back; `bits` has size_bytes().
  void save(MutableBytes bits) const;
  void load(ByteView bits, std::uint64_t keys);

 private:
  using Word = std::atomic<std::uint32_t>;
  static_assert(Word::is_always_lock_free && sizeof(Word) == 4);

  std::size_t words_count_;
  std::unique_ptr<Word[]> words_;
  std::atomic<std::uint64_t> keys_ = 0;
};

}  // namespace firn::index
