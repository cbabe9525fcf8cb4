#include "agent/mount/layout.h"

#include <gtest/gtest.h>

namespace firn::mount {
namespace {

/// Snapshots whose names in the layout the test knows.
class Snapshots {
 public:
  format::Snapshot& add(const std::string& time) {
    format::Snapshot& snapshot = *snapshots_.emplace_back(std::make_unique<format::Snapshot>());
    snapshot.time.nanoseconds = static_cast<std::int64_t>(snapshots_.size()) * 1'000'000'000;
    Listed listed;
    listed.id.bytes[0] = static_cast<std::byte>(snapshots_.size());
    listed.snapshot = &snapshot;
    listed.time = time;
    listed_.push_back(listed);
    return snapshot;
  }
  Layout build(const std::vector<std::string>& templates = default_templates()) const {
    return Layout::build(listed_, templates);
  }

 private:
  std::vector<std::unique_ptr<format::Snapshot>> snapshots_;
  std::vector<Listed> listed_;
};

void expect_snapshot(const Layout& layout, const std::string& path, std::size_t number) {
  const Layout::Node* node = layout.find(path);
  ASSERT_NE(node, nullptr) << path;
  EXPECT_EQ(node->kind, Layout::Kind::Snapshot) << path;
  EXPECT_EQ(node->snapshot, number) << path;
}

TEST(Layout, ShowsASnapshotAtEveryPlaceThatItHasAValueFor) {
  Snapshots snapshots;
  format::Snapshot& one = snapshots.add("T1");
  one.source.host = "web";
  one.source.tags = {"daily", "a/b"};
  one.source.paths = {"/home/ann", "/etc"};
  one.source.ns = "shop";
  one.source.pod = "db-0";
  one.source.pvc_uid = "0815";
  one.source.volume = "data";
  const Layout layout = snapshots.build();
  for (const char* path :
       {"snapshots/T1", "ids/01000000", "hosts/web/T1", "tags/daily/T1", "tags/a_b/T1", "paths/home/ann/T1",
        "paths/etc/T1", "volumes/shop/db-0/data/T1", "volumes/shop/0815/data/T1"}) {
    expect_snapshot(layout, path, 0);
  }
}

TEST(Layout, HasNoPlaceWhereAValueIsMissing) {
  Snapshots snapshots;
  snapshots.add("T1");
  const Layout layout = snapshots.build();
  expect_snapshot(layout, "snapshots/T1", 0);
  for (const char* path : {"hosts", "tags", "paths", "volumes"}) {
    const Layout::Node* directory = layout.find(path);
    ASSERT_NE(directory, nullptr) << path;
    EXPECT_TRUE(directory->children.empty()) << path;
  }
}

TEST(Layout, NumbersSnapshotsOfOneTime) {
  Snapshots snapshots;
  snapshots.add("T");
  snapshots.add("T");
  snapshots.add("T");
  const Layout layout = snapshots.build();
  expect_snapshot(layout, "snapshots/T", 0);
  expect_snapshot(layout, "snapshots/T-1", 1);
  expect_snapshot(layout, "snapshots/T-2", 2);
}

TEST(Layout, LinksLatestToTheNewestOfEachDirectory) {
  Snapshots snapshots;
  snapshots.add("T1").source.host = "a";
  snapshots.add("T2").source.host = "b";
  snapshots.add("T3").source.host = "a";
  const Layout layout = snapshots.build();
  for (const auto& [path, target] :
       {std::pair("snapshots/latest", "T3"), std::pair("hosts/a/latest", "T3"),
        std::pair("hosts/b/latest", "T2"), std::pair("ids/latest", "03000000")}) {
    const Layout::Node* link = layout.find(path);
    ASSERT_NE(link, nullptr) << path;
    EXPECT_EQ(link->kind, Layout::Kind::Link);
    EXPECT_EQ(link->target, target);
  }
  EXPECT_EQ(layout.find("hosts/latest"), nullptr) << "no snapshot stands there itself";
}

TEST(Layout, KeepsAValueInsideItsName) {
  Snapshots snapshots;
  format::Snapshot& one = snapshots.add("T1");
  one.source.host = "..";
  one.source.tags = {"."};
  one.source.paths = {"/../../x/./"};
  const Layout layout = snapshots.build();
  expect_snapshot(layout, "hosts/__/T1", 0);
  expect_snapshot(layout, "tags/_/T1", 0);
  expect_snapshot(layout, "paths/__/__/x/_/T1", 0);
}

TEST(Layout, PutsASnapshotOfTheRootIntoPathsItself) {
  Snapshots snapshots;
  snapshots.add("T1").source.paths = {"/"};
  expect_snapshot(snapshots.build(), "paths/T1", 0);
}

TEST(Layout, CutsNamesThatNoDirectoryHolds) {
  Snapshots snapshots;
  snapshots.add("T1").source.host = std::string(4000, 'h');
  const Layout layout = snapshots.build();
  for (const auto& [name, child] : layout.find("hosts")->children) {
    EXPECT_LE(name.size(), 255U);
  }
}

TEST(Layout, FollowsItsTemplates) {
  Snapshots snapshots;
  format::Snapshot& one = snapshots.add("T1");
  one.source.host = "web";
  one.source.user = "ann";
  const Layout layout = snapshots.build({"by-%h/%u/%T-%i", "%I"});
  expect_snapshot(layout, "by-web/ann/T1-01000000", 0);
  expect_snapshot(layout, "01" + std::string(62, '0'), 0);
  EXPECT_EQ(layout.find("snapshots"), nullptr);
}

TEST(Layout, RefusesTemplatesThatNameNothingOrSomethingUnknown) {
  for (const char* bad : {"", "/", "%", "a/%", "%x", "../%T", "a/./%T"}) {
    EXPECT_FALSE(check_template(bad)) << bad;
  }
  for (const std::string& good : default_templates()) {
    EXPECT_TRUE(check_template(good)) << good;
  }
}

}  // namespace
}  // namespace firn::mount
