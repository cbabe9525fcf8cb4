// What everything above the concurrency seam relies on, under both executors.
#include "repo/base/executor.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <numeric>

#include "repo/base/budget.h"
#include "repo/base/monitor.h"
#include "repo/base/queue.h"
#include "repo/base/seeded_executor.h"
#include "repo/base/task_group.h"

namespace firn::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

enum class Kind { Threads, Seeded };

class BothExecutors : public testing::TestWithParam<Kind> {
 protected:
  /// Runs `body` on threads once, or under a number of seeds.
  static void run(const std::function<void(Executor&)>& body) {
    if (GetParam() == Kind::Threads) {
      ThreadExecutor executor(2);
      body(executor);
      return;
    }
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      SeededExecutor executor(seed);
      executor.run([&] { body(executor); });
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Executor, BothExecutors, testing::Values(Kind::Threads, Kind::Seeded),
                         [](const auto& instance) {
                           return instance.param == Kind::Threads ? "Threads" : "Seeded";
                         });

TEST_P(BothExecutors, JoinWaitsForTheTask) {
  run([](Executor& executor) {
    std::atomic<bool> done{false};
    const auto task = executor.spawn("worker", [&] {
      executor.yield();
      done = true;
    });
    task->join();
    EXPECT_TRUE(done);
    task->join();
  });
}

TEST_P(BothExecutors, DestructionOfATaskJoins) {
  run([](Executor& executor) {
    std::atomic<int> done{0};
    {
      const auto task = executor.spawn("worker", [&] {
        executor.sleep_for(milliseconds(1));
        done = 1;
      });
    }
    EXPECT_EQ(done, 1);
  });
}

TEST_P(BothExecutors, AMonitorWakesWhoWaitsForItsPredicate) {
  run([](Executor& executor) {
    Monitor<int> step(executor, 0);
    const auto task = executor.spawn("second", [&] {
      auto value = step.lock();
      value.wait([](int v) { return v == 1; });
      *value = 2;
      value.notify();
    });
    {
      auto value = step.lock();
      *value = 1;
      value.notify();
    }
    auto value = step.lock();
    value.wait([](int v) { return v == 2; });
    EXPECT_EQ(*value, 2);
  });
}

TEST_P(BothExecutors, AWaitEndsAtItsDeadline) {
  run([](Executor& executor) {
    Monitor<bool> never(executor, false);
    const SteadyTime deadline = executor.clock().steady() + milliseconds(5);
    auto value = never.lock();
    EXPECT_FALSE(value.wait_until(deadline, [](bool v) { return v; }));
    EXPECT_GE(executor.clock().steady(), deadline);
  });
}

TEST_P(BothExecutors, AWaitWithDeadlineSeesTheChangeBeforeIt) {
  run([](Executor& executor) {
    Monitor<bool> flag(executor, false);
    const auto task = executor.spawn("setter", [&] {
      auto value = flag.lock();
      *value = true;
      value.notify();
    });
    auto value = flag.lock();
    EXPECT_TRUE(
        value.wait_until(executor.clock().steady() + std::chrono::hours(1), [](bool v) { return v; }));
  });
}

TEST_P(BothExecutors, SleepingTakesAtLeastItsTime) {
  run([](Executor& executor) {
    const SteadyTime before = executor.clock().steady();
    executor.sleep_for(milliseconds(3));
    EXPECT_GE(executor.clock().steady() - before, nanoseconds(milliseconds(3)));
  });
}

TEST_P(BothExecutors, AQueueHandsEveryValueToOneTaker) {
  run([](Executor& executor) {
    constexpr int kValues = 200;
    BoundedQueue<int> queue(executor, 3);
    std::array<std::vector<int>, 3> taken;
    TaskGroup takers(executor);
    for (auto& mine : taken) {
      takers.spawn("taker", [&]() -> Result<> {
        while (auto value = queue.pop()) {
          mine.push_back(*value);
        }
        return {};
      });
    }
    {
      TaskGroup givers(executor);
      for (int giver = 0; giver < 2; ++giver) {
        givers.spawn("giver", [&, giver]() -> Result<> {
          for (int i = giver; i < kValues; i += 2) {
            EXPECT_TRUE(queue.push(i));
          }
          return {};
        });
      }
    }
    queue.close();
    EXPECT_TRUE(takers.join().has_value());
    std::vector<int> all;
    for (const auto& mine : taken) {
      all.insert(all.end(), mine.begin(), mine.end());
    }
    std::sort(all.begin(), all.end());
    std::vector<int> expected(kValues);
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(all, expected);
  });
}

TEST_P(BothExecutors, ClosingAQueueEndsEveryWaitAndKeepsWhatIsInside) {
  run([](Executor& executor) {
    BoundedQueue<int> queue(executor, 1);
    ASSERT_TRUE(queue.push(1));
    const auto blocked = executor.spawn("giver", [&] { EXPECT_FALSE(queue.push(2)); });
    executor.yield();
    queue.close();
    blocked->join();
    EXPECT_EQ(queue.pop(), 1);
    EXPECT_EQ(queue.pop(), std::nullopt);
  });
}

TEST_P(BothExecutors, AbortingAQueueThrowsItsValuesAway) {
  run([](Executor& executor) {
    BoundedQueue<int> queue(executor, 2);
    ASSERT_TRUE(queue.push(1));
    queue.abort();
    EXPECT_EQ(queue.pop(), std::nullopt);
    EXPECT_FALSE(queue.push(2));
  });
}

TEST_P(BothExecutors, ABudgetNeverGivesMoreThanItHas) {
  run([](Executor& executor) {
    constexpr std::size_t kTotal = 100;
    ByteBudget budget(executor, kTotal);
    std::atomic<std::size_t> out{0};
    TaskGroup tasks(executor);
    for (std::size_t i = 1; i <= 8; ++i) {
      tasks.spawn("user", [&, i]() -> Result<> {
        for (int round = 0; round < 10; ++round) {
          auto lease = budget.acquire(i * 10);
          EXPECT_LE(out += lease.bytes(), kTotal);
          executor.yield();
          out -= lease.bytes();
        }
        return {};
      });
    }
    EXPECT_TRUE(tasks.join().has_value());
    EXPECT_EQ(budget.used_bytes(), 0U);
    EXPECT_LE(budget.peak_bytes(), kTotal);
    EXPECT_GT(budget.peak_bytes(), 0U);
  });
}

TEST_P(BothExecutors, MoreThanTheWholeBudgetIsGivenWhenNothingElseIsOut) {
  run([](Executor& executor) {
    ByteBudget budget(executor, 10);
    auto small = budget.acquire(1);
    std::atomic<bool> granted{false};
    const auto task = executor.spawn("large", [&] {
      const auto lease = budget.acquire(1000);
      EXPECT_EQ(lease.bytes(), 1000U);
      granted = true;
    });
    executor.yield();
    EXPECT_FALSE(granted);
    EXPECT_EQ(budget.try_acquire(1000).bytes(), 0U);
    small.release();
    task->join();
    EXPECT_TRUE(granted);
  });
}

TEST_P(BothExecutors, ShrinkingALeaseGivesTheRestBack) {
  run([](Executor& executor) {
    ByteBudget budget(executor, 10);
    auto lease = budget.acquire(10);
    const auto task = executor.spawn("waiter", [&] { EXPECT_EQ(budget.acquire(6).bytes(), 6U); });
    executor.yield();
    lease.shrink_to(4);
    EXPECT_EQ(lease.bytes(), 4U);
    lease.shrink_to(9);
    EXPECT_EQ(lease.bytes(), 4U);
    task->join();
  });
}

TEST_P(BothExecutors, ClosingABudgetEndsEveryWaitWithAnEmptyLease) {
  run([](Executor& executor) {
    ByteBudget budget(executor, 10);
    const auto lease = budget.acquire(10);
    const auto task = executor.spawn("waiter", [&] { EXPECT_EQ(budget.acquire(1).bytes(), 0U); });
    executor.yield();
    budget.close();
    task->join();
  });
}

TEST_P(BothExecutors, ATaskGroupKeepsTheFirstErrorAndTellsEveryoneOnce) {
  run([](Executor& executor) {
    BoundedQueue<int> queue(executor, 1);
    std::atomic<int> told{0};
    TaskGroup tasks(executor, [&] {
      ++told;
      queue.abort();
    });
    tasks.spawn("waits", [&]() -> Result<> {
      while (queue.pop()) {
      }
      return fail(ErrorCode::Cancelled, "stopped");
    });
    tasks.spawn("fails", [&]() -> Result<> { return fail(ErrorCode::Corrupt, "first"); });
    const auto result = tasks.join();
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::Corrupt);
    EXPECT_EQ(told, 1);
  });
}

TEST_P(BothExecutors, ATaskGroupWithoutErrorsEndsWell) {
  run([](Executor& executor) {
    std::atomic<int> count{0};
    TaskGroup tasks(executor);
    for (int i = 0; i < 5; ++i) {
      tasks.spawn("adds", [&]() -> Result<> {
        ++count;
        return {};
      });
    }
    EXPECT_TRUE(tasks.join().has_value());
    EXPECT_EQ(count, 5);
  });
}

TEST(ThreadExecutor, NamesItsThreads) {
  ThreadExecutor executor(1);
  std::string name;
  executor
      .spawn("a-name-longer-than-the-kernel-takes",
             [&] {
               std::array<char, 32> buffer{};
               pthread_getname_np(pthread_self(), buffer.data(), buffer.size());
               name = buffer.data();
             })
      ->join();
  EXPECT_EQ(name, "a-name-longer-t");
}

TEST(ThreadExecutor, CountsAtLeastOneProcessorAndNoMoreThanItsAffinity) {
  cpu_set_t old;
  ASSERT_EQ(sched_getaffinity(0, sizeof old, &old), 0);
  EXPECT_GE(ThreadExecutor().cpu_count(), 1U);
  EXPECT_LE(ThreadExecutor().cpu_count(), static_cast<unsigned>(CPU_COUNT(&old)));
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &old)) {
      CPU_SET(cpu, &one);
      break;
    }
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(ThreadExecutor().cpu_count(), 1U);
  sched_setaffinity(0, sizeof old, &old);
  EXPECT_EQ(ThreadExecutor(7).cpu_count(), 7U);
}

}  // namespace
}  // namespace firn::base
