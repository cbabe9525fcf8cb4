// Maintenance on a memory store: what goes, what stays, and what other sessions have to say about it.
#include "repo/maintenance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/repo/maintenance_rig.h"

namespace firn::repo {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(Maintenance, ARepositoryWithoutGarbageKeepsEverything) {
  in_a_place([](Place& place) {
    const auto id = must(place.node->backup(files_of(1)));
    const auto packs = place.world.names("data/");
    const MaintenanceReport report = must(place.prune({}));
    EXPECT_THAT(report.problems, IsEmpty());
    EXPECT_EQ(report.packs_deleted, 0U);
    EXPECT_EQ(place.world.names("data/"), packs);
    EXPECT_EQ(must(place.node->restore(id)), files_of(1));
  });
}

TEST(Maintenance, WhatOnlyAForgottenSnapshotNeedsGoesAtOnce) {
  in_a_place([](Place& place) {
    const auto one = must(place.node->backup(files_of(1)));
    const std::uint64_t before = place.stored_bytes();
    const auto two = must(place.node->backup(files_of(2)));
    place.forget(two);
    const MaintenanceReport report = must(place.prune(Place::exact()));
    EXPECT_THAT(report.problems, IsEmpty());
    EXPECT_GT(report.packs_deleted, 0U);
    EXPECT_EQ(report.packs_waiting, 0U);
    EXPECT_EQ(place.stored_bytes(), before);
    EXPECT_THAT(place.world.names("snapshots/"), SizeIs(1));
    EXPECT_EQ(must(place.node->restore(one)), files_of(1));
  });
}

TEST(Maintenance, WhatIsStillNeededOfAPackIsCopiedOut) {
  in_a_place([](Place& place) {
    Files both = files_of(1, 3);
    both.merge(Files{{"other", random_bytes(9, 300'000)}});
    const auto first = must(place.node->backup(both));
    both.erase("other");
    const auto second = must(place.node->backup(both));
    place.forget(first);
    const MaintenanceReport report = must(place.prune(Place::exact()));
    EXPECT_THAT(report.problems, IsEmpty());
    EXPECT_GT(report.counts.blobs.repack, 0U);
    EXPECT_EQ(must(place.node->restore(second)), both);
    // And nothing is left to do.
    const MaintenanceReport again = must(place.prune(Place::exact()));
    EXPECT_EQ(again.packs_deleted, 0U);
    EXPECT_EQ(again.counts.blobs.unused, 0U);
    kv::MemoryKv fresh_state(place.world.executor);
    Node fresh(place.world, place.world.store, fresh_state, key_file_of(1));
    EXPECT_EQ(must(fresh.restore(second)), both);
  });
}

TEST(Maintenance, ADryRunWritesNothingAndSaysTheSame) {
  in_a_place([](Place& place) {
    Files both = files_of(1, 3);
    both.merge(Files{{"other", random_bytes(9, 300'000)}});
    const auto first = must(place.node->backup(both));
    both.erase("other");
    must(place.node->backup(both));
    MaintenanceOptions dry = Place::exact();
    dry.dry_run = true;
    dry.as_if_forgotten = {first};
    const auto names = place.world.names("");
    const MaintenanceReport told = must(place.prune(dry));
    EXPECT_EQ(place.world.names(""), names);
    place.forget(first);
    dry.as_if_forgotten.clear();
    const MaintenanceReport told_again = must(place.prune(dry));
    const MaintenanceReport done = must(place.prune(Place::exact()));
    for (const MaintenanceReport* report : {&told, &told_again}) {
      EXPECT_EQ(report->counts.blobs.repack, done.counts.blobs.repack);
      EXPECT_EQ(report->counts.blobs.remove_total, done.counts.blobs.remove_total);
      EXPECT_EQ(report->counts.bytes.remaining, done.counts.bytes.remaining);
      EXPECT_EQ(report->counts.packs.remove_total, done.counts.packs.remove_total);
      EXPECT_EQ(report->packs_deleted, done.packs_deleted);
      EXPECT_EQ(report->bytes_deleted, done.bytes_deleted);
    }
  });
}

TEST(Maintenance, ALiveSessionKeepsCondemnedPacksUntilItHasEnded) {
  in_a_place([](Place& place) {
    const auto one = must(place.node->backup(files_of(1)));
    const auto two = must(place.node->backup(files_of(2)));
    kv::MemoryKv other_state(place.world.executor);
    Node other(place.world, place.world.store, other_state, key_file_of(1));
    auto session = must(other.session());
    place.forget(two);
    const MaintenanceReport report = must(place.prune(Place::exact()));
    EXPECT_EQ(report.packs_deleted, 0U);
    EXPECT_GT(report.packs_waiting, 0U);
    EXPECT_THAT(report.waiting_for, SizeIs(1));
    // The session's view is older than the condemnation: it refers to what is condemned.
    const auto three = must(other.backup(*session, files_of(2), "again"));
    session->end();
    const MaintenanceReport then = must(place.prune(Place::exact()));
    EXPECT_GT(then.packs_deleted, 0U);
    EXPECT_EQ(then.packs_waiting, 0U);
    EXPECT_EQ(must(place.node->restore(one)), files_of(1));
    EXPECT_EQ(must(place.node->restore(three)), files_of(2));
  });
}

TEST(Maintenance, AKilledSessionOfThisMachineIsFencedAndItsGarbageGoesAtOnce) {
  in_a_place([](Place& place) {
    const auto one = must(place.node->backup(files_of(1)));
    const std::uint64_t before = place.stored_bytes();
    ProcessIdentity dead;
    dead.machine.bytes.fill(std::byte{1});
    dead.boot.bytes.fill(std::byte{2});
    dead.pid_namespace = 7;
    dead.pid = 42;
    kv::MemoryKv other_state(place.world.executor);
    {
      Node other(place.world, place.world.store, other_state, key_file_of(1));
      SessionOptions options;
      options.process = dead;
      auto session = must(other.session(options));
      must(other.write(*session, files_of(3)));
      must(session->flush());
    }
    MaintenanceOptions options = Place::exact();
    options.process = dead;
    options.process.pid = 43;
    const MaintenanceReport alive = must(place.prune(options));
    EXPECT_EQ(alive.sessions_fenced, 0U);
    options.process_is_gone = [](std::uint32_t pid, std::uint64_t) { return pid == 42; };
    const MaintenanceReport report = must(place.prune(options));
    EXPECT_EQ(report.sessions_fenced, 1U);
    EXPECT_EQ(report.packs_waiting, 0U);
    EXPECT_EQ(place.stored_bytes(), before);
    EXPECT_EQ(must(place.node->restore(one)), files_of(1));
  });
}

TEST(Maintenance, ARefsPageThatDoesNotOpenDropsNothingAndNamesTheSnapshot) {
  in_a_place([](Place& place) {
    const auto one = must(place.node->backup(files_of(1)));
    const auto two = must(place.node->backup(files_of(2)));
    place.forget(one);
    for (const std::string& name : place.world.names("meta/")) {
      // Every page's body, not the trailers.
      for (std::size_t at = 40; at < 700; at += 50) {
        place.world.flip(name, at);
      }
    }
    const auto packs = place.world.names("");
    const MaintenanceReport report = must(place.prune(Place::exact()));
    ASSERT_FALSE(report.problems.empty());
    EXPECT_THAT(report.problems.front(), HasSubstr(two.hex().substr(0, 8)));
    EXPECT_THAT(report.problems.front(), HasSubstr(place.node->repository().keys().kid().hex()));
    EXPECT_EQ(report.packs_deleted, 0U);
    EXPECT_THAT(place.world.names("maint/condemn/"), IsEmpty());
  });
}

TEST(Maintenance, ADelayIsWaitedOutByTheStoresClock) {
  base::SeededExecutor executor(5);
  executor.run([&] {
    Place place(executor);
    must(place.node->backup(files_of(1)));
    const auto two = must(place.node->backup(files_of(2)));
    place.forget(two);
    MaintenanceOptions options = Place::exact();
    options.delete_after = std::chrono::hours(24);
    const MaintenanceReport report = must(place.prune(options));
    EXPECT_EQ(report.packs_deleted, 0U);
    EXPECT_GT(report.packs_waiting, 0U);
    EXPECT_TRUE(report.free_from);
    executor.sleep_for(std::chrono::hours(25));
    const MaintenanceReport later = must(place.prune(options));
    EXPECT_GT(later.packs_deleted, 0U);
    EXPECT_EQ(later.packs_waiting, 0U);
  });
}

TEST(Maintenance, ManyRunsCompactTheIndexAndFoldRecords) {
  in_a_place([](Place& place) {
    std::vector<format::SnapshotId> ids;
    for (unsigned i = 0; i < 40; ++i) {
      ids.push_back(must(place.node->backup(files_of(1 + i, 2, 20'000))));
    }
    for (unsigned i = 0; i + 5 < ids.size(); ++i) {
      place.forget(ids[i]);
    }
    must(place.prune(Place::exact()));
    const MaintenanceReport report = must(place.prune(Place::exact()));
    EXPECT_THAT(report.problems, IsEmpty());
    EXPECT_LT(place.world.names("index/").size(), 8U);
    EXPECT_LT(place.world.names("maint/").size(), 8U);
    EXPECT_LT(place.world.names("sessions/").size(), 4U);
    kv::MemoryKv fresh_state(place.world.executor);
    Node fresh(place.world, place.world.store, fresh_state, key_file_of(1));
    for (unsigned i = 35; i < 40; ++i) {
      EXPECT_EQ(must(fresh.restore(ids[i])), files_of(1 + i, 2, 20'000));
    }
  });
}

}  // namespace
}  // namespace firn::repo
