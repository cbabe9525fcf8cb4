// check_repository: clean repositories are clean, and every damage is found, named, and traced to files.

#include "repo/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "repo/format/maintenance.h"
#include "tests/repo/rig.h"

namespace firn::repo {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct Checked {
  CheckReport report;
  std::vector<Finding> findings;

  std::vector<std::string> messages(Finding::Kind kind) const {
    std::vector<std::string> messages;
    for (const Finding& finding : findings) {
      if (finding.kind == kind) {
        messages.push_back(finding.message);
      }
    }
    return messages;
  }
  std::vector<std::string> damage() const { return messages(Finding::Kind::Damage); }
  std::vector<std::string> affects() const {
    std::vector<std::string> lines;
    for (const Finding& finding : findings) {
      lines.insert(lines.end(), finding.affects.begin(), finding.affects.end());
    }
    return lines;
  }
};

Files some_files() {
  Files files;
  for (int i = 0; i < 12; ++i) {
    files["dir" + std::to_string(i % 3) + "/file" + std::to_string(i)] =
        random_bytes(static_cast<std::uint64_t>(100 + i), 100'000);
  }
  files["big"] = random_bytes(7, 40 * kPieceBytes);  // slices beyond an entry: has slice pages
  files["empty"] = {};
  return files;
}

class CheckTest : public testing::Test {
 protected:
  void SetUp() override {
    make_repository(world);
    node.emplace(world, world.store, kv, key_file_of(1));
  }

  Checked check(DataSubset::Kind kind = DataSubset::Kind::All) {
    CheckOptions options;
    options.data.kind = kind;
    return check_with(options);
  }
  Checked check_with(const CheckOptions& options) { return check_as(*node, options); }
  Checked check_as(Node& as, const CheckOptions& options) {
    Checked checked;
    CheckProgress progress;
    base::StopFlag stop;
    checked.report =
        must(check_repository(as.repository(), as.index(), as.cache(), as.state(), options, stop, progress,
                              [&](const Finding& f) { checked.findings.push_back(f); }));
    EXPECT_EQ(checked.report.errors, checked.damage().size());
    return checked;
  }

  base::ThreadExecutor executor{2};
  World world{executor};
  kv::MemoryKv kv{executor};
  std::optional<Node> node;
};

TEST_F(CheckTest, FindsNothingInAGoodRepository) {
  must(node->backup(some_files()));
  Files more = some_files();
  more["dir1/new"] = random_bytes(5, 3000);
  must(node->backup(more));
  const Checked checked = check();
  EXPECT_THAT(checked.findings, IsEmpty()) << testing::PrintToString(checked.damage());
  EXPECT_EQ(checked.report.packs_read, world.names("data/").size() + world.names("meta/").size());
  EXPECT_GT(checked.report.chunks_opened, 40u);
  EXPECT_TRUE(checked.report.contents_opened);
  EXPECT_FALSE(checked.report.suggest_prune);
  EXPECT_FALSE(checked.report.suggest_repair_index);
}

TEST_F(CheckTest, FindsEveryFlippedObject) {
  must(node->backup(some_files()));
  for (const std::string& name : world.names("")) {
    const Bytes before = world.bytes(name);
    for (const std::size_t at : {std::size_t{0}, before.size() / 3, before.size() / 2, before.size() - 1}) {
      SCOPED_TRACE(name + " at " + std::to_string(at));
      // A repository whose configuration or key is damaged does not open at all.
      world.flip(name, at);
      const Checked checked = check();
      world.replace(name, before);
      EXPECT_GT(checked.report.errors, 0u);
      EXPECT_THAT(checked.damage(), Contains(HasSubstr(name.starts_with("snapshots/") ? "snapshot" : name)));
    }
  }
  EXPECT_THAT(check().findings, IsEmpty());
}

TEST_F(CheckTest, NamesTheFilesOfADamagedPack) {
  const auto first = must(node->backup({{"a/one", random_bytes(1, 5000)}}));
  must(node->backup({{"b/two", random_bytes(2, 5000)}}));
  // The first session's data pack is the one that its index object names.
  std::vector<std::string> packs = world.names("data/");
  ASSERT_EQ(packs.size(), 2u);
  for (const std::string& pack : packs) {
    SCOPED_TRACE(pack);
    const Bytes before = world.bytes(pack);
    world.flip(pack, 100);
    const Checked checked = check();
    world.replace(pack, before);
    EXPECT_EQ(checked.report.broken_packs, std::vector<std::string>{pack});
    EXPECT_EQ(checked.report.errors, 1u);
    const auto affects = checked.affects();
    ASSERT_EQ(affects.size(), 1u);
    EXPECT_TRUE(affects[0] == "snapshot " + first.hex().substr(0, 8) + ": /a/one" ||
                affects[0].ends_with(": /b/two"));
  }
}

TEST_F(CheckTest, MissingPackIsFoundWithoutReadingData) {
  must(node->backup(some_files()));
  for (const std::string prefix : {"data/", "meta/"}) {
    const std::string pack = world.names(prefix).front();
    SCOPED_TRACE(pack);
    const Bytes before = world.bytes(pack);
    world.remove(pack);
    const Checked checked = check(DataSubset::Kind::None);
    world.replace(pack, before);
    EXPECT_THAT(checked.damage(), Contains(HasSubstr(pack + ": is missing")));
    EXPECT_THAT(checked.affects(), Not(IsEmpty()));
    EXPECT_TRUE(checked.report.suggest_repair_index);
  }
}

TEST_F(CheckTest, PackOfAnotherSizeIsFoundWithoutReadingData) {
  must(node->backup(some_files()));
  const std::string pack = world.names("data/").front();
  Bytes shorter = world.bytes(pack);
  shorter.pop_back();
  world.replace(pack, shorter);
  const Checked checked = check(DataSubset::Kind::None);
  EXPECT_THAT(checked.damage(), Contains(HasSubstr(pack + ": has ")));
  EXPECT_THAT(checked.affects(), Not(IsEmpty()));
}

TEST_F(CheckTest, MissingIndexObjectLeavesChunksNowhere) {
  must(node->backup(some_files()));
  for (const std::string& name : world.names("index/")) {
    world.remove(name);
  }
  const Checked checked = check(DataSubset::Kind::None);
  EXPECT_THAT(checked.damage(), Contains(HasSubstr("in no pack of the index")));
  EXPECT_THAT(checked.messages(Finding::Kind::Leftover), Contains(HasSubstr("in no index")));
  EXPECT_TRUE(checked.report.suggest_prune);
}

TEST_F(CheckTest, PacksOfARunningSessionAreNoLeftovers) {
  auto session = must(node->session());
  ChunkWriter writer(*session);
  must(writer.store(format::ChunkType::Data, random_bytes(1, 1000)));
  must(session->flush());
  const std::string index_object = world.names("index/").front();
  world.remove(index_object);
  EXPECT_THAT(check().findings, IsEmpty());
  session->end();
  EXPECT_THAT(check().messages(Finding::Kind::Leftover), Contains(HasSubstr("1 pack")));
}

TEST_F(CheckTest, MaintainerKeyFindsDamageAndNamesSnapshots) {
  const auto id = must(node->backup(some_files()));
  NewKeyOptions options;
  options.roles = format::Roles{}.with(format::Role::Maintainer);
  const Services services = world.services();
  must(add_key(services, world.store, node->repository().keys(), node->repository().config(), key_file_of(2),
               options));
  kv::MemoryKv other(executor);
  Node maintainer(world, world.store, other, key_file_of(2));
  CheckOptions all;
  all.data.kind = DataSubset::Kind::All;
  const Checked good = check_as(maintainer, all);
  EXPECT_THAT(good.findings, IsEmpty());
  EXPECT_FALSE(good.report.contents_opened);
  const std::string pack = world.names("data/").front();
  world.flip(pack, 100);
  const Checked checked = check_as(maintainer, all);
  EXPECT_THAT(checked.damage(), Contains(HasSubstr(pack)));
  EXPECT_THAT(checked.affects(), Contains("snapshot " + id.hex().substr(0, 8)));
}

TEST_F(CheckTest, PartsTogetherReadEveryPackOnce) {
  must(node->backup(some_files()));
  std::uint64_t packs = 0;
  for (std::uint32_t part = 1; part <= 3; ++part) {
    CheckOptions options;
    options.data = {.kind = DataSubset::Kind::Part, .part = part, .of = 3};
    packs += check_with(options).report.packs_read;
  }
  EXPECT_EQ(packs, world.names("data/").size() + world.names("meta/").size());
}

TEST_F(CheckTest, StopsWhenAsked) {
  must(node->backup(some_files()));
  base::StopFlag stop;
  stop.request();
  CheckProgress progress;
  const auto checked = check_repository(node->repository(), node->index(), node->cache(), node->state(),
                                        CheckOptions{}, stop, progress, [](const Finding&) {});
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::Cancelled);
}

}  // namespace
}  // namespace firn::repo
