// The simulated executor: every task is a fiber on the calling thread, one runs at a time, and the seed
// chooses which one goes on whenever the running one waits, sleeps, yields, joins or ends. The same seed and
// the same tasks give the same run, switch for switch; trace_hash() tells two runs apart.
//
// Time is virtual. It moves a little with every switch (so that a loop that polls a deadline ends), and when
// no task can run it jumps to the earliest deadline. When there is none either, the run is stuck: the program
// aborts with the list of tasks and what each waits for.
//
// Domains stand for processes. A task belongs to its spawner's domain unless spawn_in() says otherwise;
// crash() ends a domain as SIGKILL ends a process: its tasks never run again, no destructor of theirs runs,
// what they hold in memory is lost (leaked: run many crashing seeds in child processes; the leak detector
// looks away from what is allocated inside a named domain). Whoever joins such a task goes on. A domain may
// be used again.
//
// A Guarded or Monitor lock that is held over a switch would block all other tasks for ever; it is caught at
// the switch. A bare std::mutex is not seen: use those two.
//
// Threads: one thread constructs, runs and destroys it. What the tasks share needs no other lock than usual.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "repo/base/executor.h"

namespace firn::base {

/// A clock that moves only when told to.
class VirtualClock final : public Clock {
 public:
  explicit VirtualClock(WallTime start) : start_(start) {}
  WallTime wall() const override { return {start_.nanoseconds + since_start_.count()}; }
  SteadyTime steady() const override { return {since_start_}; }
  void advance(std::chrono::nanoseconds duration) { since_start_ += duration; }

 private:
  const WallTime start_;
  std::chrono::nanoseconds since_start_{0};
};

struct SeededExecutorOptions {
  std::uint64_t seed = 1;
  WallTime start{1'767'225'600'000'000'000};  // 2026-01-01T00:00:00Z
  std::chrono::nanoseconds time_per_switch{1000};
  /// How often a switch also wakes a waiter for nothing, in 1024ths.
  unsigned spurious_wakes_per_1024 = 16;
  /// Of each task; a guard page lies below.
  std::size_t stack_bytes = 1 << 20;
  unsigned cpu_count = 2;
};

class SeededExecutor final : public Executor {
 public:
  explicit SeededExecutor(const SeededExecutorOptions& options);
  explicit SeededExecutor(std::uint64_t seed) : SeededExecutor(SeededExecutorOptions{.seed = seed}) {}
  ~SeededExecutor() override;
  SeededExecutor(const SeededExecutor&) = delete;
  SeededExecutor& operator=(const SeededExecutor&) = delete;

  /// Runs `body` as a task called "main", and every task that comes of it, until all have ended. Tasks
  /// spawned before start here too. May be called again.
  void run(std::function<void()> body);

  std::unique_ptr<Task> spawn(std::string_view name, std::function<void()> body) override;
  std::unique_ptr<Condition> make_condition() override;
  void sleep_for(std::chrono::nanoseconds duration) override;
  void yield() override;
  unsigned cpu_count() const override;
  const Clock& clock() const override;

  /// Spawns the first task of a process. `domain` is not empty.
  [[nodiscard]] std::unique_ptr<Task> spawn_in(std::string_view domain, std::string_view name,
                                               std::function<void()> body);
  /// Ends all tasks of `domain` where they stand. Does not return when the caller is one of them.
  void crash(std::string_view domain);
  /// The running task's domain; empty outside all of them.
  std::string current_domain() const;
  /// How many tasks of `domain` have neither ended nor crashed.
  std::size_t tasks_alive(std::string_view domain) const;

  /// A digest of every choice so far.
  std::uint64_t trace_hash() const;
  std::uint64_t switch_count() const;

 private:
  struct Fiber;
  struct Impl;
  class SeededCondition;
  class SeededTask;
  std::unique_ptr<Impl> impl_;
};

}  // namespace firn::base
