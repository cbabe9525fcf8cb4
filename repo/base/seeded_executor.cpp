#include "repo/base/seeded_executor.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "repo/base/check.h"
#include "repo/base/monitor.h"
#include "repo/base/rng.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIRN_FIBER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define FIRN_FIBER_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define FIRN_FIBER_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define FIRN_FIBER_TSAN 1
#endif
#ifdef FIRN_FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#ifdef FIRN_FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace firn::base {
namespace {

/// The memory of a fiber's stack, with a page below it that may not be touched.
class Stack {
 public:
  explicit Stack(std::size_t bytes) : guard_bytes_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))) {
    map_bytes_ = (bytes + guard_bytes_ - 1) / guard_bytes_ * guard_bytes_ + guard_bytes_;
    map_ = ::mmap(nullptr, map_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                  -1, 0);
    FIRN_CHECK(map_ != MAP_FAILED);
    FIRN_CHECK(::mprotect(map_, guard_bytes_, PROT_NONE) == 0);
  }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  ~Stack() {
    unpoison();
    ::munmap(map_, map_bytes_);
  }
  void* base() const { return static_cast<std::byte*>(map_) + guard_bytes_; }
  std::size_t size_bytes() const { return map_bytes_ - guard_bytes_; }
  /// Forgets what the address sanitizer knew of the frames of a task that crashed here.
  void unpoison() {
#ifdef FIRN_FIBER_ASAN
    __asan_unpoison_memory_region(base(), size_bytes());
#endif
  }

 private:
  std::size_t guard_bytes_;
  std::size_t map_bytes_ = 0;
  void* map_ = nullptr;
};

enum class State { Runnable, Waiting, Sleeping, Joining, Ended, Crashed };

const char* to_text(State state) {
  switch (state) {
    case State::Runnable:
      return "can run";
    case State::Waiting:
      return "waits";
    case State::Sleeping:
      return "sleeps";
    case State::Joining:
      return "joins";
    case State::Ended:
      return "has ended";
    case State::Crashed:
      return "has crashed";
  }
  return "";
}

}  // namespace

struct SeededExecutor::Fiber {
  std::uint64_t id = 0;
  std::string name;
  std::string domain;
  std::unique_ptr<std::function<void()>> body;
  State state = State::Runnable;
  std::optional<SteadyTime> deadline;
  bool timed_out = false;
  SeededCondition* waits_on = nullptr;
  std::string joins;              // the name of the task that it joins
  std::vector<Fiber*> joined_by;  // who waits for the end of this one
  std::unique_ptr<Stack> stack;   // none before the first switch to it
  ucontext_t context{};
  void* fake_stack = nullptr;  // the address sanitizer's
  void* tsan_fiber = nullptr;

  bool over() const { return state == State::Ended || state == State::Crashed; }
};

class SeededExecutor::SeededCondition final : public Condition {
 public:
  explicit SeededCondition(Impl& impl) : impl_(impl) {}
  SeededCondition(const SeededCondition&) = delete;
  SeededCondition& operator=(const SeededCondition&) = delete;
  ~SeededCondition() override { FIRN_CHECK(waiters_.empty()); }
  void wait(std::unique_lock<std::mutex>& lock) override;
  bool wait_until(std::unique_lock<std::mutex>& lock, SteadyTime deadline) override;
  void notify_all() override;
  void forget(Fiber* fiber) { std::erase(waiters_, fiber); }

 private:
  Impl& impl_;
  std::vector<Fiber*> waiters_;
};

/// The scheduler. Fibers switch only to and from the loop in run().
struct SeededExecutor::Impl {
  explicit Impl(const SeededExecutorOptions& given)
      : options(given), rng(given.seed), clock(given.start), trace(given.seed) {}

  const SeededExecutorOptions options;
  SeededRng rng;
  VirtualClock clock;
  std::uint64_t trace;
  std::uint64_t switches = 0;
  std::uint64_t next_id = 0;
  std::map<std::uint64_t, std::shared_ptr<Fiber>> alive;  // shared with the handles of the tasks
  std::vector<Fiber*> runnable;
  std::set<std::pair<SteadyTime, std::uint64_t>> timers;
  std::vector<std::unique_ptr<Stack>> free_stacks;
  Fiber* current = nullptr;
  std::thread::id thread;
  ucontext_t loop_context{};
  void* loop_fake_stack = nullptr;
  const void* loop_stack_base = nullptr;
  std::size_t loop_stack_bytes = 0;
  void* loop_tsan_fiber = nullptr;

  std::shared_ptr<Fiber> add(std::string_view domain, std::string_view name, std::function<void()> body) {
    auto fiber = std::make_shared<Fiber>();
    fiber->id = next_id++;
    fiber->name = name;
    fiber->domain = domain;
    fiber->body = std::make_unique<std::function<void()>>(std::move(body));
    alive.emplace(fiber->id, fiber);
    runnable.push_back(fiber.get());
    return fiber;
  }

  void run() {
    thread = std::this_thread::get_id();
    while (!alive.empty()) {
      fire_timers();
      if (runnable.empty()) {
        if (timers.empty()) {
          report_deadlock();
        }
        clock.advance(timers.begin()->first - clock.steady());
        continue;
      }
      maybe_wake_for_nothing();
      resume(*take_next());
      clock.advance(options.time_per_switch);
    }
  }

  Fiber* take_next() {
    const std::size_t chosen = runnable.size() == 1 ? 0 : rng.below(runnable.size());
    Fiber* fiber = runnable[chosen];
    runnable[chosen] = runnable.back();
    runnable.pop_back();
    ++switches;
    trace = (trace ^ fiber->id) * 0x9e3779b97f4a7c15ULL;
    trace ^= trace >> 29;
    return fiber;
  }

  void fire_timers() {
    while (!timers.empty() && timers.begin()->first <= clock.steady()) {
      Fiber* fiber = alive.at(timers.begin()->second).get();
      fiber->timed_out = true;
      wake(fiber);
    }
  }

  void maybe_wake_for_nothing() {
    if (options.spurious_wakes_per_1024 == 0 || rng.below(1024) >= options.spurious_wakes_per_1024) {
      return;
    }
    std::vector<Fiber*> waiting;
    for (const auto& [id, fiber] : alive) {
      if (fiber->state == State::Waiting) {
        waiting.push_back(fiber.get());
      }
    }
    if (!waiting.empty()) {
      wake(waiting[rng.below(waiting.size())]);
    }
  }

  /// Takes `fiber` off everything that could wake it.
  void detach(Fiber* fiber) {
    if (fiber->deadline) {
      timers.erase({*fiber->deadline, fiber->id});
      fiber->deadline.reset();
    }
    if (fiber->waits_on != nullptr) {
      fiber->waits_on->forget(fiber);
      fiber->waits_on = nullptr;
    }
  }

  void wake(Fiber* fiber) {
    detach(fiber);
    fiber->state = State::Runnable;
    runnable.push_back(fiber);
  }

  void finish(Fiber* fiber, State how) {
    fiber->state = how;
    for (Fiber* joiner : std::exchange(fiber->joined_by, {})) {
      if (joiner->state == State::Joining) {
        wake(joiner);
      }
    }
  }

  // Called by a task: gives the processor up until somebody wakes it (or, when Runnable, until it is chosen).
  void switch_out(State state, std::optional<SteadyTime> deadline = std::nullopt) {
    Fiber* self = current;
    FIRN_CHECK(self != nullptr && thread == std::this_thread::get_id());
    FIRN_CHECK(internal::locks_held == 0);  // a task may not switch while it holds a lock
    self->state = state;
    self->timed_out = false;
    if (state == State::Runnable) {
      runnable.push_back(self);
    }
    if (deadline) {
      self->deadline = deadline;
      timers.emplace(*deadline, self->id);
    }
    leave(*self, false);
  }

  void crash(std::string_view domain) {
    FIRN_CHECK(!domain.empty());
    std::vector<std::shared_ptr<Fiber>> victims;
    for (const auto& [id, fiber] : alive) {
      if (fiber->domain == domain) {
        victims.push_back(fiber);
      }
    }
    bool includes_caller = false;
    for (const auto& victim : victims) {
      if (victim.get() == current) {
        includes_caller = true;
        continue;
      }
      detach(victim.get());
      std::erase(runnable, victim.get());
      for (auto& [id, fiber] : alive) {
        std::erase(fiber->joined_by, victim.get());
      }
      finish(victim.get(), State::Crashed);
      bury(*victim);
    }
    if (includes_caller) {
      victims.clear();
      for (auto& [id, fiber] : alive) {
        std::erase(fiber->joined_by, current);
      }
      FIRN_CHECK(internal::locks_held == 0);  // what it would lock is shared with those who live on
      finish(current, State::Crashed);
      leave(*current, false);
    }
  }

  /// Frees what belongs to a task that is over, but not what its frames own.
  void bury(Fiber& fiber) {
    if (fiber.state == State::Crashed) {
#ifdef FIRN_FIBER_ASAN
      __lsan_ignore_object(fiber.body.get());
#endif
      // Its captures must not be destroyed: a killed process runs no destructors.
      static_cast<void>(fiber.body.release());
    }
#ifdef FIRN_FIBER_TSAN
    if (fiber.tsan_fiber != nullptr) {
      __tsan_destroy_fiber(fiber.tsan_fiber);
    }
#endif
    if (fiber.stack) {
      fiber.stack->unpoison();
      free_stacks.push_back(std::move(fiber.stack));
    }
    alive.erase(fiber.id);
  }

  /// From the loop into a task, and back when it switches out.
  void resume(Fiber& fiber) {
    const auto keep = alive.at(fiber.id);
    if (!fiber.stack) {
      prepare(fiber);
    }
    current = &fiber;
#ifdef FIRN_FIBER_ASAN
    if (!fiber.domain.empty()) {
      __lsan_disable();
    }
    __sanitizer_start_switch_fiber(&loop_fake_stack, fiber.stack->base(), fiber.stack->size_bytes());
#endif
#ifdef FIRN_FIBER_TSAN
    loop_tsan_fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber.tsan_fiber, 0);
#endif
    FIRN_CHECK(::swapcontext(&loop_context, &fiber.context) == 0);
#ifdef FIRN_FIBER_ASAN
    __sanitizer_finish_switch_fiber(loop_fake_stack, nullptr, nullptr);
    if (!fiber.domain.empty()) {
      __lsan_enable();
    }
#endif
    current = nullptr;
    if (fiber.over()) {
      bury(fiber);
    }
  }

  void prepare(Fiber& fiber) {
    if (free_stacks.empty()) {
      fiber.stack = std::make_unique<Stack>(options.stack_bytes);
    } else {
      fiber.stack = std::move(free_stacks.back());
      free_stacks.pop_back();
    }
    FIRN_CHECK(::getcontext(&fiber.context) == 0);
    fiber.context.uc_stack.ss_sp = fiber.stack->base();
    fiber.context.uc_stack.ss_size = fiber.stack->size_bytes();
    fiber.context.uc_link = nullptr;
    // makecontext passes ints only.
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    ::makecontext(&fiber.context, reinterpret_cast<void (*)()>(&Impl::enter), 2,
                  static_cast<unsigned>(self >> 32), static_cast<unsigned>(self & 0xffffffffU));
    // The address sanitizer would forget what it knows of a stack that it finds here, with every switch.
    fiber.context.uc_stack.ss_size = 0;
#ifdef FIRN_FIBER_TSAN
    fiber.tsan_fiber = __tsan_create_fiber(0);
#endif
  }

  static void enter(unsigned high, unsigned low) noexcept {
    auto* impl = std::bit_cast<Impl*>(static_cast<std::uintptr_t>(high) << 32 | low);
    impl->arrive(nullptr);
    Fiber* self = impl->current;
    (*self->body)();
    self->body.reset();
    FIRN_CHECK(internal::locks_held == 0);
    impl->finish(self, State::Ended);
    impl->leave(*self, true);
    std::abort();  // nobody resumes what has ended
  }

  /// From a task into the loop. `for_good`: its stack is done with.
  void leave(Fiber& self, bool for_good) {
#ifdef FIRN_FIBER_ASAN
    __sanitizer_start_switch_fiber(for_good ? nullptr : &self.fake_stack, loop_stack_base, loop_stack_bytes);
#else
    static_cast<void>(for_good);
#endif
#ifdef FIRN_FIBER_TSAN
    __tsan_switch_to_fiber(loop_tsan_fiber, 0);
#endif
    FIRN_CHECK(::swapcontext(&self.context, &loop_context) == 0);
    arrive(self.fake_stack);
  }

  void arrive([[maybe_unused]] void* fake_stack) {
#ifdef FIRN_FIBER_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, &loop_stack_base, &loop_stack_bytes);
#endif
  }

  [[noreturn]] void report_deadlock() const {
    std::fprintf(stderr, "firn: deadlock in the seeded executor (seed %llu): no task can run\n",
                 static_cast<unsigned long long>(options.seed));
    for (const auto& [id, fiber] : alive) {
      std::fprintf(stderr, "  task %llu %s%s%s %s %s\n", static_cast<unsigned long long>(id),
                   fiber->domain.c_str(), fiber->domain.empty() ? "" : "/", fiber->name.c_str(),
                   to_text(fiber->state), fiber->state == State::Joining ? fiber->joins.c_str() : "");
    }
    std::abort();
  }
};

namespace {

/// Gives a lock up for the time of a switch.
class Unlocked {
 public:
  explicit Unlocked(std::unique_lock<std::mutex>& lock) : lock_(lock) { lock_.unlock(); }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
  ~Unlocked() { lock_.lock(); }

 private:
  std::unique_lock<std::mutex>& lock_;
};

}  // namespace

void SeededExecutor::SeededCondition::wait(std::unique_lock<std::mutex>& lock) {
  const Unlocked unlocked(lock);
  waiters_.push_back(impl_.current);
  impl_.current->waits_on = this;
  impl_.switch_out(State::Waiting);
}

bool SeededExecutor::SeededCondition::wait_until(std::unique_lock<std::mutex>& lock, SteadyTime deadline) {
  const Unlocked unlocked(lock);
  Fiber* self = impl_.current;
  waiters_.push_back(self);
  self->waits_on = this;
  impl_.switch_out(State::Waiting, deadline);
  return !self->timed_out;
}

void SeededExecutor::SeededCondition::notify_all() {
  const std::vector<Fiber*> woken = waiters_;
  for (Fiber* fiber : woken) {
    impl_.wake(fiber);
  }
}

class SeededExecutor::SeededTask final : public Task {
 public:
  SeededTask(Impl& impl, std::shared_ptr<Fiber> fiber) : impl_(impl), fiber_(std::move(fiber)) {}
  SeededTask(const SeededTask&) = delete;
  SeededTask& operator=(const SeededTask&) = delete;
  ~SeededTask() override { join(); }
  void join() override {
    while (!fiber_->over()) {
      FIRN_CHECK(impl_.current != nullptr);  // joining needs run()
      fiber_->joined_by.push_back(impl_.current);
      impl_.current->joins = fiber_->name;
      impl_.switch_out(State::Joining);
    }
  }

 private:
  Impl& impl_;
  std::shared_ptr<Fiber> fiber_;  // shared with the scheduler, which drops it when the task is over
};

SeededExecutor::SeededExecutor(const SeededExecutorOptions& options)
    : impl_(std::make_unique<Impl>(options)) {}

SeededExecutor::~SeededExecutor() { FIRN_CHECK(impl_->current == nullptr); }

void SeededExecutor::run(std::function<void()> body) {
  FIRN_CHECK(impl_->current == nullptr);
  impl_->add("", "main", std::move(body));
  impl_->run();
}

std::unique_ptr<Task> SeededExecutor::spawn(std::string_view name, std::function<void()> body) {
  return std::make_unique<SeededTask>(*impl_, impl_->add(current_domain(), name, std::move(body)));
}

std::unique_ptr<Task> SeededExecutor::spawn_in(std::string_view domain, std::string_view name,
                                               std::function<void()> body) {
  FIRN_CHECK(!domain.empty());
  return std::make_unique<SeededTask>(*impl_, impl_->add(domain, name, std::move(body)));
}

std::unique_ptr<Condition> SeededExecutor::make_condition() {
  return std::make_unique<SeededCondition>(*impl_);
}

void SeededExecutor::sleep_for(std::chrono::nanoseconds duration) {
  impl_->switch_out(State::Sleeping, impl_->clock.steady() + duration);
}

void SeededExecutor::yield() {
  // Outside run() there is nobody to go on with: tests look into stores before and after.
  if (impl_->current != nullptr) {
    impl_->switch_out(State::Runnable);
  }
}

unsigned SeededExecutor::cpu_count() const { return impl_->options.cpu_count; }

const Clock& SeededExecutor::clock() const { return impl_->clock; }

void SeededExecutor::crash(std::string_view domain) { impl_->crash(domain); }

std::string SeededExecutor::current_domain() const {
  return impl_->current == nullptr ? std::string() : impl_->current->domain;
}

std::size_t SeededExecutor::tasks_alive(std::string_view domain) const {
  return static_cast<std::size_t>(std::count_if(
      impl_->alive.begin(), impl_->alive.end(),
      [&](const auto& entry) { return entry.second->domain == domain && !entry.second->over(); }));
}

std::uint64_t SeededExecutor::trace_hash() const { return impl_->trace; }

std::uint64_t SeededExecutor::switch_count() const { return impl_->switches; }

}  // namespace firn::base
