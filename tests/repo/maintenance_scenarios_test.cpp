// The scenarios that the protocol was made for, one by one: hostile writers, late writes, runs that die.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repo/format/capability.h"
#include "repo/format/index_object.h"
#include "tests/repo/maintenance_rig.h"
#include "tests/support/forwarding_store.h"

namespace firn::repo {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// A writer who means harm, with a session of its own and nothing but a writer's key.
struct Hostile {
  explicit Hostile(Place& place)
      : world(place.world), state(place.world.executor), services(place.world.services()) {
    must(add_key(services, world.store, place.node->repository().keys(), place.node->repository().config(),
                 key_file_of(2),
                 {.roles = format::Roles{}.with(format::Role::Writer), .user = "", .host = ""}));
    node = std::make_unique<Node>(world, world.store, state, key_file_of(2));
    // Who opened the repository before does not know the key.
    place.node.reset();
    place.node = std::make_unique<Node>(world, world.store, place.state, key_file_of(1));
    session = must(node->session());
  }
  template <class Name, class Record>
  void put(const Name& name, const Record& record) {
    must(node->repository().put_sealed(format::object_name(name), must(format::encode(record))).as_result());
  }
  void put_index(std::vector<format::IndexedPack> packs) {
    std::sort(packs.begin(), packs.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    put(format::IndexName{.level = 0, .session = session->id(), .n = next_n++},
        format::IndexObject{.proof = session->proof(), .level = 0, .replaces = {}, .packs = packs});
  }
  /// A pack that says it holds the chunks of `pack`, and holds junk.
  format::IndexedPack junk_like(const index::PackSummary& pack, std::span<const format::PackEntry> entries) {
    format::PackBuilder builder(pack.name.kind, node->repository().id(), session->id(), 1 << 20);
    for (const format::PackEntry& entry : entries) {
      builder.append(entry.id, entry.shape, random_bytes(entry.offset + 5, entry.shape.stored));
    }
    const format::PackRandom random{.trailer_salt = world.rng.bytes<32>(),
                                    .padding_key = world.rng.bytes<32>()};
    format::FinishedPack made = std::move(builder).finish(format::PackBuilder::Padding::Last,
                                                          node->repository().keys().meta(), random);
    EXPECT_TRUE(world.store.put(format::object_name(made.name), made.bytes).done());
    return {.name = made.name,
            .size_bytes = static_cast<std::uint32_t>(made.bytes.size()),
            .entries = std::move(made.trailer.entries)};
  }

  World& world;
  kv::MemoryKv state;
  Services services;
  std::unique_ptr<Node> node;
  std::unique_ptr<WriteSession> session;
  std::uint32_t next_n = 900;
};

/// A snapshot whose packs also hold what is forgotten then: they will be rewritten.
format::SnapshotId half_dead(Place& place, Files& kept) {
  kept = files_of(1, 3);
  Files both = kept;
  both.merge(Files{{"other", random_bytes(9, 300'000)}});
  const auto first = must(place.node->backup(both));
  const auto second = must(place.node->backup(kept));
  place.forget(first);
  return second;
}

TEST(Scenario, JunkUnderAKnownIdDoesNotMakeTheGoodCopyGo) {
  in_a_place([](Place& place) {
    Files kept;
    const auto id = half_dead(place, kept);
    Hostile hostile(place);
    std::vector<format::IndexedPack> junk;
    must(hostile.node->index().for_each_pack_with_entries([&](const auto& pack, auto entries) {
      junk.push_back(hostile.junk_like(pack, entries));
      return true;
    }));
    hostile.put_index(junk);
    hostile.session->end();
    const MaintenanceReport report = must(place.prune());
    EXPECT_GT(report.packs_deleted, 0U);
    EXPECT_EQ(place.restore(id), kept);
  });
}

TEST(Scenario, AnIndexWithWrongOffsetsDoesNotMakeTheGoodCopyGo) {
  in_a_place([](Place& place) {
    Files kept;
    const auto id = half_dead(place, kept);
    Hostile hostile(place);
    std::vector<format::IndexedPack> wrong;
    must(hostile.node->index().for_each_pack_with_entries([&](const index::PackSummary& pack, auto entries) {
      format::IndexedPack listed{.name = pack.name, .size_bytes = pack.size_bytes, .entries = {}};
      listed.entries.assign(entries.begin(), entries.end());
      for (std::size_t i = 0; i + 1 < listed.entries.size(); ++i) {
        std::swap(listed.entries[i].id, listed.entries[i + 1].id);
      }
      wrong.push_back(listed);
      return true;
    }));
    hostile.put_index(wrong);
    hostile.session->end();
    must(place.prune());
    must(place.prune());
    EXPECT_EQ(place.restore(id), kept);
  });
}

TEST(Scenario, AListingThatSaysLessDoesNotMakeAPackWithADamagedTrailerGo) {
  // Which listing of a pack comes first hangs on the sessions' random names.
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    base::SeededExecutor executor(seed);
    executor.run([&] {
      Place place(executor, seed);
      Files kept;
      const auto id = half_dead(place, kept);
      Hostile hostile(place);
      std::vector<format::IndexedPack> less;
      must(
          hostile.node->index().for_each_pack_with_entries([&](const index::PackSummary& pack, auto entries) {
            format::PackEntry other = entries.front();
            other.id = format::ChunkId{place.world.rng.bytes<32>()};
            less.push_back({.name = pack.name, .size_bytes = pack.size_bytes, .entries = {other}});
            return true;
          }));
      hostile.put_index(less);
      hostile.session->end();
      for (const std::string& name : place.world.names(format::kDataPrefix)) {
        place.world.flip(name, place.world.bytes(name).size() - 100);
      }
      kv::MemoryKv state(executor);
      Node pruner(place.world, place.world.store, state, key_file_of(1));
      EXPECT_TRUE(Place::prune(pruner));
      EXPECT_EQ(place.restore(id), kept);
    });
  }
}

TEST(Scenario, AForgedMarkerHoldsNothingUp) {
  in_a_place([](Place& place) {
    Files kept;
    const auto id = half_dead(place, kept);
    Hostile hostile(place);
    format::SessionMarker marker;
    marker.proof = hostile.session->proof();
    const format::SessionId nobodys{place.world.rng.bytes<16>()};
    hostile.put(format::SessionName{nobodys}, marker);
    hostile.session->end();
    const MaintenanceReport report = must(place.prune());
    EXPECT_GT(report.packs_deleted, 0U);
    EXPECT_THAT(report.waiting_for, IsEmpty());
    EXPECT_THAT(place.world.names("sessions/" + nobodys.hex()), IsEmpty());
    EXPECT_EQ(place.restore(id), kept);
  });
}

TEST(Scenario, NobodyEndsAnothersSession) {
  in_a_place([](Place& place) {
    Files kept;
    const auto id = half_dead(place, kept);
    kv::MemoryKv other_state(place.world.executor);
    Node other(place.world, place.world.store, other_state, key_file_of(1));
    auto victim = must(other.session());
    Hostile hostile(place);
    for (const format::SessionProof& proof : {hostile.session->proof(), victim->proof()}) {
      place.world.remove("sessions/" + victim->id().hex() + ".end");
      hostile.put(format::EndName{victim->id()}, format::SessionEnd{.proof = proof, .time = {}});
      const MaintenanceReport report = must(place.prune());
      EXPECT_EQ(report.packs_deleted, 0U);
    }
    EXPECT_EQ(place.restore(id), kept);
  });
}

TEST(Scenario, AJunkSnapshotKeepsEverythingUntilItIsForgotten) {
  in_a_place([](Place& place) {
    Files kept;
    const auto id = half_dead(place, kept);
    Hostile hostile(place);
    format::Snapshot junk;
    junk.repository = place.node->repository().id();
    junk.proof = hostile.session->proof();
    junk.source.id = to_bytes(as_bytes("junk"));
    junk.name = {.source = format::source_tag(place.node->repository().keys().meta(), junk.source.id),
                 .session = hostile.session->id(),
                 .n = 0};
    junk.root = format::ChunkId{place.world.rng.bytes<32>()};
    junk.refs_root = format::ChunkId{place.world.rng.bytes<32>()};
    must(hostile.node->repository()
             .put_sealed(format::object_name(junk.name), must(format::encode(junk)),
                         must(format::encode_capabilities({})))
             .as_result());
    hostile.session->end();
    const std::string junk_id = format::snapshot_id(junk.name).hex().substr(0, 8);
    const MaintenanceReport report = must(place.prune());
    ASSERT_THAT(report.problems, Not(IsEmpty()));
    EXPECT_THAT(report.problems.front(), HasSubstr(junk_id));
    EXPECT_THAT(report.problems.front(), HasSubstr(hostile.node->repository().keys().kid().hex()));
    EXPECT_THAT(report.problems.front(), HasSubstr(junk.refs_root.hex()));
    EXPECT_EQ(report.packs_deleted, 0U);
    Maintainer(place.world, place.node->repository()).forget(junk.name);
    const MaintenanceReport then = must(place.prune());
    EXPECT_THAT(then.problems, IsEmpty());
    EXPECT_GT(then.packs_deleted, 0U);
    EXPECT_EQ(place.restore(id), kept);
  });
}

TEST(Scenario, ALateDuplicateOfAnIndexObjectChangesNothing) {
  in_a_place([](Place& place) {
    Files kept;
    const auto id = half_dead(place, kept);
    std::map<std::string, Bytes> old;
    for (const std::string_view prefix : {"index/", "sessions/", "snapshots/"}) {
      for (const std::string& name : place.world.names(prefix)) {
        old[name] = place.world.bytes(name);
      }
    }
    must(place.prune());
    must(place.prune());
    for (const auto& [name, bytes] : old) {
      EXPECT_TRUE(place.world.store.put(World::object(name), bytes).done());
    }
    // Whoever reads the old objects again must not rely on packs that are gone.
    kv::MemoryKv fresh_state(place.world.executor);
    Node fresh(place.world, place.world.store, fresh_state, key_file_of(1));
    Files both = kept;
    both.merge(Files{{"other", random_bytes(9, 300'000)}});
    const auto again = must(fresh.backup(both, "again"));
    EXPECT_EQ(place.restore(again), both);
    EXPECT_EQ(place.restore(id), kept);
    EXPECT_THAT(must(place.prune()).problems, IsEmpty());
    EXPECT_EQ(place.restore(again), both);
  });
}

TEST(Scenario, WhatAFencerLeftUnsealedIsSealedByTheNextRun) {
  in_a_place([](Place& place) {
    Files kept;
    const auto id = half_dead(place, kept);
    kv::MemoryKv other_state(place.world.executor);
    Node other(place.world, place.world.store, other_state, key_file_of(1));
    auto session = must(other.session());
    const auto counted = must(other.backup(*session, files_of(4), "counted"));
    Maintainer(place.world, place.node->repository()).fence(session->id());
    const MaintenanceReport report = must(place.prune());
    EXPECT_GT(report.packs_deleted, 0U);
    EXPECT_THAT(place.world.names("maint/seal/" + session->id().hex()), Not(IsEmpty()));
    // What it had committed by then stays; what it commits now counts for nobody.
    EXPECT_EQ(place.restore(counted), files_of(4));
    const auto late = other.backup(*session, files_of(5), "late");
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, ErrorCode::Changed);
    EXPECT_EQ(place.restore(id), kept);
    const MaintenanceView view = must(load_maintenance(place.node->repository(), place.node->cache()));
    EXPECT_EQ(must(list_snapshots(place.node->repository(), place.node->cache(), view)).snapshots.size(), 2U);
  });
}

TEST(Scenario, RunsAtTheSameTimeDoNotTakeFromEachOther) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    base::SeededExecutor executor(seed);
    executor.run([&] {
      Place place(executor, seed);
      std::vector<format::SnapshotId> ids;
      for (unsigned i = 0; i < 10; ++i) {
        ids.push_back(must(place.node->backup(files_of(i / 2, 3, 20'000))));
      }
      for (unsigned i = 0; i < 7; ++i) {
        place.forget(ids[i]);
      }
      std::vector<std::unique_ptr<base::Task>> runs;
      for (unsigned i = 0; i < 3; ++i) {
        runs.push_back(executor.spawn("prune", [&] {
          kv::MemoryKv state(executor);
          Node node(place.world, place.world.store, state, key_file_of(1));
          const auto report = Place::prune(node);
          ASSERT_TRUE(report) << report.error().message;
          EXPECT_THAT(report->problems, IsEmpty());
        }));
      }
      for (auto& run : runs) {
        run->join();
      }
      for (unsigned i = 7; i < 10; ++i) {
        EXPECT_EQ(place.restore(ids[i]), files_of(i / 2, 3, 20'000));
      }
      // The first one drops what waited for the three.
      must(place.prune());
      const MaintenanceReport last = must(place.prune());
      EXPECT_THAT(last.problems, IsEmpty());
      EXPECT_EQ(last.packs_waiting, 0U);
      EXPECT_EQ(last.counts.blobs.unused, 0U);
    });
  }
}

/// A store whose LIST leaves one name out.
class ForgetfulStore final : public test::ForwardingStore {
 public:
  using test::ForwardingStore::ForwardingStore;
  Result<store::ListPage> list(std::string_view prefix, std::string_view after,
                               std::uint32_t count_max) override {
    FIRN_LET(store::ListPage page, inner_.list(prefix, after, count_max));
    std::erase_if(page.objects, [&](const auto& object) { return object.name.str() == hidden; });
    return page;
  }
  std::string hidden;
};

TEST(Scenario, AListThatLacksASnapshotThatACatalogSawDropsNothing) {
  base::SeededExecutor executor(3);
  executor.run([&] {
    Place place(executor);
    const auto one = must(place.node->backup(files_of(1), "one"));
    must(place.prune());
    const std::string name_of_one = place.world.names("snapshots/").front();
    place.forget(must(place.node->backup(files_of(2), "two")));
    ForgetfulStore store(place.world.store);
    store.hidden = name_of_one;
    kv::MemoryKv state(executor);
    Node node(place.world, store, state, key_file_of(1));
    const auto packs = place.world.names("data/");
    const auto report = Place::prune(node);
    ASSERT_FALSE(report);
    EXPECT_THAT(report.error().message, HasSubstr(name_of_one));
    EXPECT_EQ(place.world.names("data/"), packs);
    EXPECT_EQ(place.restore(one), files_of(1));
    EXPECT_THAT(must(place.prune()).problems, IsEmpty());
    EXPECT_EQ(place.restore(one), files_of(1));
  });
}

}  // namespace
}  // namespace firn::repo
