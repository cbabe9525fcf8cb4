// check_repository: clean repositories are clean, and every damage is found, named, and traced to files.

#include "repo/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "repo/format/index_object.h"
#include "repo/format/maintenance.h"
#include "repo/format/pack.h"
#include "tests/repo/maintainer.h"
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

// A stolen node stores junk under the id of a chunk that others will deduplicate against: only opening finds
// it.
TEST_F(CheckTest, JunkUnderAKnownIdIsFoundByReadingDataWithAReaderKey) {
  const Bytes plain = random_bytes(1, 5000);
  const auto t =
      format::chunk_capability(*node->repository().keys().content(), format::ChunkType::Data, plain);
  const Maintainer thief(world, node->repository());
  format::PackBuilder builder(format::PackKind::Data, node->repository().id(), thief.session(), 1 << 20);
  builder.append(
      format::chunk_id(t),
      {.type = format::ChunkType::Data, .codec = format::Codec::Raw, .plain = 5000, .stored = 5028},
      random_bytes(2, 5028));
  auto pack = std::move(builder).finish(format::PackBuilder::Padding::Last, node->repository().keys().meta(),
                                        {world.rng.bytes<32>(), world.rng.bytes<32>()});
  const std::string name = format::object_name(pack.name).str();
  world.replace(name, pack.bytes);
  const format::IndexObject index{.proof = thief.proof(),
                                  .level = 0,
                                  .replaces = {},
                                  .packs = {{.name = pack.name,
                                             .size_bytes = static_cast<std::uint32_t>(pack.bytes.size()),
                                             .entries = pack.trailer.entries}}};
  const auto index_name = format::object_name(format::IndexName{0, thief.session(), 1});
  must(node->repository().put_sealed(index_name, must(format::encode(index))).as_result());

  const auto id = must(node->backup({{"a/victim", plain}}));
  EXPECT_THAT(check(DataSubset::Kind::None).damage(), IsEmpty());
  const Checked checked = check();
  EXPECT_THAT(checked.damage(), testing::ElementsAre(HasSubstr(name)));
  EXPECT_THAT(checked.affects(), testing::ElementsAre("snapshot " + id.hex().substr(0, 8) + ": /a/victim"));
}

TEST_F(CheckTest, AnIndexThatDisagreesWithATrailerIsFound) {
  must(node->backup({{"a", random_bytes(1, 5000)}}));
  const std::string name = world.names("index/").front();
  const auto object = must(node->repository().get_sealed(World::object(name)));
  const struct {
    const char* what;
    std::function<void(format::PackEntry&)> change;
  } kCases[] = {
      {"an offset", [](format::PackEntry& entry) { entry.offset += 1; }},
      {"an id", [](format::PackEntry& entry) { entry.id.bytes[5] ^= std::byte{1}; }},
      {"lengths",
       [](format::PackEntry& entry) {
         entry.shape.plain -= 8;
         entry.shape.stored -= 8;
       }},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.what);
    auto index = must(format::parse_index(object.signed_body.body));
    c.change(index.packs.front().entries.front());
    world.remove(name);
    must(node->repository().put_sealed(World::object(name), must(format::encode(index))).as_result());
    kv::MemoryKv fresh(executor);
    Node other(world, world.store, fresh, key_file_of(1));
    CheckOptions all;
    all.data.kind = DataSubset::Kind::All;
    const Checked checked = check_as(other, all);
    EXPECT_THAT(checked.damage(), Contains(HasSubstr("the index disagrees")));
    EXPECT_THAT(checked.affects(), Contains(HasSubstr(": /a")));
    EXPECT_TRUE(checked.report.suggest_repair_index);
  }
}

// Gate: a forged or re-put session marker is ignored; check says that it is there.
TEST_F(CheckTest, AForgedSessionMarkerIsReported) {
  auto session = must(node->session());
  must(node->backup(*session, {{"a", random_bytes(1, 100)}}));
  const auto name = format::object_name(format::SessionName{session->id()});
  session->end();
  NewKeyOptions options;
  options.roles = format::Roles{}.with(format::Role::Writer);
  const Services services = world.services();
  must(add_key(services, world.store, node->repository().keys(), node->repository().config(), key_file_of(2),
               options));
  const auto thief = must(Repository::open(services, world.store, key_file_of(2)));
  const auto marker = must(node->repository().get_sealed(name)).signed_body.body;
  world.remove(name.str());
  must(thief->put_sealed(name, marker).as_result());
  kv::MemoryKv other(executor);
  Node checking(world, world.store, other, key_file_of(1));
  EXPECT_THAT(check_as(checking, {}).damage(), testing::ElementsAre(HasSubstr(name.str())));
}

TEST_F(CheckTest, DamageThatAnotherCopyHealsAffectsNoFile) {
  const Files files{{"a", random_bytes(1, 5000)}};
  must(node->backup(files));
  const auto first = world.names("data/");
  const auto record = Maintainer(world, node->repository()).condemn(first);
  must(node->backup(files));
  world.remove(record.str());  // as if two nodes had stored it at once
  kv::MemoryKv fresh(executor);
  Node other(world, world.store, fresh, key_file_of(1));
  world.flip(first.front(), 100);
  CheckOptions all;
  all.data.kind = DataSubset::Kind::All;
  const Checked checked = check_as(other, all);
  EXPECT_EQ(checked.report.broken_packs, first);
  EXPECT_THAT(checked.affects(), IsEmpty());
}

TEST_F(CheckTest, ForgottenSnapshotsAreLeftoversAndNotWalked) {
  must(node->backup({{"a", random_bytes(1, 5000)}}));
  const std::string name = world.names("snapshots/").front();
  Maintainer(world, node->repository()).forget(must(format::parse_name_as<format::SnapshotName>(name)));
  for (const std::string& pack : world.names("data/")) {
    world.remove(pack);
  }
  const Checked checked = check();
  EXPECT_THAT(checked.affects(), IsEmpty());
  EXPECT_THAT(checked.messages(Finding::Kind::Leftover), Contains(HasSubstr("1 snapshot that")));
  EXPECT_TRUE(checked.report.suggest_prune);
}

TEST_F(CheckTest, CondemnedPacksMayBeGone) {
  must(node->backup({{"a", random_bytes(1, 5000)}}));
  const auto data = world.names("data/");
  const auto meta = world.names("meta/");
  Maintainer run(world, node->repository());
  run.condemn(data);
  run.condemn(meta);
  Maintainer(world, node->repository())
      .forget(must(format::parse_name_as<format::SnapshotName>(world.names("snapshots/").front())));
  must(node->backup({{"a", random_bytes(1, 5000)}}));
  for (const auto& packs : {data, meta}) {
    for (const std::string& pack : packs) {
      world.remove(pack);
    }
  }
  EXPECT_THAT(check().damage(), IsEmpty());
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
