#include "repo/base/clock.h"

namespace firn::base {

WallTime SystemClock::wall() const {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return {std::chrono::duration_cast<std::chrono::nanoseconds>(since_epoch).count()};
}

SteadyTime SystemClock::steady() const {
  const auto since_origin = std::chrono::steady_clock::now().time_since_epoch();
  return {std::chrono::duration_cast<std::chrono::nanoseconds>(since_origin)};
}

}  // namespace firn::base
