// How many requests a server gets at once: as many as make it faster, fewer when it says that it is too much.
//
// The limit begins at a few and is doubled for as long as more requests at once move more bytes a second;
// then it stays, and now and then tries a little more. A server that throttles (503, 429) has it cut, and is
// left alone for as long as it asks. Nothing is known of the link beforehand: what counts is the throughput
// of whole rounds, so that a long round trip needs many requests, and a short one gets few.
//
// Only rounds that use the limit fully teach anything: a backup that is bound by the processor leaves it as
// it is. Threads: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "repo/base/executor.h"
#include "repo/base/monitor.h"
#include "repo/base/stop.h"

namespace firn::store::s3 {

class Pace {
 public:
  /// `stop` may be null.
  Pace(base::Executor& executor, unsigned limit_max, const base::StopFlag* stop);

  /// Waits for a turn. A request to stop ends waiting for a server that wants to be left alone.
  void enter();

  struct Report {
    std::uint64_t bytes = 0;  // of body, either way
    bool answered = true;     // false: timed out or broken, which says nothing about throughput
    bool throttled = false;
    std::chrono::milliseconds leave_alone{0};
  };
  /// Ends a turn.
  void leave(const Report& report);

  unsigned limit();

 private:
  struct State {
    double limit;
    unsigned in_flight = 0;
    base::SteadyTime closed_until;
    // The round: what was done since it began.
    base::SteadyTime round_began;
    double work_bytes = 0;
    unsigned completed = 0;
    unsigned full = 0;  // of them, how many left while the limit was reached
    // What the rounds before taught.
    bool doubling = true;
    double rate_before = 0;   // bytes a second with `limit_before`
    double limit_before = 0;  // 0: the present limit is not on trial
    int rounds_to_hold = 0;
    std::optional<base::SteadyTime> last_cut;
  };

  void end_round(State& state, base::SteadyTime now);
  void cut(State& state, base::SteadyTime now) const;

  base::Executor& executor_;
  const double limit_max_;
  const base::StopFlag* stop_;
  base::Monitor<State> state_;
};

}  // namespace firn::store::s3
