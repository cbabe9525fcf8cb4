// The two helpers of the local index: the external sort and the Bloom filter.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "repo/base/rng.h"
#include "repo/index/chunk_filter.h"
#include "repo/index/entry_sorter.h"
#include "tests/repo/index/model.h"

namespace firn::index {
namespace {

std::vector<EntryRecord> random_records(std::uint64_t seed, std::size_t count) {
  base::SeededRng rng(seed);
  std::vector<EntryRecord> records(count);
  for (EntryRecord& record : records) {
    rng.fill(record.key);
    record.key[0] = std::byte{0};  // so that ties in the first bytes occur
    record.key[1] &= std::byte{3};
    if (rng.next() % 10 == 0) {
      record = records[rng.next() % records.size()];
    }
  }
  return records;
}

TEST(EntrySorter, GivesEverythingBackInOrder) {
  struct Case {
    std::size_t records;
    std::size_t memory_bytes;
  };
  // In memory; in a few runs; in so many that they are merged in several passes.
  for (const auto& [count, memory] :
       {Case{0, 1 << 20}, Case{1, 1 << 20}, Case{1000, 1 << 20}, Case{5000, 100'000}, Case{4000, 1},
        Case{64, 1}, Case{65, 1}, Case{128, 1}}) {
    SCOPED_TRACE(std::to_string(count) + " records in " + std::to_string(memory));
    std::vector<EntryRecord> records = random_records(count + memory, count);
    base::MemoryScratch scratch;
    EntrySorter sorter(scratch, memory);
    for (const EntryRecord& record : records) {
      ASSERT_TRUE(sorter.add(record));
    }
    EXPECT_EQ(sorter.count(), count);
    ASSERT_TRUE(sorter.finish());
    std::sort(records.begin(), records.end());
    EntryRecord record;
    for (const EntryRecord& expected : records) {
      ASSERT_TRUE(*sorter.next(record));
      ASSERT_EQ(record, expected);
    }
    EXPECT_FALSE(*sorter.next(record));
    EXPECT_FALSE(*sorter.next(record));
  }
}

/// Scratch space that is full after so many bytes.
class SmallScratch final : public base::Scratch {
 public:
  class File final : public base::ScratchFile {
   public:
    Result<> append(ByteView bytes) override {
      if (size_ + bytes.size() > 10'000) {
        return fail(ErrorCode::Exhausted, "scratch is full");
      }
      size_ += bytes.size();
      return {};
    }
    Result<> read_at(std::uint64_t, MutableBytes) override { return {}; }
    std::uint64_t size() const override { return size_; }

   private:
    std::uint64_t size_ = 0;
  };
  Result<std::unique_ptr<base::ScratchFile>> create() override { return std::make_unique<File>(); }
};

TEST(EntrySorter, SaysWhenScratchSpaceIsFull) {
  SmallScratch scratch;
  EntrySorter sorter(scratch, 1);
  Result<> result;
  for (const EntryRecord& record : random_records(1, 1000)) {
    if (result = sorter.add(record); !result) {
      break;
    }
  }
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::Exhausted);
}

TEST(ChunkFilter, NeverDeniesWhatWasAdded) {
  base::SeededRng rng(1);
  for (const std::size_t size : {ChunkFilter::kBlockBytes, std::size_t{1} << 16}) {
    ChunkFilter filter(size);
    std::vector<format::ChunkId> ids(5000);
    for (format::ChunkId& id : ids) {
      id = test::random_id<format::ChunkId>(rng);
      filter.add(id);
    }
    EXPECT_TRUE(std::ranges::all_of(ids, [&](const format::ChunkId& id) { return filter.may_contain(id); }));
    EXPECT_EQ(filter.keys(), ids.size());
  }
}

TEST(ChunkFilter, SeldomClaimsWhatWasNotAdded) {
  base::SeededRng rng(2);
  ChunkFilter filter(ChunkFilter::size_for(30'000, 1 << 20));
  for (int i = 0; i < 30'000; ++i) {
    filter.add(test::random_id<format::ChunkId>(rng));
  }
  int claimed = 0;
  for (int i = 0; i < 100'000; ++i) {
    claimed += filter.may_contain(test::random_id<format::ChunkId>(rng)) ? 1 : 0;
  }
  EXPECT_LT(claimed, 500);  // the theory says some 100
}

TEST(ChunkFilter, KeepsItsSizeWithinBounds) {
  EXPECT_EQ(ChunkFilter::size_for(0, 1 << 20), ChunkFilter::kSizeBytesMin);
  EXPECT_EQ(ChunkFilter::size_for(1 << 17, 1 << 20), std::size_t{1} << 18);
  EXPECT_EQ(ChunkFilter::size_for(1ull << 60, (1 << 20) + 5), std::size_t{1} << 20);
  EXPECT_EQ(ChunkFilter::size_for(1ull << 60, 40), std::size_t{32});
}

TEST(ChunkFilter, IsTheSameAfterSavingAndLoading) {
  base::SeededRng rng(3);
  ChunkFilter filter(1 << 16);
  for (int i = 0; i < 1000; ++i) {
    filter.add(test::random_id<format::ChunkId>(rng));
  }
  Bytes bits(filter.size_bytes());
  filter.save(bits);
  ChunkFilter loaded(1 << 16);
  loaded.load(bits, filter.keys());
  Bytes again(loaded.size_bytes());
  loaded.save(again);
  EXPECT_EQ(bits, again);
  EXPECT_EQ(loaded.keys(), 1000U);
  EXPECT_FALSE(loaded.is_crowded());
}

}  // namespace
}  // namespace firn::index
