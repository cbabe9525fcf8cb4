// What the parts of the local index share: the generation in use, its readers, the filter, and whose turn it
// is to change them. Private to repo/index.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "repo/base/monitor.h"
#include "repo/index/chunk_filter.h"
#include "repo/index/chunk_index.h"
#include "repo/index/generation.h"

namespace firn::index {

/// A reading transaction on the newest generation. Kept for the next reader until somebody commits.
struct Reader {
  std::shared_ptr<Generation> generation;  // shared with the index: whoever lets go last closes it
  std::unique_ptr<kv::ReadTxn> txn;
  std::uint64_t version = 0;
};

/// The right to change the index, until it is destroyed.
class Turn {
 public:
  explicit Turn(base::Monitor<bool>& taken) : taken_(&taken) {
    auto lock = taken.lock();
    lock.wait([](bool busy) { return !busy; });
    *lock = true;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    auto lock = taken_->lock();
    *lock = false;
    lock.notify();
  }

 private:
  base::Monitor<bool>* taken_;
};

struct ChunkIndex::State {
  struct Current {
    std::shared_ptr<Generation> generation;
    std::shared_ptr<ChunkFilter> filter;  // shared with look-ups that go on while it is replaced
    std::uint64_t version = 0;            // rises with each commit
    std::vector<Reader> idle;             // after generation, so that transactions end before it
  };

  State(base::Executor& executor_, kv::LocalKv& kv_, base::Scratch& scratch_,
        const format::RepositoryId& repository_, const IndexOptions& options_)
      : kv(kv_), scratch(scratch_), repository(repository_), options(options_), taken(executor_) {}
  ~State();

  /// Loads what is there, or begins empty.
  Result<> load();
  Result<> begin_empty();
  Result<> save_filter();

  Result<Reader> take_reader();
  void give_back(Reader reader);
  std::shared_ptr<ChunkFilter> filter();

  /// After a commit in the current generation: later readers see it.
  void publish();
  /// Makes the filter larger when it is crowded. The caller has the turn.
  Result<> grow_filter();
  /// Names `next` in the state file and gives it to readers. The old generation goes with its last reader.
  Result<> switch_to(std::shared_ptr<Generation> next, const MetaRow& next_meta,
                     std::shared_ptr<ChunkFilter> next_filter);
  Result<std::uint32_t> unused_number();
  Result<> remove_others();

  /// Remembers that a row was bad.
  template <class T>
  Result<T> watch(Result<T> result) {
    if (!result && result.error().code == ErrorCode::Corrupt) {
      damaged.store(true);
    }
    return result;
  }

  kv::EnvironmentOptions environment_options(bool durable) const {
    return {.size_bytes_max = options.size_bytes_max, .durable = durable};
  }
  std::size_t filter_bytes_max() const { return options.memory_bytes_max / 4; }
  std::size_t batch_bytes_max() const { return options.memory_bytes_max / 4; }
  /// The sorter's buffer grows by doubling.
  std::size_t sorter_bytes_max() const { return batch_bytes_max() / 2; }
  /// A change dirties at most a page and a part of those above it until its transaction commits.
  std::size_t changes_max() const { return options.memory_bytes_max / 4 / 4096; }

  kv::LocalKv& kv;
  base::Scratch& scratch;
  format::RepositoryId repository;
  IndexOptions options;
  base::Monitor<bool> taken;
  base::Guarded<Current> current;
  std::atomic<bool> damaged = false;
  // Of who has the turn:
  MetaRow meta;
  bool filter_saved = false;

 private:
  Result<bool> try_load();
  Result<std::shared_ptr<ChunkFilter>> load_filter(const Generation& generation);
  Result<std::shared_ptr<ChunkFilter>> read_all(Generation& generation, const MetaRow& wanted);
};

/// A reader that goes back by itself.
class ReaderLease {
 public:
  static Result<ReaderLease> take(ChunkIndex::State& state) {
    FIRN_LET(Reader reader, state.take_reader());
    return ReaderLease(state, std::move(reader));
  }
  ReaderLease(ReaderLease&&) = default;
  ReaderLease& operator=(ReaderLease&&) = delete;
  ~ReaderLease() {
    if (reader_.txn) {
      state_->give_back(std::move(reader_));
    }
  }
  kv::ReadTxn& txn() { return *reader_.txn; }

 private:
  ReaderLease(ChunkIndex::State& state, Reader reader) : state_(&state), reader_(std::move(reader)) {}
  ChunkIndex::State* state_;
  Reader reader_;
};

}  // namespace firn::index
