// The Bloom filter in front of the local index.
#include "repo/index/chunk_filter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "repo/base/rng.h"
#include "tests/repo/index/model.h"

namespace firn::index {
namespace {

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
