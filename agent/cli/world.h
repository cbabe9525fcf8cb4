// What a command needs of the machine: every seam, made once by the program's main.
//
// Borrowed by everything in agent/cli for as long as a command runs.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "agent/restore/target_fs.h"
#include "agent/scan/source_fs.h"
#include "repo/base/clock.h"
#include "repo/base/executor.h"
#include "repo/base/rng.h"
#include "repo/base/stop.h"

namespace firn::cli {

struct World {
  base::Executor& executor;
  base::Rng& rng;
  const base::Clock& clock;
  const base::StopFlag& stop;
  scan::SourceFs& source;
  restore::TargetFs& target;
  /// A variable of the environment; nothing where it is not set.
  std::function<std::optional<std::string>(const std::string& name)> variable;
  int in_fd = 0;
  int out_fd = 1;
  int err_fd = 2;
};

}  // namespace firn::cli
