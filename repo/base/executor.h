// The concurrency seam: who runs, who waits, and for how long.
//
// ThreadExecutor runs each task on a thread. SeededExecutor (seeded_executor.h) runs all tasks on the calling
// thread, one at a time, and picks the next one by its seed, so that a run can be repeated exactly. Code
// above this seam blocks in plain calls and never knows which one it has; it uses TaskGroup, Monitor,
// BoundedQueue and ByteBudget, which are all built on the three primitives here.
//
// Rule that makes the seeded form possible: a task switches only inside a wait, a sleep, a yield or a join,
// and never holds a mutex there (Condition::wait gives its mutex up).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>

#include "repo/base/clock.h"

namespace firn::base {

/// What a task waits on. Spurious wake-ups happen; callers loop (Monitor does).
class Condition {
 public:
  virtual ~Condition() = default;
  virtual void wait(std::unique_lock<std::mutex>& lock) = 0;
  /// False when `deadline` passed first.
  virtual bool wait_until(std::unique_lock<std::mutex>& lock, SteadyTime deadline) = 0;
  virtual void notify_all() = 0;
};

/// A running task. Destruction joins.
class Task {
 public:
  virtual ~Task() = default;
  virtual void join() = 0;
};

class Executor {
 public:
  virtual ~Executor() = default;
  /// Starts `body` as a task of its own. `name` (at most 15 bytes are shown) is for debuggers and traces.
  [[nodiscard]] virtual std::unique_ptr<Task> spawn(std::string_view name, std::function<void()> body) = 0;
  [[nodiscard]] virtual std::unique_ptr<Condition> make_condition() = 0;
  virtual void sleep_for(std::chrono::nanoseconds duration) = 0;
  /// A point where a seeded run may go on with another task; threads need none.
  virtual void yield() = 0;
  /// How many tasks that compute should run at once (the cgroup's share of processors, at least 1).
  virtual unsigned cpu_count() const = 0;
  /// The clock that deadlines and sleeps are measured with.
  virtual const Clock& clock() const = 0;
};

class ThreadExecutor final : public Executor {
 public:
  /// 0 = as many as the cgroup and the affinity mask allow.
  explicit ThreadExecutor(unsigned cpu_count = 0);
  std::unique_ptr<Task> spawn(std::string_view name, std::function<void()> body) override;
  std::unique_ptr<Condition> make_condition() override;
  void sleep_for(std::chrono::nanoseconds duration) override;
  void yield() override {}
  unsigned cpu_count() const override { return cpu_count_; }
  const Clock& clock() const override { return clock_; }

 private:
  unsigned cpu_count_;
  SystemClock clock_;
};

}  // namespace firn::base
