#include "agent/backup/work_queue.h"

#include <utility>

namespace firn::backup {

void WorkQueue::push(BatchPointer batch) {
  auto state = state_.lock();
  state->batches.push_back(std::move(batch));
  state.notify();
}

void WorkQueue::push(Piece piece) {
  auto state = state_.lock();
  state->pieces.push_back(std::move(piece));
  state.notify();
}

std::optional<Work> WorkQueue::pop() {
  auto state = state_.lock();
  state.wait([](const State& s) {
    return !s.pieces.empty() || !s.batches.empty() || (s.closed && s.batches_in_work == 0);
  });
  if (!state->pieces.empty()) {
    Piece piece = std::move(state->pieces.front());
    state->pieces.pop_front();
    return piece;
  }
  if (!state->batches.empty()) {
    BatchPointer batch = std::move(state->batches.front());
    state->batches.pop_front();
    state->batches_in_work += 1;
    return batch;
  }
  return std::nullopt;
}

void WorkQueue::help_until(const std::function<bool()>& ready, const std::function<void(Piece&)>& help) {
  while (true) {
    std::optional<Piece> piece;
    {
      auto state = state_.lock();
      state.wait([&](const State& s) { return ready() || !s.pieces.empty(); });
      if (ready()) {
        return;
      }
      piece = std::move(state->pieces.front());
      state->pieces.pop_front();
    }
    help(*piece);
  }
}

void WorkQueue::batch_finished() {
  auto state = state_.lock();
  state->batches_in_work -= 1;
  state.notify();
}

void WorkQueue::wake() { state_.lock().notify(); }

void WorkQueue::close() {
  auto state = state_.lock();
  state->closed = true;
  state.notify();
}

}  // namespace firn::backup
