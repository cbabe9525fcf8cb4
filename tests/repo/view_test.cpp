// What maintenance has said and which snapshots count: condemned, fenced, sealed, forgotten; unions; index
// objects that are damaged, forged, late; lists that change while they are read.

#include "repo/view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repo/format/index_object.h"
#include "repo/format/session.h"
#include "tests/repo/maintainer.h"
#include "tests/repo/recording_store.h"
#include "tests/repo/rig.h"
#include "tests/support/fault_store.h"

namespace firn::repo {
namespace {

using format::Role;
using format::Roles;
using format::SnapshotId;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ViewTest : public testing::Test {
 protected:
  void SetUp() override {
    make_repository(world);
    node.emplace(world, store, kv, key_file_of(1));
  }

  MaintenanceView view() {
    // No cache: every record is asked for.
    const auto uncached = must(ObjectCache::open(node->repository(), nullptr));
    return must(load_maintenance(node->repository(), *uncached));
  }
  std::vector<SnapshotId> snapshots() {
    std::vector<SnapshotId> ids;
    for (const SnapshotInfo& info :
         must(list_snapshots(node->repository(), node->cache(), view())).snapshots) {
      ids.push_back(info.id);
    }
    return ids;
  }
  format::SnapshotName name_of(const SnapshotId& id) {
    for (const std::string& name : world.names("snapshots/")) {
      const auto parsed = must(format::parse_name_as<format::SnapshotName>(name));
      if (format::snapshot_id(parsed) == id) {
        return parsed;
      }
    }
    ADD_FAILURE() << "no such snapshot";
    return {};
  }
  IndexProblems sync(Node& which) { return must(sync_index(which.repository(), view(), which.index())); }
  std::unique_ptr<Repository> with_role(int number, Role role) {
    NewKeyOptions options;
    options.roles = Roles{}.with(role);
    must(add_key(services, world.store, node->repository().keys(), node->repository().config(),
                 key_file_of(number), options));
    return must(Repository::open(services, world.store, key_file_of(number)));
  }

  base::ThreadExecutor executor{2};
  World world{executor};
  Services services = world.services();
  RecordingStore store{world.store};
  kv::MemoryKv kv{executor};
  std::optional<Node> node;
};

TEST_F(ViewTest, FencedButUnsealedSnapshotsAreLive) {
  auto session = must(node->session());
  const auto id = must(node->backup(*session, {{"a", random_bytes(1, 100)}}));
  Maintainer(world, node->repository()).fence(session->id());
  EXPECT_THAT(snapshots(), ElementsAre(id));
}

TEST_F(ViewTest, ASnapshotIsVoidIffSomeSealOfItsSessionOmitsIt) {
  const auto other = must(node->backup({{"c", random_bytes(3, 100)}}));
  auto session = must(node->session());
  const auto a = must(node->backup(*session, {{"a", random_bytes(1, 100)}}));
  const auto b = must(node->backup(*session, {{"b", random_bytes(2, 100)}}));
  Maintainer first(world, node->repository());
  first.fence(session->id());
  first.seal(session->id(), {a, b});
  EXPECT_THAT(snapshots(), testing::UnorderedElementsAre(a, b, other));
  Maintainer second(world, node->repository());
  second.seal(session->id(), {b});
  EXPECT_THAT(snapshots(), testing::UnorderedElementsAre(b, other));
  Maintainer third(world, node->repository());
  third.seal(session->id(), {a});
  EXPECT_THAT(snapshots(), ElementsAre(other));
}

TEST_F(ViewTest, ForgottenSnapshotsAreGone) {
  const auto a = must(node->backup({{"a", random_bytes(1, 100)}}));
  const auto b = must(node->backup({{"b", random_bytes(2, 100)}}));
  Maintainer(world, node->repository()).forget(name_of(a));
  EXPECT_THAT(snapshots(), ElementsAre(b));
}

TEST_F(ViewTest, RecordsCountTheSameInsideAUnion) {
  auto session = must(node->session());
  const auto a = must(node->backup(*session, {{"a", random_bytes(1, 100)}}));
  const auto b = must(node->backup(*session, {{"b", random_bytes(2, 100)}}));
  Maintainer run(world, node->repository());
  run.fence(session->id());
  const auto pack = world.names("data/").front();
  std::vector<format::ObjectName> records{run.condemn({pack}), run.seal(session->id(), {a}),
                                          run.forget(name_of(a))};
  const MaintenanceView before = view();
  EXPECT_TRUE(before.is_void(name_of(b)));
  run.fold(records);
  const MaintenanceView after = view();
  EXPECT_EQ(after.condemned, before.condemned);
  EXPECT_EQ(after.sealed, before.sealed);
  EXPECT_EQ(after.forgotten, before.forgotten);
  EXPECT_EQ(after.fenced, before.fenced);
  EXPECT_THAT(snapshots(), IsEmpty());
}

TEST_F(ViewTest, AUnionThatCarriesWhatNobodySignedIsRefused) {
  const auto id = must(node->backup({{"a", random_bytes(1, 100)}}));
  const auto writer = with_role(31, Role::Writer);
  Maintainer run(world, node->repository());
  const auto name = format::object_name(format::ForgetName{id});
  const auto body = must(format::encode(format::Forget{.snapshot = name_of(id), .time = {}}));
  const format::Union folded{.proof = run.proof(),
                             .level = 1,
                             .time = {},
                             .replaces = {},
                             .records = {{.name = name,
                                          .stored = {},
                                          .signed_body = format::sign_body(name, body, writer->keys().kid(),
                                                                           writer->keys().sign_pair())}}};
  run.put(format::UnionName{1, run.session(), 1}, folded);
  const auto loaded = load_maintenance(node->repository(), node->cache());
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ErrorCode::Corrupt);
  EXPECT_THAT(loaded.error().message, HasSubstr("maint/union/"));
}

TEST_F(ViewTest, AWritersTombstoneForgetsNothing) {
  const auto id = must(node->backup({{"a", random_bytes(1, 100)}}));
  const auto writer = with_role(31, Role::Writer);
  must(writer
           ->put_sealed(format::object_name(format::ForgetName{id}),
                        must(format::encode(format::Forget{.snapshot = name_of(id), .time = {}})))
           .as_result());
  MaintenanceProblems problems;
  const auto loaded = must(load_maintenance(node->repository(), node->cache(), &problems));
  EXPECT_THAT(loaded.forgotten, IsEmpty());
  EXPECT_THAT(problems.lines, ElementsAre(HasSubstr("may not write")));
}

// A LIST is not one instant: records are folded between the LIST and the GETs.
TEST_F(ViewTest, RecordsFoldedWhileTheyAreReadAreFoundInTheirUnion) {
  must(node->backup({{"a", random_bytes(1, 100)}}));
  const auto packs = world.names("data/");
  Maintainer run(world, node->repository());
  const std::vector<format::ObjectName> records{run.condemn(packs)};
  const std::string record = records.front().str();
  bool folded = false;
  store.before = [&](const RecordingStore::Request& request) {
    if (!folded && request.verb == "GET" && request.name == record) {
      folded = true;
      run.fold(records);
    }
  };
  EXPECT_EQ(view().condemned.size(), packs.size());
  EXPECT_TRUE(folded);
}

TEST_F(ViewTest, ALongListOfRecordsIsReadPageByPage) {
  store.page_max = 2;
  std::vector<std::string> packs;
  for (std::uint64_t i = 0; i < 7; ++i) {
    must(node->backup({{"a", random_bytes(i, 100)}}));
  }
  Maintainer run(world, node->repository());
  for (const std::string& pack : world.names("data/")) {
    run.condemn({pack});
  }
  EXPECT_EQ(view().condemned.size(), 7u);
  EXPECT_EQ(snapshots().size(), 7u);
}

// Gate: a LIST page read before a replacement and the next after it.
TEST_F(ViewTest, AnIndexCompactedWhileItIsListedHidesNothing) {
  store.page_max = 1;
  std::vector<SnapshotId> ids;
  std::vector<Files> contents;
  for (std::uint64_t i = 0; i < 4; ++i) {
    contents.push_back({{"a", random_bytes(i, 3000)}});
    ids.push_back(must(node->backup(contents.back())));
  }
  const auto old = world.names("index/");
  for (std::size_t moment = 1; moment <= old.size() + 1; ++moment) {
    SCOPED_TRACE("compaction at LIST page " + std::to_string(moment));
    std::map<std::string, Bytes> before;
    for (const std::string& name : old) {
      before[name] = world.bytes(name);
    }
    std::string compacted;
    std::size_t page = 0;
    store.before = [&](const RecordingStore::Request& request) {
      if (request.verb != "LIST" || request.name != "index/" || ++page != moment) {
        return;
      }
      Maintainer run(world, node->repository());
      format::IndexObject object{.proof = run.proof(), .level = 1, .replaces = {}, .packs = {}};
      for (const std::string& name : old) {
        object.replaces.push_back(must(format::parse_name_as<format::IndexName>(name)));
        const auto opened = must(node->repository().open_sealed(World::object(name), before[name]));
        const auto parsed = must(format::parse_index(opened.signed_body.body));
        object.packs.insert(object.packs.end(), parsed.packs.begin(), parsed.packs.end());
      }
      std::sort(object.packs.begin(), object.packs.end(),
                [](const auto& a, const auto& b) { return a.name < b.name; });
      compacted = run.put(format::IndexName{1, run.session(), 1}, object).str();
      for (const std::string& name : old) {
        world.remove(name);
      }
    };
    kv::MemoryKv fresh(executor);
    Node reader(world, store, fresh, key_file_of(1));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      EXPECT_EQ(must(reader.restore(ids[i])), contents[i]);
    }
    store.before = {};
    EXPECT_FALSE(compacted.empty());
    world.remove(compacted);
    for (const auto& [name, bytes] : before) {
      world.replace(name, bytes);
    }
  }
}

struct BadIndex {
  const char* what;
  std::function<void(ViewTest&, const std::string& name)> spoil;
};

TEST_F(ViewTest, IndexObjectsThatCannotBeTrustedAreLeftOutAndReported) {
  must(node->backup({{"a", random_bytes(1, 3000)}}));
  const std::string name = world.names("index/").front();
  const Bytes good = world.bytes(name);
  const auto reader = with_role(31, Role::Reader);
  const auto writer = with_role(32, Role::Writer);
  const auto body = must(node->repository().get_sealed(World::object(name))).signed_body.body;
  const std::string copied = name.substr(0, name.size() - 1) + "9";
  const struct {
    const char* what;
    std::string at;
    std::function<void()> spoil;
  } kCases[] = {
      {"a flipped bit in the salt", name, [&] { world.flip(name, 3); }},
      {"a flipped bit in the commitment", name, [&] { world.flip(name, 40); }},
      {"a flipped bit in the ciphertext", name, [&] { world.flip(name, 100); }},
      {"nothing", name, [&] { world.replace(name, {}); }},
      {"the bytes of another object", name,
       [&] { world.replace(name, world.bytes(world.names("snapshots/").front())); }},
      {"its bytes under another name", copied, [&] { world.replace(copied, good); }},
      {"signed by a reader", name,
       [&] {
         world.remove(name);
         must(reader->put_sealed(World::object(name), body).as_result());
       }},
      {"signed by a writer who did not open the session", name,
       [&] {
         world.remove(name);
         must(writer->put_sealed(World::object(name), body).as_result());
       }},
      {"not an index", name,
       [&] {
         world.remove(name);
         must(node->repository().put_sealed(World::object(name), random_bytes(1, 99)).as_result());
       }},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.what);
    c.spoil();
    kv::MemoryKv fresh(executor);
    Node other(world, world.store, fresh, key_file_of(1));
    const IndexProblems problems = sync(other);
    EXPECT_THAT(problems.lines, ElementsAre(HasSubstr(c.at)));
    if (c.at == name) {
      // A writer goes on: it stores again what it cannot find.
      const auto id = must(other.backup({{"a", random_bytes(1, 3000)}}));
      EXPECT_EQ(must(other.restore(id)), (Files{{"a", random_bytes(1, 3000)}}));
      for (const std::string& added : world.names("index/")) {
        if (added != name) {
          world.remove(added);
        }
      }
    } else {
      world.remove(c.at);
    }
    world.replace(name, good);
  }
  kv::MemoryKv fresh(executor);
  Node other(world, world.store, fresh, key_file_of(1));
  EXPECT_THAT(sync(other).lines, IsEmpty());
}

TEST_F(ViewTest, AnIndexObjectThatIsGoneTakesItsChunksAlong) {
  must(node->backup({{"a", random_bytes(1, 3000)}}));
  const auto t = format::chunk_capability(*node->repository().keys().content(), format::ChunkType::Data,
                                          random_bytes(1, 3000));
  EXPECT_TRUE(must(node->index().contains_live(format::chunk_id(t))));
  world.remove(world.names("index/").front());
  sync(*node);
  EXPECT_FALSE(must(node->index().contains_live(format::chunk_id(t))));
}

TEST_F(ViewTest, ADamagedLocalIndexIsLoadedAgain) {
  const auto id = must(node->backup({{"a", random_bytes(1, 3000)}}));
  must(node->index().clear());
  EXPECT_TRUE(node->restore(id));
}

// Gate: a late duplicate of an index PUT.
TEST_F(ViewTest, ALateDuplicateOfAnIndexPutChangesNothing) {
  const Files files{{"a", random_bytes(1, 3000)}};
  must(node->backup(files));
  const std::string name = world.names("index/").front();
  const Bytes late = world.bytes(name);
  // Its packs are condemned, dropped, and the object is compacted away; another session stored anew.
  Maintainer run(world, node->repository());
  const auto data = world.names("data/");
  const auto meta = world.names("meta/");
  run.condemn(data);
  run.condemn(meta);
  const auto kept = must(node->backup(files));
  for (const auto& packs : {data, meta}) {
    for (const std::string& pack : packs) {
      world.remove(pack);
    }
  }
  world.remove(name);
  sync(*node);
  world.replace(name, late);

  const auto t =
      format::chunk_capability(*node->repository().keys().content(), format::ChunkType::Data, files.at("a"));
  kv::MemoryKv fresh(executor);
  for (Node* which : {&*node, new Node(world, world.store, fresh, key_file_of(1))}) {
    std::unique_ptr<Node> owned(which == &*node ? nullptr : which);
    EXPECT_THAT(sync(*which).lines, IsEmpty());
    for (const index::Location& location : must(which->index().find(format::chunk_id(t)))) {
      const bool dropped =
          std::find(data.begin(), data.end(), format::object_name(location.pack).str()) != data.end();
      EXPECT_EQ(dropped, location.state == index::PackState::Condemned);
    }
    EXPECT_EQ(must(which->restore(kept)), files);
    EXPECT_EQ(must(which->restore(must(which->backup(files)))), files);
  }
}

// Gate: a forged or re-put session marker is ignored. Nothing but check reads markers without maintenance.
TEST_F(ViewTest, ASnapshotUnderAForeignSessionDoesNotCount) {
  auto session = must(node->session());
  const auto id = must(node->backup(*session, {{"a", random_bytes(1, 100)}}));
  session->end();
  const auto writer = with_role(32, Role::Writer);
  const auto name = name_of(id);
  const auto object = must(node->repository().get_sealed(format::object_name(name)));
  auto snapshot = must(format::parse_snapshot(object.signed_body.body));

  // The writer puts another snapshot under the founder's session, with that session's proof: it can have no
  // other one.
  format::SnapshotName forged = name;
  forged.n += 1;
  snapshot.name = forged;
  must(writer->put_sealed(format::object_name(forged), must(format::encode(snapshot)), object.extra)
           .as_result());
  const auto list = must(list_snapshots(node->repository(), node->cache(), view()));
  ASSERT_EQ(list.snapshots.size(), 1u);
  EXPECT_EQ(list.snapshots.front().id, id);
  EXPECT_THAT(list.problems, ElementsAre(HasSubstr(format::object_name(forged).str())));
  snapshot.proof = {.kid = writer->keys().kid(), .r = {world.rng.bytes<32>()}};
  EXPECT_FALSE(format::encode(snapshot));
}

TEST_F(ViewTest, SnapshotsAreFoundByTheBeginningOfTheirId) {
  const auto a = must(node->backup({{"a", random_bytes(1, 100)}}));
  const auto list = must(list_snapshots(node->repository(), node->cache(), view()));
  EXPECT_EQ(must(find_by_prefix(list, a.hex().substr(0, 8)))->id, a);
  EXPECT_EQ(find_by_prefix(list, "").error().code, ErrorCode::Invalid);
  EXPECT_EQ(find_by_prefix(list, "xyz").error().code, ErrorCode::NotFound);
}

TEST_F(ViewTest, OnlyOneSourcesSnapshotsAreListedWhenItIsNamed) {
  const auto a = must(node->backup({{"a", random_bytes(1, 100)}}, "one"));
  must(node->backup({{"a", random_bytes(1, 100)}}, "two"));
  const auto tag = format::source_tag(node->repository().keys().meta(), as_bytes("one"));
  const auto list = must(list_snapshots(node->repository(), node->cache(), view(), tag));
  ASSERT_EQ(list.snapshots.size(), 1u);
  EXPECT_EQ(list.snapshots.front().id, a);
}

TEST_F(ViewTest, AKeyThatASnapshotWasNotSealedToCannotOpenIt) {
  must(node->backup({{"a", random_bytes(1, 100)}}));
  const auto writer = with_role(31, Role::Writer);
  const auto late_reader = with_role(32, Role::Reader);
  const auto list = must(list_snapshots(node->repository(), node->cache(), view()));
  for (const Repository* who : {writer.get(), late_reader.get()}) {
    const auto root = open_root(*who, list.snapshots.front());
    ASSERT_FALSE(root);
    EXPECT_EQ(root.error().code, ErrorCode::Denied);
  }
  EXPECT_TRUE(open_root(node->repository(), list.snapshots.front()));
}

}  // namespace
}  // namespace firn::repo
