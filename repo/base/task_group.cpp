#include "repo/base/task_group.h"

namespace firn::base {

TaskGroup::TaskGroup(Executor& executor, std::function<void()> on_failure)
    : executor_(executor), on_failure_(std::move(on_failure)) {}

TaskGroup::~TaskGroup() { tasks_.clear(); }

void TaskGroup::spawn(std::string_view name, std::function<Result<>()> body) {
  tasks_.push_back(executor_.spawn(name, [this, body = std::move(body)] {
    if (auto result = body(); !result) {
      report(std::move(result).error());
    }
  }));
}

Result<> TaskGroup::join() {
  for (auto& task : tasks_) {
    task->join();
  }
  tasks_.clear();
  return *first_error_.lock();
}

void TaskGroup::report(Error error) {
  {
    auto first = first_error_.lock();
    if (!first->has_value()) {
      return;
    }
    *first = Failure(std::move(error));
  }
  // Outside the lock: it closes queues, whose locks are theirs.
  if (on_failure_) {
    on_failure_();
  }
}

}  // namespace firn::base
