// Which snapshots a command means.
#include "agent/cli/snapshot_filter.h"

#include <gtest/gtest.h>

namespace firn::cli {
namespace {

repo::SnapshotInfo make(std::uint8_t number, std::string host, std::vector<std::string> paths,
                        std::vector<std::string> tags) {
  repo::SnapshotInfo info;
  info.id.bytes[0] = std::byte{number};
  info.snapshot.source.host = std::move(host);
  info.snapshot.source.paths = std::move(paths);
  info.snapshot.source.tags = std::move(tags);
  info.snapshot.time.nanoseconds = number;
  return info;
}

repo::SnapshotList three() {
  repo::SnapshotList list;
  list.snapshots.push_back(make(0x1a, "one", {"/a"}, {}));
  list.snapshots.push_back(make(0x1b, "two", {"/a", "/b"}, {"x", "y"}));
  list.snapshots.push_back(make(0x2c, "two", {"/b", "/a"}, {"y"}));
  return list;
}

std::string chosen(const SnapshotFilter& filter) {
  const repo::SnapshotList list = three();
  std::string text;
  for (const repo::SnapshotInfo& info : list.snapshots) {
    if (filter.takes(info.snapshot)) {
      text += info.id.hex().substr(0, 2) + " ";
    }
  }
  return text;
}

TEST(SnapshotFilter, TakesAnyHostAllPathsAndAnySetOfTags) {
  EXPECT_EQ(chosen({}), "1a 1b 2c ");
  EXPECT_EQ(chosen({.hosts = {"two"}, .tags = {}, .paths = {}}), "1b 2c ");
  EXPECT_EQ(chosen({.hosts = {"one", "two"}, .tags = {}, .paths = {}}), "1a 1b 2c ");
  EXPECT_EQ(chosen({.hosts = {}, .tags = {}, .paths = {"/a", "/b"}}), "1b 2c ");
  EXPECT_EQ(chosen({.hosts = {}, .tags = {"x,y"}, .paths = {}}), "1b ");
  EXPECT_EQ(chosen({.hosts = {}, .tags = {"x", "y"}, .paths = {}}), "1b 2c ");
  EXPECT_EQ(chosen({.hosts = {}, .tags = {""}, .paths = {}}), "1a ");
  EXPECT_EQ(chosen({.hosts = {"one"}, .tags = {"x"}, .paths = {}}), "");
}

TEST(SelectSnapshot, LatestRespectsTheFilters) {
  const repo::SnapshotList list = three();
  EXPECT_EQ(select_snapshot(list, {}, "latest").value()->id, list.snapshots[2].id);
  EXPECT_EQ(select_snapshot(list, {.hosts = {"one"}, .tags = {}, .paths = {}}, "latest").value()->id,
            list.snapshots[0].id);
  EXPECT_EQ(select_snapshot(list, {.hosts = {"nobody"}, .tags = {}, .paths = {}}, "latest").error().code,
            ErrorCode::NotFound);
  EXPECT_EQ(select_snapshot({}, {}, "latest").error().code, ErrorCode::NotFound);
}

TEST(SelectSnapshot, APrefixMustBeUniqueAndHex) {
  const repo::SnapshotList list = three();
  EXPECT_EQ(select_snapshot(list, {}, "1b").value()->id, list.snapshots[1].id);
  EXPECT_EQ(select_snapshot(list, {}, "2").value()->id, list.snapshots[2].id);
  EXPECT_EQ(select_snapshot(list, {}, "1").error().code, ErrorCode::Invalid);
  EXPECT_EQ(select_snapshot(list, {}, "3").error().code, ErrorCode::NotFound);
  EXPECT_EQ(select_snapshot(list, {}, "").error().code, ErrorCode::Invalid);
  EXPECT_EQ(select_snapshot(list, {}, "newest").error().code, ErrorCode::Invalid);
}

TEST(SelectSnapshots, NamesEachOnce) {
  const repo::SnapshotList list = three();
  EXPECT_EQ(select_snapshots(list, {}, {"2c", "latest", "1a"}).value().size(), 2U);
}

TEST(GroupBy, KnowsItsWords) {
  EXPECT_FALSE(parse_group_by("").value().any());
  const GroupBy by = parse_group_by("host,paths").value();
  EXPECT_TRUE(by.host && by.paths && !by.tags);
  EXPECT_TRUE(parse_group_by("tag").value().tags);
  EXPECT_FALSE(parse_group_by("colour"));
}

TEST(Grouped, DoesNotLookAtTheOrderOfPaths) {
  const repo::SnapshotList list = three();
  const auto all = select_snapshots(list, {}, {}).value();
  const auto groups = grouped(all, {.host = true, .paths = true});
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[1].snapshots.size(), 2U);
  EXPECT_EQ(grouped(all, {.tags = true}).size(), 3U);
  EXPECT_EQ(groups[1].key({.host = true, .paths = true})["hostname"], "two");
  EXPECT_TRUE(groups[1].key({.host = true, .paths = true})["tags"].is_null());
}

TEST(SnapshotPath, SplitsAtTheFirstColon) {
  EXPECT_EQ(parse_snapshot_path("latest").snapshot, "latest");
  EXPECT_EQ(parse_snapshot_path("latest:/a:b").subpath, "/a:b");
}

TEST(TreePath, IsCleanAndNeverLeadsUp) {
  EXPECT_EQ(tree_path("/a//b/./c/").value(), "a/b/c");
  EXPECT_EQ(tree_path("/").value(), "");
  EXPECT_EQ(tree_path("").value(), "");
  EXPECT_FALSE(tree_path("/a/../b"));
  EXPECT_EQ(tree_path("/a/..b").value(), "a/..b");
}

TEST(Json, NamesThatAreNotUtf8BecomeReplacementCharacters) {
  EXPECT_EQ(json_text(Json("a\xff\xfe")), "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(json_text(Json("häns\n")), "\"häns\\n\"");
}

TEST(Json, ASnapshotHasWhatScriptsAskFor) {
  const Json json = snapshot_json(three().snapshots[1]);
  for (const char* field : {"time", "tree", "paths", "hostname", "username", "uid", "gid", "excludes", "tags",
                            "program_version", "summary", "id", "short_id"}) {
    EXPECT_TRUE(json.contains(field)) << field;
  }
  EXPECT_EQ(json["short_id"], "1b000000");
  EXPECT_FALSE(json.contains("parent"));
}

}  // namespace
}  // namespace firn::cli
