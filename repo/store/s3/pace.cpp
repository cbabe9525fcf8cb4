#include "repo/store/s3/pace.h"

#include <algorithm>

namespace firn::store::s3 {
namespace {

using base::SteadyTime;
using std::chrono::milliseconds;

constexpr double kLimitFirst = 8;
// What a request costs beside its body, so that rounds of small requests can be compared too.
constexpr double kRequestWorkBytes = 64 << 10;
// A round is at least so long: shorter ones measure the scheduler.
constexpr milliseconds kRoundMin{100};
// More requests must be worth it.
constexpr double kGainMin = 1.08;
constexpr int kRoundsToHold = 12;
constexpr double kCut = 0.7;
// Answers that are on their way were asked for under the old limit: they do not cut again.
constexpr milliseconds kCutEvery{250};
constexpr milliseconds kStopTick{250};

}  // namespace

Pace::Pace(base::Executor& executor, unsigned limit_max, const base::StopFlag* stop)
    : executor_(executor),
      limit_max_(std::max(1U, limit_max)),
      stop_(stop),
      state_(executor, State{.limit = std::min(kLimitFirst, static_cast<double>(std::max(1U, limit_max))),
                             .closed_until = {},
                             .round_began = executor.clock().steady(),
                             .last_cut = {}}) {}

void Pace::enter() {
  auto state = state_.lock();
  while (true) {
    const SteadyTime now = executor_.clock().steady();
    const bool has_room = state->in_flight + 1 <= state->limit;
    const bool is_open = now >= state->closed_until || (stop_ != nullptr && stop_->requested());
    if (has_room && is_open) {
      break;
    }
    const SteadyTime look_again = now + kStopTick;
    const SteadyTime until = has_room ? std::min(look_again, state->closed_until) : look_again;
    state.wait_until(until, [&](const State& s) { return !has_room && s.in_flight + 1 <= s.limit; });
  }
  state->in_flight += 1;
}

void Pace::leave(const Report& report) {
  auto state = state_.lock();
  const SteadyTime now = executor_.clock().steady();
  state->full += state->in_flight + 1 > state->limit ? 1 : 0;
  state->in_flight -= 1;
  if (report.throttled) {
    cut(*state, now);
  } else if (report.answered) {
    state->work_bytes += static_cast<double>(report.bytes) + kRequestWorkBytes;
    state->completed += 1;
    if (state->completed >= static_cast<unsigned>(state->limit) && now - state->round_began >= kRoundMin) {
      end_round(*state, now);
    }
  }
  state->closed_until = std::max(state->closed_until, now + report.leave_alone);
  state.notify();
}

void Pace::cut(State& state, SteadyTime now) const {
  if (state.last_cut && now - *state.last_cut < kCutEvery) {
    return;
  }
  state.last_cut = now;
  state.limit = std::max(1.0, state.limit * kCut);
  state.doubling = false;
  state.limit_before = 0;
  state.rounds_to_hold = 1;
}

void Pace::end_round(State& state, SteadyTime now) {
  const double rate = state.work_bytes / std::chrono::duration<double>(now - state.round_began).count();
  // One request may come late to a limit that is otherwise used.
  const bool was_full = state.full * 4 >= state.completed * 3;
  state.round_began = now;
  state.work_bytes = 0;
  state.completed = 0;
  state.full = 0;
  if (!was_full) {
    return;
  }
  if (state.limit_before > 0 && rate < state.rate_before * kGainMin) {
    state.limit = state.limit_before;
    state.limit_before = 0;
    state.doubling = false;
    state.rounds_to_hold = kRoundsToHold;
    return;
  }
  if (state.rounds_to_hold > 0) {
    state.rounds_to_hold -= 1;
    return;
  }
  if (state.limit >= limit_max_) {
    state.limit_before = 0;
    return;
  }
  state.rate_before = rate;
  state.limit_before = state.limit;
  const double more = state.doubling ? state.limit : std::max(1.0, state.limit / 4);
  state.limit = std::min(limit_max_, state.limit + more);
}

unsigned Pace::limit() { return static_cast<unsigned>(state_.lock()->limit); }

}  // namespace firn::store::s3
