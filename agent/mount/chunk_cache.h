// Decoded chunks and pages in memory, up to a byte budget, and the tasks that fetch them.
//
// Promise: however many ask for a chunk at once, it is fetched once; a wait ends when the chunk is there,
// when its call is interrupted, or on stop(). An error is given to those who wait and not kept. What is
// fetched ahead and lies side by side comes in one request. Memory: bytes_max, plus what a request brings and
// a decoded chunk for each task, plus what callers hold. The store and the local index are touched by the
// tasks alone, so no process waits where it cannot be interrupted. Not here: what a chunk is made of
// (repo/chunk_reader.h), what is read ahead (file_content.h). Threads: any.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "agent/mount/call.h"
#include "repo/base/executor.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"

namespace firn::mount {

/// Shared by the cache and by the replies that are made of it.
using Chunk = std::shared_ptr<const Bytes>;

enum class ChunkKind : std::uint8_t { Content, TreePage, SlicePage };

class ChunkCache {
 public:
  using Load = std::function<Result<Bytes>(ChunkKind, const format::ChunkSecret&)>;
  /// How chunks of contents that were asked for together are fetched in one request; none: each alone.
  struct Neighbours {
    /// How many of the first ones one request brings, at least 1.
    std::function<std::size_t(std::span<const format::ChunkSecret>)> count;
    /// Gives each, in order.
    std::function<void(std::span<const format::ChunkSecret>,
                       const std::function<void(std::size_t place, Result<Bytes>)>&)>
        load;
  };
  struct Options {
    std::size_t bytes_max = 32 << 20;
    unsigned tasks = 4;
  };
  ChunkCache(base::Executor& executor, Load load, Neighbours neighbours, const Options& options);
  ~ChunkCache();
  ChunkCache(const ChunkCache&) = delete;
  ChunkCache& operator=(const ChunkCache&) = delete;

  /// Errors: Cancelled (interrupted or stopped), those of `load`.
  Result<Chunk> get(ChunkKind kind, const format::ChunkSecret& t, const Call& call);
  /// Begins to fetch what is not there; drops the rest when too much is asked for already.
  void prefetch(ChunkKind kind, std::span<const format::ChunkSecret> wanted);
  /// Runs `work` on one of the tasks. It must own what it uses: an interrupted caller does not wait for its
  /// end. Errors: Cancelled, those of `work`.
  Result<> run(std::function<Result<>()> work, const Call& call);

  /// Makes those who wait look whether their calls were interrupted.
  void wake();
  /// Ends every wait, now and later. The destructor joins what is still being fetched.
  void stop();

  base::Executor& executor() const { return executor_; }
  std::size_t bytes_max() const { return options_.bytes_max; }
  /// For tests: bytes of chunks that are held.
  std::size_t bytes_held();

 private:
  struct Entry {
    ChunkKind kind = ChunkKind::Content;
    format::ChunkSecret t;
    enum class State : std::uint8_t { Queued, Loading, Ready, Failed } state = State::Queued;
    Chunk chunk;
    std::optional<Error> error;
    std::list<std::shared_ptr<Entry>>::iterator place;  // in recent_, once Ready
  };
  struct Job {
    std::function<Result<>()> work;
    bool done = false;
    Result<> result;
  };
  /// Exactly one of both.
  struct Queued {
    std::shared_ptr<Entry> entry;
    std::shared_ptr<Job> job;
  };
  template <class Ready>
  bool wait(std::unique_lock<std::mutex>& lock, const Call& call, Ready ready);
  void work();
  void fetch(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Entry>& entry);
  void fetch_neighbours(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Entry>& first);
  void finish(const std::shared_ptr<Entry>& entry, Result<Bytes> bytes);
  void keep(const std::shared_ptr<Entry>& entry);

  base::Executor& executor_;
  const Load load_;
  const Neighbours neighbours_;
  const Options options_;
  std::mutex mutex_;
  std::condition_variable queued_;                                           // for tasks
  std::condition_variable done_;                                             // for callers
  std::unordered_map<format::ChunkSecret, std::shared_ptr<Entry>> entries_;  // shared with who waits
  std::list<std::shared_ptr<Entry>> recent_;                                 // Ready ones, the latest first
  std::size_t bytes_held_ = 0;
  std::deque<Queued> wanted_;
  std::deque<Queued> ahead_;
  bool stopped_ = false;
  std::vector<std::unique_ptr<base::Task>> tasks_;
};

}  // namespace firn::mount
