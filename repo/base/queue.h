// A bounded queue that hands values from task to task by move. Closing it ends every wait.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "repo/base/monitor.h"

namespace firn::base {

template <class T>
class BoundedQueue {
 public:
  BoundedQueue(Executor& executor, std::size_t capacity) : capacity_(capacity), state_(executor) {}

  /// Waits for room. False (and `value` is dropped) when the queue was closed.
  bool push(T value) {
    auto state = state_.lock();
    state.wait([&](const State& s) { return s.closed || s.values.size() < capacity_; });
    if (state->closed) {
      return false;
    }
    state->values.push_back(std::move(value));
    state.notify();
    return true;
  }

  /// Waits for a value. Empty when the queue is closed and drained.
  std::optional<T> pop() {
    auto state = state_.lock();
    state.wait([](const State& s) { return s.closed || !s.values.empty(); });
    if (state->values.empty()) {
      return std::nullopt;
    }
    std::optional<T> value(std::move(state->values.front()));
    state->values.pop_front();
    state.notify();
    return value;
  }

  /// No more values come in; what is inside can still be taken out.
  void close() {
    auto state = state_.lock();
    state->closed = true;
    state.notify();
  }

  /// Closes and throws away what is inside: for an abort.
  void abort() {
    auto state = state_.lock();
    state->closed = true;
    state->values.clear();
    state.notify();
  }

 private:
  struct State {
    std::deque<T> values;
    bool closed = false;
  };
  const std::size_t capacity_;
  Monitor<State> state_;
};

}  // namespace firn::base
