#include "repo/tree/tree_diff.h"

#include "written.h"

namespace firn::tree {
namespace {

using Change = std::pair<std::optional<format::Entry>, std::optional<format::Entry>>;
using Changes = std::map<ModelKey, Change>;

std::optional<format::Entry> copy_of(const format::EntryView* view) {
  return view != nullptr ? std::optional(format::to_entry(*view)) : std::nullopt;
}

Changes diff(MemoryPageStore& store, const WrittenTree& a, const WrittenTree& b) {
  Changes changes;
  std::optional<ModelKey> before;
  const auto walked = diff_trees(
      {store, a.t}, {store, b.t},
      [&](const format::Key& key, const format::EntryView* in_a, const format::EntryView* in_b) -> Result<> {
        const ModelKey at = model_key(key);
        EXPECT_TRUE(!before || *before < at);
        before = at;
        changes.emplace(at, Change{copy_of(in_a), copy_of(in_b)});
        return {};
      });
  EXPECT_TRUE(walked);
  return changes;
}

Changes diff(const Model& a, const Model& b) {
  Changes changes;
  for (const auto& [key, entry] : a) {
    changes[key].first = entry;
  }
  for (const auto& [key, entry] : b) {
    changes[key].second = entry;
  }
  std::erase_if(changes, [](const auto& change) { return change.second.first == change.second.second; });
  return changes;
}

TEST(TreeDiff, NamesExactlyWhatDiffers) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomTree random(seed);
    const Model a = random.tree(1 + random.below(400));
    Model b = a;
    random.mutate(b, random.below(40));
    if (seed % 5 == 0) {
      b = random.tree(1 + random.below(400));  // trees of other heights, with little in common
    }
    MemoryPageStore store;
    const WrittenTree tree_a = write(store, a);
    const WrittenTree tree_b = write(store, b);
    ASSERT_EQ(diff(store, tree_a, tree_b), diff(a, b));
    ASSERT_EQ(diff(store, tree_b, tree_a), diff(b, a));
  }
}

TEST(TreeDiff, ReadsNothingOfEqualTrees) {
  MemoryPageStore store;
  const WrittenTree tree = write(store, RandomTree(1).tree(1000));
  store.page_reads = 0;
  EXPECT_TRUE(diff(store, tree, tree).empty());
  EXPECT_EQ(store.page_reads, 0U);
}

TEST(TreeDiff, ReadsOnlyPagesThatTheTreesDoNotShare) {
  RandomTree random(2);
  const Model a = random.tree(5000);
  Model b = a;
  random.mutate(b, 3);
  MemoryPageStore store;
  const WrittenTree tree_a = write(store, a);
  ASSERT_GT(tree_a.pages.leaf_pages, 20U);
  store.new_pages = 0;
  const WrittenTree tree_b = write(store, b);
  const std::uint64_t new_pages = store.new_pages;
  store.page_reads = 0;
  EXPECT_EQ(diff(store, tree_a, tree_b), diff(a, b));
  EXPECT_LE(store.page_reads, 2 * new_pages + 4);
}

TEST(TreeDiff, EndsWithTheErrorOfTheVisitor) {
  MemoryPageStore store;
  const WrittenTree a = write(store, RandomTree(3).tree(100));
  const WrittenTree b = write(store, RandomTree(4).tree(100));
  int calls = 0;
  const auto walked =
      diff_trees({store, a.t}, {store, b.t},
                 [&](const format::Key&, const format::EntryView*, const format::EntryView*) -> Result<> {
                   ++calls;
                   return fail(ErrorCode::Cancelled, "enough");
                 });
  ASSERT_FALSE(walked);
  EXPECT_EQ(walked.error().code, ErrorCode::Cancelled);
  EXPECT_EQ(calls, 1);
}

TEST(ParentCursor, AnswersAscendingKeysAsAMapDoes) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomTree random(seed);
    const Model parent = random.tree(300);
    Model asked = parent;
    random.mutate(asked, 100);
    MemoryPageStore store;
    const WrittenTree tree = write(store, parent);
    ParentCursor cursor(store, tree.t);
    const std::uint64_t stride = 1 + random.below(30);
    for (const auto& [key, entry] : asked) {
      if (random.below(stride) != 0) {
        continue;
      }
      const format::EntryView* found = cursor.at({join(key.first), key.second}).value();
      const auto expected = parent.find(key);
      ASSERT_EQ(found != nullptr, expected != parent.end());
      if (found != nullptr) {
        ASSERT_EQ(format::to_entry(*found), expected->second);
      }
    }
  }
}

TEST(ParentCursor, GivesTheSameEntryAgainForTheSameKey) {
  MemoryPageStore store;
  const Model parent = RandomTree(2).tree(100);
  const WrittenTree tree = write(store, parent);
  ParentCursor cursor(store, tree.t);
  for (const auto& [key, entry] : parent) {
    for (int i = 0; i < 2; ++i) {
      const auto* found = cursor.at({join(key.first), key.second}).value();
      ASSERT_NE(found, nullptr);
      EXPECT_EQ(format::to_entry(*found), entry);
    }
  }
}

TEST(ParentCursor, DoesNotReadPagesBetweenTwoKeys) {
  MemoryPageStore store;
  const Model parent = RandomTree(3).tree(5000);
  const WrittenTree tree = write(store, parent);
  ASSERT_GT(tree.pages.leaf_pages, 20U);
  ParentCursor cursor(store, tree.t);
  store.page_reads = 0;
  for (const auto& key : {parent.begin()->first, parent.rbegin()->first}) {
    ASSERT_NE(cursor.at({join(key.first), key.second}).value(), nullptr);
  }
  EXPECT_LE(store.page_reads, 2U * tree.levels);
}

}  // namespace
}  // namespace firn::tree
