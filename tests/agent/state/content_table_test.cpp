#include "agent/state/content_table.h"

#include <gtest/gtest.h>

#include "tests/repo/rig.h"

namespace firn::state {
namespace {

format::ContentDigest digest_of(std::uint32_t number) {
  format::ContentDigest digest;
  digest.bytes.fill(static_cast<std::byte>(number >> 8));
  digest.bytes.back() = static_cast<std::byte>(number);
  return digest;
}
format::Slice slice_of(std::uint32_t number) {
  format::Slice slice;
  slice.chunk.bytes.fill(static_cast<std::byte>(number));
  slice.offset = number;
  slice.length = 1000 + number;
  return slice;
}

class ContentTableOf : public testing::Test {
 protected:
  ContentTableOf() { repo::make_repository(world_); }

  repo::Repository& repository() {
    if (!node_) {
      node_ = std::make_unique<repo::Node>(world_, world_.store, node_state_, repo::key_file_of(1));
    }
    return node_->repository();
  }
  void save(std::uint32_t first, std::uint32_t count) {
    ContentTable table = open();
    for (std::uint32_t i = first; i < first + count; ++i) {
      repo::must(table.add(digest_of(i), slice_of(i)));
    }
    repo::must(table.save());
  }
  ContentTable open() { return {state_, repository(), source_}; }

  base::ThreadExecutor executor_{1};
  repo::World world_{executor_, 1};
  kv::MemoryKv node_state_{executor_};
  kv::MemoryKv state_{executor_};
  const format::SourceTag source_{};
  std::unique_ptr<repo::Node> node_;
};

TEST_F(ContentTableOf, FindsWhatWasSavedAndNothingElse) {
  constexpr std::uint32_t kCount = 1000;  // several blocks
  EXPECT_TRUE(open().wants_all());
  save(1, kCount);
  const ContentTable table = open();
  EXPECT_FALSE(table.wants_all());
  for (std::uint32_t i = 1; i <= kCount; ++i) {
    EXPECT_EQ(table.find(digest_of(i)), slice_of(i)) << i;
  }
  EXPECT_FALSE(table.find(digest_of(0)));
  EXPECT_FALSE(table.find(digest_of(kCount + 1)));
}

TEST_F(ContentTableOf, KeepsWhatItHasAndTakesWhatIsNew) {
  save(1, 10);
  save(20, 10);
  {
    ContentTable table = open();
    repo::must(table.add(digest_of(5), slice_of(500)));
    repo::must(table.save());
  }
  const ContentTable table = open();
  EXPECT_EQ(table.find(digest_of(4)), slice_of(4));
  EXPECT_EQ(table.find(digest_of(5)), slice_of(500));
  EXPECT_EQ(table.find(digest_of(25)), slice_of(25));
}

TEST_F(ContentTableOf, IsMadeAnewWhenMuchOfItIsRecent) {
  save(1, 10);
  std::uint32_t next = 20;
  while (!open().wants_all()) {
    ASSERT_LT(next, 5000U);
    save(next, 500);
    next += 500;
  }
  save(10'000, 10);
  const ContentTable table = open();
  EXPECT_FALSE(table.wants_all());
  EXPECT_FALSE(table.find(digest_of(5)));
  EXPECT_FALSE(table.find(digest_of(25)));
  EXPECT_EQ(table.find(digest_of(10'005)), slice_of(10'005));
}

TEST_F(ContentTableOf, IsOfOneSource) {
  save(1, 10);
  format::SourceTag other;
  other.bytes.fill(std::byte{9});
  const ContentTable table(state_, repository(), other);
  EXPECT_TRUE(table.wants_all());
  EXPECT_FALSE(table.find(digest_of(5)));
}

TEST_F(ContentTableOf, SaysNothingToWhoCannotOpenTheRepository) {
  save(1, 10);
  repo::World other_world(executor_, 2);
  repo::make_repository(other_world);
  kv::MemoryKv other_state(executor_);
  repo::Node stranger(other_world, other_world.store, other_state, repo::key_file_of(1));
  EXPECT_FALSE(ContentTable(state_, stranger.repository(), source_).find(digest_of(5)));
}

TEST_F(ContentTableOf, EqualContentsTakeOnePlace) {
  {
    ContentTable table = open();
    for (std::uint32_t i = 0; i < 300; ++i) {
      repo::must(table.add(digest_of(7), slice_of(i % 3)));
    }
    repo::must(table.add(digest_of(8), slice_of(8)));
    repo::must(table.save());
  }
  const ContentTable table = open();
  EXPECT_EQ(table.find(digest_of(7)), slice_of(0));
  EXPECT_EQ(table.find(digest_of(8)), slice_of(8));
}

}  // namespace
}  // namespace firn::state
