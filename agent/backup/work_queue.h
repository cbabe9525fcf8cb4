// Work for the workers: batches in order, and pieces of large files, which come first.
//
// A worker that waits for pieces of its own file helps with pieces of any, so that no number of large files
// can make the workers wait for each other. Closing or aborting ends every wait.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <variant>

#include "agent/backup/work.h"

namespace firn::backup {

class Worker;
/// A piece of a large file: run by whichever worker takes it.
using Piece = std::function<void(Worker&)>;
using Work = std::variant<BatchPointer, Piece>;

class WorkQueue {
 public:
  explicit WorkQueue(base::Executor& executor) : state_(executor) {}

  void push(BatchPointer batch);
  void push(Piece piece);
  /// The next work; pieces before batches. Empty when the queue is closed and nobody works on a batch any
  /// more (who does may still push pieces).
  std::optional<Work> pop();
  /// A batch that pop() gave has been worked on.
  void batch_finished();
  /// Runs `help(piece)` for pieces until `ready()` holds. `ready` is asked under the queue's lock and after
  /// wake().
  void help_until(const std::function<bool()>& ready, const std::function<void(Piece&)>& help);
  /// Makes everybody in help_until() look again.
  void wake();
  /// No batch comes any more; pieces still may.
  void close();

 private:
  struct State {
    std::deque<BatchPointer> batches;
    std::deque<Piece> pieces;
    bool closed = false;
    std::size_t batches_in_work = 0;
  };
  base::Monitor<State> state_;
};

}  // namespace firn::backup
