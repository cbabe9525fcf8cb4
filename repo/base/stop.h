// A request to stop, seen by every stage of a job.
//
// Threads: any. request() is async-signal-safe.
#pragma once

#include <atomic>

#include "repo/base/result.h"

namespace firn::base {

class StopFlag {
 public:
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }
  bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }
  Result<> check() const {
    if (requested()) {
      return fail(ErrorCode::Cancelled, "interrupted");
    }
    return {};
  }

 private:
  std::atomic<bool> requested_{false};
};

}  // namespace firn::base
