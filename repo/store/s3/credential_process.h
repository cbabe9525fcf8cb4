// Runs the command of a profile's credential_process and takes what it prints.
//
// Promise: the command is killed and collected when its time is over, or when somebody asks to stop; what it
// prints is wiped and stands in no message. Its standard error is ours. Threads: any.
#pragma once

#include <chrono>
#include <string>

#include "repo/base/clock.h"
#include "repo/base/stop.h"
#include "repo/store/s3/credential_fields.h"

namespace firn::store::s3 {

struct ProcessLimits {
  const base::Clock& clock;
  const base::StopFlag* stop = nullptr;
  std::chrono::milliseconds time_max{};
  std::size_t output_bytes_max = 0;
};

/// Errors: Denied (it failed, or took too long), Corrupt (too much output), Cancelled, Exhausted.
Result<WipedText> run_credential_process(const std::string& command, const ProcessLimits& limits);

}  // namespace firn::store::s3
