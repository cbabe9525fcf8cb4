// The time seam. Time decides when something is worth trying and what a person sees, never whether it is
// safe.
//
// Threads: every member may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace firn::base {

/// Nanoseconds since 1970-01-01 UTC, as every record stores it.
struct WallTime {
  std::int64_t nanoseconds = 0;
  auto operator<=>(const WallTime&) const = default;
};

/// A point on a clock that never goes back; its origin means nothing.
struct SteadyTime {
  std::chrono::nanoseconds since_origin{0};
  auto operator<=>(const SteadyTime&) const = default;
  friend std::chrono::nanoseconds operator-(SteadyTime a, SteadyTime b) {
    return a.since_origin - b.since_origin;
  }
  friend SteadyTime operator+(SteadyTime a, std::chrono::nanoseconds d) { return {a.since_origin + d}; }
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime wall() const = 0;
  virtual SteadyTime steady() const = 0;
};

/// The machine's clocks.
class SystemClock final : public Clock {
 public:
  WallTime wall() const override;
  SteadyTime steady() const override;
};

}  // namespace firn::base
