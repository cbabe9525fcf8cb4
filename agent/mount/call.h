// One request of a process that uses the mount: tells whoever works for it that the process gave up.
//
// Threads: any.
#pragma once

#include <atomic>

namespace firn::mount {

class Call {
 public:
  /// Whoever waits for this call must be woken after it: ChunkCache::wake().
  void interrupt() { interrupted_.store(true, std::memory_order_release); }
  bool interrupted() const { return interrupted_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> interrupted_{false};
};

}  // namespace firn::mount
