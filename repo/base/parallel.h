// The same work on many things, several at a time.
//
// Threads: `work` is called from several tasks at once.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "repo/base/executor.h"
#include "repo/base/result.h"

namespace firn::base {

/// Calls `work(i)` once for each i below `count`, from at most `tasks` tasks. After an error nothing new is
/// begun. The first error.
Result<> for_each_parallel(Executor& executor, std::string_view name, unsigned tasks, std::size_t count,
                           const std::function<Result<>(std::size_t)>& work);

}  // namespace firn::base
