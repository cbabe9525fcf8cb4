#include "repo/base/budget.h"

#include <algorithm>

namespace firn::base {

void ByteBudget::Lease::shrink_to(std::size_t bytes) {
  if (bytes >= bytes_) {
    return;
  }
  auto state = budget_->state_.lock();
  state->used_bytes -= bytes_ - bytes;
  bytes_ = bytes;
  state.notify();
}

ByteBudget::Lease ByteBudget::acquire(std::size_t bytes) {
  if (bytes == 0) {
    return {};
  }
  auto state = state_.lock();
  state.wait([&](const State& s) { return s.closed || fits(s, bytes); });
  return state->closed ? Lease() : take(*state, bytes);
}

ByteBudget::Lease ByteBudget::try_acquire(std::size_t bytes) {
  if (bytes == 0) {
    return {};
  }
  auto state = state_.lock();
  return state->closed || !fits(*state, bytes) ? Lease() : take(*state, bytes);
}

void ByteBudget::close() {
  auto state = state_.lock();
  state->closed = true;
  state.notify();
}

std::size_t ByteBudget::used_bytes() { return state_.lock()->used_bytes; }

std::size_t ByteBudget::peak_bytes() { return state_.lock()->peak_bytes; }

bool ByteBudget::fits(const State& state, std::size_t bytes) const {
  // Written so that it cannot overflow; one item alone may use more than there is.
  return state.used_bytes == 0 ||
         (state.used_bytes <= total_bytes_ && bytes <= total_bytes_ - state.used_bytes);
}

ByteBudget::Lease ByteBudget::take(State& state, std::size_t bytes) {
  state.used_bytes += bytes;
  state.peak_bytes = std::max(state.peak_bytes, state.used_bytes);
  return {this, bytes};
}

}  // namespace firn::base
