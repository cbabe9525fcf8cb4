// One byte budget for all stages of a job: a stage that would exceed it waits until another gives bytes back.
//
// Rule against deadlock: a task asks for what it needs at once, and asks for nothing more while it holds a
// lease that only it can give back; leases are given back by the stages further down the pipeline.
// Whoever fits goes first: a waiter for much does not hold up those who need little (they may be what it
// waits for). Leases must not outlive the budget. Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "repo/base/monitor.h"

namespace firn::base {

class ByteBudget {
 public:
  /// Bytes that are held until the lease is destroyed or shrunk.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Lease& operator=(Lease&& other) noexcept {
      if (this != &other) {
        release();
        budget_ = std::exchange(other.budget_, nullptr);
        bytes_ = std::exchange(other.bytes_, 0);
      }
      return *this;
    }
    ~Lease() { release(); }
    std::size_t bytes() const { return bytes_; }
    void shrink_to(std::size_t bytes);
    void release() { shrink_to(0); }

   private:
    friend class ByteBudget;
    Lease(ByteBudget* budget, std::size_t bytes) : budget_(budget), bytes_(bytes) {}
    ByteBudget* budget_ = nullptr;
    std::size_t bytes_ = 0;
  };

  ByteBudget(Executor& executor, std::size_t total_bytes) : total_bytes_(total_bytes), state_(executor) {}

  /// Waits until `bytes` are free. More than the whole budget is granted when nothing else is out, so that
  /// one large item makes progress alone. After close() it returns an empty lease at once.
  [[nodiscard]] Lease acquire(std::size_t bytes);
  /// An empty lease when the bytes are not free now.
  [[nodiscard]] Lease try_acquire(std::size_t bytes);
  /// Ends every wait: a job that stops must not hang on its own budget.
  void close();

  std::size_t total_bytes() const { return total_bytes_; }
  std::size_t used_bytes();
  std::size_t peak_bytes();

 private:
  struct State {
    std::size_t used_bytes = 0;
    std::size_t peak_bytes = 0;
    bool closed = false;
  };
  bool fits(const State& state, std::size_t bytes) const;
  Lease take(State& state, std::size_t bytes);

  const std::size_t total_bytes_;
  Monitor<State> state_;
};

}  // namespace firn::base
