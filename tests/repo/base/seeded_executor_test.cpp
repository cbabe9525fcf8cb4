// The simulated executor: repeatable runs, virtual time, deadlocks found, processes that die.
#include "repo/base/seeded_executor.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "repo/base/monitor.h"
#include "repo/base/queue.h"
#include "repo/base/task_group.h"

namespace firn::base {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Three tasks that take turns; the order in which they did.
std::string order_of_turns(std::uint64_t seed, std::uint64_t* trace_hash = nullptr) {
  SeededExecutor executor(seed);
  std::string order;
  executor.run([&] {
    std::vector<std::unique_ptr<Task>> tasks;
    for (const char name : {'a', 'b', 'c'}) {
      tasks.push_back(executor.spawn(std::string(1, name), [&executor, &order, name] {
        for (int i = 0; i < 5; ++i) {
          order.push_back(name);
          executor.yield();
        }
      }));
    }
  });
  if (trace_hash != nullptr) {
    *trace_hash = executor.trace_hash();
  }
  return order;
}

TEST(SeededExecutor, RepeatsARunWithTheSameSeed) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    EXPECT_EQ(order_of_turns(seed, &first), order_of_turns(seed, &second));
    EXPECT_EQ(first, second);
  }
}

TEST(SeededExecutor, FindsManyOrders) {
  std::set<std::string> orders;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    orders.insert(order_of_turns(seed));
  }
  EXPECT_GT(orders.size(), 90U);
}

TEST(SeededExecutor, SwitchesOnlyWhereATaskWaits) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SeededExecutor executor(seed);
    int counter = 0;
    executor.run([&] {
      TaskGroup tasks(executor);
      for (int task = 0; task < 4; ++task) {
        tasks.spawn("adds", [&]() -> Result<> {
          const int seen = counter;
          for (int i = 0; i < 1000; ++i) {
            counter = seen + i;
          }
          counter = seen + 1;
          executor.yield();
          return {};
        });
      }
    });
    EXPECT_EQ(counter, 4);
  }
}

TEST(SeededExecutor, JumpsToTheEarliestDeadlineWhenNobodyCanRun) {
  SeededExecutor executor(1);
  std::vector<std::string> order;
  executor.run([&] {
    const SteadyTime start = executor.clock().steady();
    const auto late = executor.spawn("late", [&] {
      executor.sleep_for(hours(2));
      order.emplace_back("late");
    });
    const auto early = executor.spawn("early", [&] {
      executor.sleep_for(hours(1));
      order.emplace_back("early");
    });
    late->join();
    EXPECT_GE(executor.clock().steady() - start, hours(2));
    EXPECT_LT(executor.clock().steady() - start, hours(2) + seconds(1));
  });
  EXPECT_EQ(order, (std::vector<std::string>{"early", "late"}));
}

TEST(SeededExecutor, MovesBothClocksTogether) {
  SeededExecutor executor(SeededExecutorOptions{.start = {1000}});
  executor.run([&] {
    EXPECT_EQ(executor.clock().wall().nanoseconds, 1000 + executor.clock().steady().since_origin.count());
    executor.sleep_for(hours(1));
    EXPECT_EQ(executor.clock().wall().nanoseconds, 1000 + executor.clock().steady().since_origin.count());
  });
}

TEST(SeededExecutor, LetsAPollingLoopReachItsDeadline) {
  SeededExecutor executor(1);
  executor.run([&] {
    const SteadyTime deadline = executor.clock().steady() + milliseconds(1);
    while (executor.clock().steady() < deadline) {
      executor.yield();
    }
  });
  EXPECT_GT(executor.switch_count(), 100U);
}

TEST(SeededExecutor, WakesWaitersForNothingNowAndThen) {
  SeededExecutor executor(SeededExecutorOptions{.seed = 3, .spurious_wakes_per_1024 = 512});
  int looks = 0;
  executor.run([&] {
    Monitor<bool> flag(executor, false);
    const auto waiter = executor.spawn("waiter", [&] {
      flag.lock().wait([&](bool value) {
        ++looks;
        return value;
      });
    });
    for (int i = 0; i < 100; ++i) {
      executor.yield();
    }
    auto value = flag.lock();
    *value = true;
    value.notify();
  });
  EXPECT_GT(looks, 5);
}

TEST(SeededExecutor, RunsTasksOfItsOwnAgain) {
  SeededExecutor executor(1);
  int runs = 0;
  executor.run([&] { ++runs; });
  executor.run([&] { ++runs; });
  EXPECT_EQ(runs, 2);
}

TEST(SeededExecutor, ReusesStacksOfManyTasks) {
  SeededExecutor executor(1);
  int ended = 0;
  executor.run([&] {
    for (int i = 0; i < 2000; ++i) {
      executor.spawn("short", [&] { ++ended; })->join();
    }
  });
  EXPECT_EQ(ended, 2000);
}

TEST(SeededExecutorDeathTest, ListsTheTasksOfADeadlock) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto deadlock = [] {
    SeededExecutor executor(11);
    executor.run([&] {
      BoundedQueue<int> queue(executor, 1);
      const auto task = executor.spawn_in("node-1", "taker", [&] { queue.pop(); });
      task->join();
    });
  };
  EXPECT_DEATH(deadlock(), "deadlock.*seed 11(.|\n)*task 0 main joins taker(.|\n)*task 1 node-1/taker waits");
}

TEST(SeededExecutorDeathTest, CatchesALockHeldOverASwitch) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto hold = [] {
    SeededExecutor executor(1);
    executor.run([&] {
      Guarded<int> value;
      const auto lock = value.lock();
      executor.yield();
    });
  };
  EXPECT_DEATH(hold(), "locks_held == 0");
}

TEST(SeededExecutor, ACrashEndsAllTasksOfADomainWhereTheyStand) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    SeededExecutor executor(seed);
    int steps = 0;
    bool destroyed = false;
    executor.run([&] {
      const auto process = executor.spawn_in("node", "main of node", [&] {
        struct Destroyed {
          bool& flag;
          ~Destroyed() { flag = true; }
        };
        const Destroyed on_stack{destroyed};
        const auto child = executor.spawn("child", [&] {
          EXPECT_EQ(executor.current_domain(), "node");
          while (true) {
            ++steps;
            executor.yield();
          }
        });
        child->join();
      });
      for (int i = 0; i < 20; ++i) {
        executor.yield();
      }
      executor.crash("node");
      EXPECT_EQ(executor.tasks_alive("node"), 0U);
      const int before = steps;
      process->join();
      executor.sleep_for(hours(1));
      EXPECT_EQ(steps, before);
    });
    EXPECT_FALSE(destroyed);
  }
}

TEST(SeededExecutor, ATaskMayCrashItsOwnDomain) {
  SeededExecutor executor(1);
  bool went_on = false;
  executor.run([&] {
    const auto process = executor.spawn_in("node", "main of node", [&] {
      executor.crash("node");
      went_on = true;
    });
    process->join();
  });
  EXPECT_FALSE(went_on);
}

TEST(SeededExecutor, ADomainMayStartAgainAfterACrash) {
  SeededExecutor executor(1);
  int starts = 0;
  executor.run([&] {
    for (int i = 0; i < 3; ++i) {
      const auto process = executor.spawn_in("node", "main of node", [&] {
        ++starts;
        executor.sleep_for(hours(1));
        executor.sleep_for(hours(1));
      });
      executor.sleep_for(std::chrono::minutes(90));
      executor.crash("node");
    }
  });
  EXPECT_EQ(starts, 3);
}

TEST(SeededExecutor, ACrashTakesWaitersOffWhatOthersShare) {
  SeededExecutor executor(1);
  executor.run([&] {
    Monitor<bool> shared(executor, false);
    const auto process =
        executor.spawn_in("node", "waiter", [&] { shared.lock().wait([](bool v) { return v; }); });
    executor.sleep_for(seconds(1));
    executor.crash("node");
    auto value = shared.lock();
    *value = true;
    value.notify();
  });
}

TEST(SeededExecutor, ACrashedRunRepeatsToo) {
  const auto hash = [](std::uint64_t seed) {
    SeededExecutor executor(seed);
    executor.run([&] {
      const auto process = executor.spawn_in("node", "busy", [&] {
        while (true) {
          executor.yield();
        }
      });
      for (int i = 0; i < 10; ++i) {
        executor.yield();
      }
      executor.crash("node");
      executor.yield();
    });
    return executor.trace_hash();
  };
  EXPECT_EQ(hash(5), hash(5));
  EXPECT_NE(hash(5), hash(6));
}

}  // namespace
}  // namespace firn::base
