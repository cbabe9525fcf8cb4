// Orders of steps that random histories seldom show to matter: each is played once as the program has it, and
// nothing is lost, and once with the step switched off or out of its place, and the loss is there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repo/maintenance_run.h"
#include "tests/repo/maintenance_rig.h"
#include "tests/support/forwarding_store.h"

namespace firn::repo {
namespace {

/// Calls back once, before the first PUT under a prefix.
class InterruptedStore final : public test::ForwardingStore {
 public:
  InterruptedStore(store::ObjectStore& inner, std::string prefix, std::function<void()> interrupt)
      : ForwardingStore(inner), prefix_(std::move(prefix)), interrupt_(std::move(interrupt)) {}
  store::Outcome put(const store::ObjectName& name, ByteView bytes, store::PutOptions options = {}) override {
    if (interrupt_ && name.str().starts_with(prefix_)) {
      std::exchange(interrupt_, {})();
    }
    return inner_.put(name, bytes, options);
  }

 private:
  const std::string prefix_;
  std::function<void()> interrupt_;
};

/// A store whose LIST leaves one name out.
class ForgetfulStore final : public test::ForwardingStore {
 public:
  ForgetfulStore(store::ObjectStore& inner, std::string hidden)
      : ForwardingStore(inner), hidden_(std::move(hidden)) {}
  Result<store::ListPage> list(std::string_view prefix, std::string_view after,
                               std::uint32_t count_max) override {
    FIRN_LET(store::ListPage page, inner_.list(prefix, after, count_max));
    std::erase_if(page.objects, [&](const auto& object) { return object.name.str() == hidden_; });
    return page;
  }

 private:
  const std::string hidden_;
};

/// Stores a session's marker only when it is told to.
class LateMarkerStore final : public test::ForwardingStore {
 public:
  LateMarkerStore(store::ObjectStore& inner, bool late) : ForwardingStore(inner), late_(late) {}
  store::Outcome put(const store::ObjectName& name, ByteView bytes, store::PutOptions options = {}) override {
    if (late_ && !held_ && name.str().starts_with(format::kSessionsPrefix)) {
      held_ = {{name, to_bytes(bytes)}};
      return store::Done{};
    }
    return inner_.put(name, bytes, options);
  }
  void store_marker() {
    if (held_) {
      must(inner_.put(held_->first, held_->second).as_result());
    }
  }

 private:
  const bool late_;
  std::optional<std::pair<store::ObjectName, Bytes>> held_;
};

Result<MaintenanceReport> prune_with(const MaintenanceSteps& steps, Node& node) {
  base::StopFlag stop;
  MaintenanceProgress progress;
  MaintenanceOptions options = Place::exact();
  options.memory_bytes = 8 << 20;
  return maintain_with(steps, node.repository(), node.index(), node.cache(), node.state(), options, stop,
                       progress);
}

/// A node of its own, with what it has on disk.
struct OtherNode {
  OtherNode(Place& place, store::ObjectStore& store)
      : state(place.world.executor), node(place.world, store, state, key_file_of(1)) {}
  explicit OtherNode(Place& place) : OtherNode(place, place.world.store) {}
  kv::MemoryKv state;
  Node node;
};

bool restores(Place& place, const format::SnapshotId& id, const Files& files) {
  OtherNode fresh(place);
  const auto restored = fresh.node.restore(id);
  return restored && *restored == files;
}

/// Plays it on a fresh repository; true when nothing was lost.
bool survives(const std::function<bool(Place&)>& play) {
  bool kept = false;
  base::SeededExecutor executor(5);
  executor.run([&] {
    Place place(executor);
    kept = play(place);
  });
  return kept;
}

/// Some files in use, and others in the same packs that only a forgotten snapshot has.
struct HalfDead {
  explicit HalfDead(Place& place) {
    Files both = used;
    both.insert(unused.begin(), unused.end());
    const auto first = must(place.node->backup(both));
    snapshot = must(place.node->backup(used));
    place.forget(first);
  }
  Files used = files_of(1, 3);
  Files unused = {{"other", random_bytes(9, 300'000)}};
  format::SnapshotId snapshot;
};

TEST(Orders, Step0ARunHasASessionOfItsOwnSoThatItsCopiesAreNoGarbageToAnother) {
  const auto play = [](bool own_session) {
    return survives([&](Place& place) {
      const HalfDead data(place);
      const auto before = place.world.names(format::kDataPrefix);
      bool left_alone = false;
      // Its copies are stored and in no index yet when another run looks at them.
      InterruptedStore store(place.world.store, std::string(format::kIndexPrefix), [&] {
        const auto stored = place.world.names(format::kDataPrefix);
        EXPECT_GT(stored.size(), before.size());
        OtherNode other(place);
        must(Place::prune(other.node));
        const auto left = place.world.names(format::kDataPrefix);
        left_alone = std::all_of(stored.begin(), stored.end(), [&](const std::string& name) {
          return std::binary_search(before.begin(), before.end(), name) ||
                 std::binary_search(left.begin(), left.end(), name);
        });
      });
      OtherNode pruner(place, store);
      MaintenanceSteps steps;
      steps.own_session = own_session;
      static_cast<void>(prune_with(steps, pruner.node));
      // Condemned for ever, they mislead nobody: this order costs work, not data.
      EXPECT_TRUE(restores(place, data.snapshot, data.used));
      return left_alone;
    });
  };
  EXPECT_TRUE(play(true));
  EXPECT_FALSE(play(false));
}

TEST(Orders, StepACondemnsBeforeStepBListsWhoIsOpen) {
  const auto play = [](bool condemn_before_list) {
    return survives([&](Place& place) {
      const HalfDead data(place);
      OtherNode writer(place);
      std::unique_ptr<WriteSession> session;
      InterruptedStore store(place.world.store, std::string(format::kCondemnPrefix),
                             [&] { session = must(writer.node.session()); });
      OtherNode pruner(place, store);
      MaintenanceSteps steps;
      steps.condemn_before_list = condemn_before_list;
      must(prune_with(steps, pruner.node));
      const auto id = must(writer.node.backup(*session, data.unused, "writer"));
      session->end();
      must(place.prune());
      return restores(place, id, data.unused) && restores(place, data.snapshot, data.used);
    });
  };
  EXPECT_TRUE(play(true));
  EXPECT_FALSE(play(false));
}

TEST(Orders, I7TheMarkerIsThereBeforeTheViewIsRead) {
  const auto play = [](bool late) {
    return survives([&](Place& place) {
      const HalfDead data(place);
      LateMarkerStore store(place.world.store, late);
      OtherNode writer(place, store);
      auto session = must(writer.node.session());
      must(place.prune());
      store.store_marker();
      const auto id = must(writer.node.backup(*session, data.unused, "writer"));
      session->end();
      must(place.prune());
      return restores(place, id, data.unused) && restores(place, data.snapshot, data.used);
    });
  };
  EXPECT_TRUE(play(false));
  EXPECT_FALSE(play(true));
}

TEST(Orders, StepGARunThatWasFencedDeletesNothing) {
  const auto play = [](bool check_own_fence) {
    return survives([&](Place& place) {
      const HalfDead data(place);
      const auto before = place.world.names(format::kDataPrefix);
      InterruptedStore store(place.world.store, std::string(format::kIndexPrefix), [&] {
        Maintainer other(place.world, place.node->repository());
        for (const std::string& name : place.world.names(format::kSessionsPrefix)) {
          if (const auto marker = format::parse_name_as<format::SessionName>(name)) {
            other.fence(marker->session);
          }
        }
      });
      OtherNode pruner(place, store);
      MaintenanceSteps steps;
      steps.check_own_fence = check_own_fence;
      static_cast<void>(prune_with(steps, pruner.node));
      const auto left = place.world.names(format::kDataPrefix);
      return std::includes(left.begin(), left.end(), before.begin(), before.end());
    });
  };
  EXPECT_TRUE(play(true));
  EXPECT_FALSE(play(false));
}

TEST(Orders, StepGI9AListThatLacksWhatACatalogSawDropsNothing) {
  const auto play = [](bool check_catalogs) {
    return survives([&](Place& place) {
      const auto id = must(place.node->backup(files_of(1), "one"));
      must(place.prune());
      ForgetfulStore store(place.world.store, place.world.names(format::kSnapshotsPrefix).front());
      place.forget(must(place.node->backup(files_of(2), "two")));
      OtherNode pruner(place, store);
      MaintenanceSteps steps;
      steps.check_catalogs = check_catalogs;
      static_cast<void>(prune_with(steps, pruner.node));
      return restores(place, id, files_of(1));
    });
  };
  EXPECT_TRUE(play(true));
  EXPECT_FALSE(play(false));
}

}  // namespace
}  // namespace firn::repo
