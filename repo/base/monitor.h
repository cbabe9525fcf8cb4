// Shared state inside its lock, and waiting for it to change.
//
// Guarded<T> is reached only through lock(). Monitor<T> adds waiting through the executor: a wait gives the
// lock up and takes it again. A change wakes nobody by itself: whoever makes a predicate true calls notify()
// before it releases the lock.
//
// Both count the locks that the running thread holds, so that SeededExecutor can tell a task that switches
// while it holds one (it would block every other task for ever) at the moment it does.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "repo/base/executor.h"

namespace firn::base {

namespace internal {
/// How many Guarded and Monitor locks this thread holds.
inline thread_local int locks_held = 0;

class CountedLock {
 public:
  explicit CountedLock(std::mutex& mutex) : lock_(mutex) { ++locks_held; }
  CountedLock(const CountedLock&) = delete;
  CountedLock& operator=(const CountedLock&) = delete;
  ~CountedLock() { --locks_held; }
  /// Calls `wait` with the lock, which gives it up for as long as it waits.
  template <class Wait>
  auto while_released(Wait wait) {
    --locks_held;
    const Recount recount;
    return wait(lock_);
  }

 private:
  struct Recount {
    ~Recount() { ++locks_held; }
  };
  std::unique_lock<std::mutex> lock_;
};
}  // namespace internal

template <class T>
class Guarded {
 public:
  class Lock {
   public:
    T* operator->() { return value_; }
    T& operator*() { return *value_; }

   private:
    friend class Guarded;
    Lock(std::mutex& mutex, T* value) : lock_(mutex), value_(value) {}
    internal::CountedLock lock_;
    T* value_;
  };

  Guarded() = default;
  explicit Guarded(T value) : value_(std::move(value)) {}
  [[nodiscard]] Lock lock() { return Lock(mutex_, &value_); }

 private:
  std::mutex mutex_;
  T value_{};
};

template <class T>
class Monitor {
 public:
  class Lock {
   public:
    T* operator->() { return value_; }
    T& operator*() { return *value_; }

    /// Returns when `predicate(value)` holds; the lock is held again.
    template <class Predicate>
    void wait(Predicate predicate) {
      while (!predicate(std::as_const(*value_))) {
        lock_.while_released([&](auto& lock) { condition_.wait(lock); });
      }
    }
    /// False when `deadline` came first.
    template <class Predicate>
    bool wait_until(SteadyTime deadline, Predicate predicate) {
      while (!predicate(std::as_const(*value_))) {
        if (!lock_.while_released([&](auto& lock) { return condition_.wait_until(lock, deadline); })) {
          return predicate(std::as_const(*value_));
        }
      }
      return true;
    }
    /// Wakes all waiters: they look at their predicates once this lock is released.
    void notify() { condition_.notify_all(); }

   private:
    friend class Monitor;
    Lock(std::mutex& mutex, Condition& condition, T* value)
        : lock_(mutex), condition_(condition), value_(value) {}
    internal::CountedLock lock_;
    Condition& condition_;
    T* value_;
  };

  explicit Monitor(Executor& executor, T value = T{})
      : condition_(executor.make_condition()), value_(std::move(value)) {}
  [[nodiscard]] Lock lock() { return Lock(mutex_, *condition_, &value_); }

 private:
  std::mutex mutex_;
  std::unique_ptr<Condition> condition_;
  T value_;
};

/// A lock that may be held over waits, requests and other switches, as Guarded and Monitor may not: whoever
/// comes meanwhile waits through the executor. For rare, long sections.
class TaskLock {
 public:
  explicit TaskLock(Executor& executor) : held_(executor) {}

  class Hold {
   public:
    explicit Hold(TaskLock& lock) : lock_(lock) {
      auto held = lock_.held_.lock();
      held.wait([](bool is_held) { return !is_held; });
      *held = true;
    }
    ~Hold() {
      auto held = lock_.held_.lock();
      *held = false;
      held.notify();
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    TaskLock& lock_;
  };

 private:
  Monitor<bool> held_;
};

}  // namespace firn::base
