// Several tasks that end together: the first error is kept, and everyone is told to stop.
//
// Threads: spawn() and join() are called by the owner only.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "repo/base/monitor.h"
#include "repo/base/result.h"

namespace firn::base {

class TaskGroup {
 public:
  /// `on_failure` (may be empty) runs once, on the failing task, with the first error: close queues there.
  explicit TaskGroup(Executor& executor, std::function<void()> on_failure = {});
  /// Joins.
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  void spawn(std::string_view name, std::function<Result<>()> body);
  /// Waits for all tasks. The first error of any of them.
  Result<> join();

 private:
  void report(Error error);

  Executor& executor_;
  std::function<void()> on_failure_;
  Guarded<Result<>> first_error_;
  std::vector<std::unique_ptr<Task>> tasks_;
};

}  // namespace firn::base
