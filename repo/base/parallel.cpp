#include "repo/base/parallel.h"

#include <algorithm>
#include <atomic>

#include "repo/base/task_group.h"

namespace firn::base {

Result<> for_each_parallel(Executor& executor, std::string_view name, unsigned tasks, std::size_t count,
                           const std::function<Result<>(std::size_t)>& work) {
  std::atomic<std::size_t> next{0};
  TaskGroup group(executor, [&] { next.store(count); });
  const std::size_t wanted = std::min<std::size_t>(std::max(tasks, 1U), count);
  for (std::size_t task = 0; task < wanted; ++task) {
    group.spawn(name, [&]() -> Result<> {
      for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
        FIRN_TRY(work(i));
      }
      return {};
    });
  }
  return group.join();
}

}  // namespace firn::base
