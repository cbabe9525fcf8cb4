#include "agent/mount/node_table.h"

#include <gtest/gtest.h>

namespace firn::mount {
namespace {

NodeTable::Fresh child(NodeNumber parent, std::string_view name, std::shared_ptr<const Placement> placement) {
  return {.parent = parent,
          .name = name,
          .hash = number_of(parent, name),
          .placement = std::move(placement),
          .group = std::nullopt,
          .has_xattrs = false};
}

/// A snapshot's root below the mount's.
struct Rooted {
  Rooted() {
    auto made = std::make_shared<Placement>();
    made->number = number_of_snapshot(kRootNumber, "T1", {});
    placement = made;
    NodeTable::Fresh fresh = child(kRootNumber, "T1", placement);
    fresh.hash = made->number;
    root = table.remember(fresh);
  }
  NodeTable table;
  std::shared_ptr<const Placement> placement;
  NodeNumber root = 0;
};

TEST(NodeTable, KnowsWhereAThingStands) {
  Rooted rooted;
  const NodeNumber a = rooted.table.remember(child(rooted.root, "a", rooted.placement));
  const NodeNumber b = rooted.table.remember(child(a, "b\xff", rooted.placement));
  const auto place = rooted.table.find(b);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->path, "a/b\xff");
  EXPECT_EQ(rooted.table.find(rooted.root)->path, "") << "a path begins below the snapshot's root";
}

TEST(NodeTable, GivesTheSameNumberEveryTime) {
  Rooted one;
  Rooted other;
  EXPECT_EQ(one.table.remember(child(one.root, "a", one.placement)),
            other.table.remember(child(other.root, "a", other.placement)));
}

TEST(NodeTable, SharesANumberBetweenHardLinksOnly) {
  Rooted rooted;
  NodeTable::Fresh link = child(rooted.root, "one", rooted.placement);
  link.hash = number_of_group(rooted.placement->number, 0, 42);
  link.group = 42;
  const NodeNumber first = rooted.table.remember(link);
  link.name = "two";
  EXPECT_EQ(rooted.table.remember(link), first);
  link.hash = number_of_group(rooted.placement->number, 1, 42);
  EXPECT_NE(rooted.table.remember(link), first) << "another device";
}

TEST(NodeTable, NeverGivesTwoThingsOneNumber) {
  Rooted rooted;
  NodeTable::Fresh a = child(rooted.root, "a", rooted.placement);
  NodeTable::Fresh b = child(rooted.root, "b", rooted.placement);
  b.hash = a.hash;
  const NodeNumber number_a = rooted.table.remember(a);
  const NodeNumber number_b = rooted.table.remember(b);
  EXPECT_NE(number_a, number_b);
  EXPECT_EQ(rooted.table.find(number_b)->path, "b");
  EXPECT_EQ(rooted.table.remember(b), number_b);
}

TEST(NodeTable, ForgetsWhatTheKernelForgotAndKeepsWhatStandsAbove) {
  Rooted rooted;
  const NodeNumber a = rooted.table.remember(child(rooted.root, "a", rooted.placement));
  const NodeNumber b = rooted.table.remember(child(a, "b", rooted.placement));
  rooted.table.remember(child(a, "b", rooted.placement));
  rooted.table.forget(a, 1);
  rooted.table.forget(b, 1);
  EXPECT_EQ(rooted.table.find(b)->path, "a/b") << "one look-up is left";
  rooted.table.forget(b, 1);
  EXPECT_FALSE(rooted.table.find(b));
  EXPECT_FALSE(rooted.table.find(a));
  rooted.table.forget(rooted.root, 1);
  EXPECT_EQ(rooted.table.size(), 0U);
}

TEST(NodeTable, OffersTheOldestNamesThatNothingStandsBelow) {
  Rooted rooted;
  const NodeNumber a = rooted.table.remember(child(rooted.root, "a", rooted.placement));
  for (const char* name : {"1", "2", "3"}) {
    rooted.table.remember(child(a, name, rooted.placement));
  }
  const auto names = [&](std::size_t count) {
    std::string all;
    for (const NodeTable::Name& name : rooted.table.oldest(count)) {
      EXPECT_EQ(name.parent, a);
      all += name.name;
    }
    return all;
  };
  EXPECT_EQ(names(2), "12");
  EXPECT_EQ(names(2), "31") << "what was offered counts as new";
  EXPECT_EQ(names(99), "231");
  for (const char* name : {"1", "2", "3"}) {
    rooted.table.forget(number_of(a, name), 1);
  }
  EXPECT_EQ(rooted.table.oldest(99).front().name, "a") << "nothing stands below it any more";
}

TEST(NodeTable, TakesNothingBelowWhatItDoesNotKnow) {
  Rooted rooted;
  EXPECT_EQ(rooted.table.remember(child(99, "a", rooted.placement)), 0U);
  rooted.table.forget(12345, 7);
  EXPECT_EQ(rooted.table.size(), 1U);
}

}  // namespace
}  // namespace firn::mount
