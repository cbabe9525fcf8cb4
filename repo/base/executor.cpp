#include "repo/base/executor.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>
#include <thread>

#include "repo/base/cgroup_limits.h"

namespace firn::base {
namespace {

// SystemClock and std::steady_clock share their origin.
std::chrono::steady_clock::time_point to_time_point(SteadyTime time) {
  return std::chrono::steady_clock::time_point(
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(time.since_origin));
}

class ThreadCondition final : public Condition {
 public:
  void wait(std::unique_lock<std::mutex>& lock) override { condition_.wait(lock); }
  bool wait_until(std::unique_lock<std::mutex>& lock, SteadyTime deadline) override {
    return condition_.wait_until(lock, to_time_point(deadline)) == std::cv_status::no_timeout;
  }
  void notify_all() override { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

class ThreadTask final : public Task {
 public:
  explicit ThreadTask(std::thread thread) : thread_(std::move(thread)) {}
  ThreadTask(const ThreadTask&) = delete;
  ThreadTask& operator=(const ThreadTask&) = delete;
  ~ThreadTask() override { join(); }
  void join() override {
    if (thread_.joinable()) {
      thread_.join();
    }
  }

 private:
  std::thread thread_;
};

void name_this_thread(const std::string& name) {
  constexpr std::size_t kKernelNameMax = 15;
  pthread_setname_np(pthread_self(), name.substr(0, kKernelNameMax).c_str());
}

std::thread start_thread(std::string name, std::function<void()> body) {
  try {
    return std::thread([name = std::move(name), body = std::move(body)] {
      name_this_thread(name);
      body();
    });
  } catch (const std::system_error& error) {
    // Half a pipeline would wait for ever for its missing part; there is nothing to give back yet.
    std::fprintf(stderr, "firn: cannot start a thread: %s (raise the limit of processes)\n", error.what());
    std::abort();
  }
}

unsigned cpus_of_affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
  }
  // More processors than the set has bits for.
  return std::max(1U, std::thread::hardware_concurrency());
}

unsigned cpus_allowed() {
  const unsigned cpus = cpus_of_affinity();
  const auto quota = own_cgroup_limits().cpus;
  if (!quota) {
    return cpus;
  }
  return std::clamp(static_cast<unsigned>(std::ceil(std::min(*quota, 65536.0))), 1U, cpus);
}

}  // namespace

ThreadExecutor::ThreadExecutor(unsigned cpu_count) : cpu_count_(cpu_count > 0 ? cpu_count : cpus_allowed()) {}

std::unique_ptr<Task> ThreadExecutor::spawn(std::string_view name, std::function<void()> body) {
  return std::make_unique<ThreadTask>(start_thread(std::string(name), std::move(body)));
}

std::unique_ptr<Condition> ThreadExecutor::make_condition() { return std::make_unique<ThreadCondition>(); }

void ThreadExecutor::sleep_for(std::chrono::nanoseconds duration) { std::this_thread::sleep_for(duration); }

}  // namespace firn::base
