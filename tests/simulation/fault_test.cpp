// The real backup and restore on a store that fails at every request in every way: EXACT or DECLARED, never
// anything else.
#include "tests/simulation/world.h"

namespace firn {
namespace {

using test::Engine;
using test::Fault;
using test::FaultStore;
using test::World;

constexpr std::uint64_t kSeed = 11;

std::string shown(Fault fault, std::uint64_t request) {
  return "fault " + std::to_string(static_cast<int>(fault)) + " at request " + std::to_string(request);
}

std::uint64_t requests_of(const std::function<void(World&, Engine&)>& work) {
  World world(kSeed);
  std::uint64_t count = 0;
  world.executor.run([&] {
    world.init();
    Engine engine = world.open();
    const std::uint64_t before = world.store.request_count();
    work(world, engine);
    count = world.store.request_count() - before;
  });
  return count;
}

TEST(Faults, ABackupUnderOneFaultIsAcknowledgedAndExactOrNotAcknowledged) {
  const std::uint64_t requests =
      requests_of([](World& world, Engine& engine) { EXPECT_TRUE(world.back_up(engine)); });
  ASSERT_GT(requests, 10U);
  std::uint64_t acknowledged = 0;
  std::uint64_t declared = 0;
  for (const Fault fault : test::kFaults) {
    for (std::uint64_t request = 0; request < requests; ++request) {
      SCOPED_TRACE(shown(fault, request));
      World world(kSeed);
      world.executor.run([&] {
        world.init();
        std::optional<format::SnapshotId> kept;
        const std::string expected = world.tree.dump("/data");
        {
          Engine engine = world.open();
          world.store.fail_request(world.store.request_count() + request, fault);
          const auto done = world.back_up(engine);
          world.store.heal();
          if (done) {
            kept = done->report.snapshot;
            EXPECT_THAT(done->observer.problems, testing::IsEmpty());
          }
        }
        (kept ? acknowledged : declared) += 1;
        world.store.release_late_writes();
        Engine engine = world.open();
        if (kept) {
          world.expect_restores(engine, *kept, expected);
        }
        const auto again = world.back_up(engine);
        ASSERT_TRUE(again) << again.error().message;
        world.expect_restores(engine, *again->report.snapshot, expected);
      });
    }
  }
  // Both ends must have been seen, else the faults did not bite or nothing ever gets through.
  EXPECT_GT(acknowledged, 0U);
  EXPECT_GT(declared, 0U);
}

TEST(Faults, ARestoreUnderOneFaultIsExactOrSaysWhatIsMissing) {
  const std::uint64_t requests = requests_of([](World& world, Engine& engine) {
    const auto done = world.back_up(engine);
    ASSERT_TRUE(done);
    static_cast<void>(world.restore(engine, *done->report.snapshot));
  });
  std::uint64_t declared = 0;
  for (const Fault fault : test::kFaults) {
    for (std::uint64_t request = 0; request < requests; ++request) {
      SCOPED_TRACE(shown(fault, request));
      World world(kSeed);
      world.executor.run([&] {
        world.init();
        Engine engine = world.open();
        const auto done = world.back_up(engine);
        ASSERT_TRUE(done) << done.error().message;
        const std::uint64_t first = world.store.request_count();
        world.store.fail_request(first + request, fault);
        const World::Restored restored = world.restore(engine, *done->report.snapshot);
        if (restored.declared.empty()) {
          EXPECT_EQ(restored.dump, world.tree.dump("/data"));
        } else {
          declared += 1;
        }
      });
      if (HasFailure()) {
        return;
      }
    }
  }
  EXPECT_GT(declared, 0U);
}

}  // namespace
}  // namespace firn
