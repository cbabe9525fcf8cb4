// The local index: which pack holds which chunk, as the index objects of the repository say it.
//
// Promise: what it answers is what the index objects that it lists as applied() say, less the packs marked
// here; never something else. Truth is in the repository. Whatever happens to the files (lost, torn, older
// than the repository, of another repository, full, of another version) ends in an empty index, whose
// applied() is empty too, so that the caller loads everything again. A row that turns out to be damaged while
// the index is in use gives Corrupt and sets damaged(); the caller then calls clear() and loads again.
//
// Where it lies: one environment per generation, `index-<n>`, named by the state file `index-current`. A
// large update fills a new generation in key order and switches to it when it is durable; a small one changes
// the current generation, one durable commit a batch. In front stands a Bloom filter in memory, so that a
// chunk that is new costs no look-up.
//
// Not here: which index objects there are and whether they are valid (repo/view.h), what maintenance wants.
// Threads: every member from any thread; updates wait for each other. An Update belongs to one task.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "repo/base/executor.h"
#include "repo/base/result.h"
#include "repo/base/scratch.h"
#include "repo/format/chunk.h"
#include "repo/format/ids.h"
#include "repo/format/index_object.h"
#include "repo/format/names.h"
#include "repo/kv/local_kv.h"

namespace firn::index {

/// Condemned: some day the pack will be deleted. It may be read, and never be relied on again.
enum class PackState : std::uint8_t { Live, Condemned };

/// One copy of a chunk, as an index object claims it; the pack's trailer decides where they disagree.
struct Location {
  format::PackName pack;
  PackState state = PackState::Live;
  std::uint32_t pack_size_bytes = 0;
  std::uint32_t offset = 0;
  format::ChunkShape shape;
  bool operator==(const Location&) const = default;
};

/// A pack, as an index object lists it. Objects that list one pack differently give one of these each.
struct PackSummary {
  format::PackName name;
  PackState state = PackState::Live;
  std::uint32_t size_bytes = 0;
  std::uint32_t entries = 0;
  std::uint64_t stored_bytes = 0;  // of its entries together
  bool operator==(const PackSummary&) const = default;
};

struct IndexOptions {
  /// Anonymous memory for the filter (a quarter; twice that while a generation is replaced), batches and
  /// sorting. At least 1 MiB. LMDB's map is page cache and not counted.
  std::size_t memory_bytes_max = 32 << 20;
  /// Bound of a generation on disk; address space is reserved for it.
  std::uint64_t size_bytes_max = 64ull << 30;
};

struct IndexStatistics {
  std::uint64_t objects = 0;
  std::uint64_t packs_live = 0;
  std::uint64_t packs_condemned = 0;
  std::uint64_t entries = 0;       // of live and condemned packs
  std::uint64_t entries_dead = 0;  // rows that no look-up finds any more; compact() removes them
  std::uint64_t stored_bytes = 0;  // of live and condemned packs
  std::uint64_t size_bytes = 0;    // on disk
  std::uint64_t filter_bytes = 0;
};

/// A change of the index. Objects, forgotten ones and marks come in any order; forgetting is done last, so
/// that a chunk that moves from one index object to another is found all the time. Each object counts whole
/// or not at all, also after a crash; a long update shows its first objects before commit(). An error of the
/// local disk spoils the update: every later call gives it again. Errors of every member: Exhausted (disk or
/// map full), Corrupt (the index is damaged(), or the object is), Unavailable.
class Update {
 public:
  struct State;

  /// Without commit() what was not shown yet is undone.
  ~Update();
  Update(const Update&) = delete;
  Update& operator=(const Update&) = delete;

  /// Adds an index object pack by pack. One that is applied already is passed over. An object that was begun
  /// and not ended leaves nothing.
  Result<> begin_object(const format::IndexName& name);
  Result<> add_pack(const format::IndexedPack& pack);
  Result<> end_object();

  /// The three in one, for all that `reader` still holds. Corrupt with damaged() false: the object is bad,
  /// and left nothing; go on with the next.
  Result<> add_object(const format::IndexName& name, format::IndexReader& reader);
  Result<> add_object(const format::IndexName& name, std::span<const format::IndexedPack> packs);

  /// The object is gone from the repository: packs that no other object lists are found no more. One that was
  /// never applied is no error.
  Result<> forget_object(const format::IndexName& name);

  /// Marks stay, also for packs that are listed later, until the index is cleared.
  Result<> condemn(const format::PackName& pack);
  /// The pack has been deleted: nothing lies in it any more, whatever index objects say.
  Result<> mark_gone(const format::PackName& pack);

  Result<> commit();

 private:
  friend class ChunkIndex;
  explicit Update(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class ChunkIndex {
 public:
  struct State;

  /// Opens the index kept in `kv`, or begins an empty one where there is none that can be trusted. The seams
  /// outlive it. Errors: Exhausted, Denied, Unavailable: nothing can be kept in `kv`.
  static Result<std::unique_ptr<ChunkIndex>> open(base::Executor& executor, kv::LocalKv& kv,
                                                  base::Scratch& scratch,
                                                  const format::RepositoryId& repository,
                                                  const IndexOptions& options);
  /// Keeps what close() would have written from being written: the next open() takes longer.
  ~ChunkIndex();

  /// Keeps the filter, so that the next open() need not read every row. No member may be called after it.
  Result<> close();

  /// Is there an entry for the chunk in a pack that is neither condemned nor gone? The question of
  /// deduplication. Errors: Corrupt, Exhausted (readers), Unavailable.
  Result<bool> contains_live(const format::ChunkId& chunk);

  /// Every place where the chunk is said to lie, live packs first; none is no error.
  Result<std::vector<Location>> find(const format::ChunkId& chunk);

  /// Is the pack listed by an applied object, and not gone?
  Result<bool> contains_pack(const format::PackName& pack);

  /// The index objects that this index is made of.
  Result<std::set<format::IndexName>> applied();

  /// Begins a change; waits while another one is going on.
  Result<std::unique_ptr<Update>> begin_update();

  /// True once damaged rows were met: answers stay right or are Corrupt, and clear() is the way out.
  bool damaged() const;
  /// Begins anew, empty: after it applied() is empty, and so are the marks. Waits while an update is going
  /// on.
  Result<> clear();

  /// True when so many rows are dead that compact() pays.
  Result<bool> wants_compaction();
  /// Copies what is alive into a new generation. Look-ups go on meanwhile.
  Result<> compact();

  /// Packs that are not gone, in the order in which they were first listed, until `visit` returns false.
  Result<> for_each_pack(const std::function<bool(const PackSummary&)>& visit);
  /// All entries of packs that are not gone, in the order of chunk ids; a chunk with several copies comes
  /// several times.
  Result<> for_each_entry(const std::function<bool(const format::ChunkId&, const Location&)>& visit);
  /// The same sorted by pack: a pack comes with all its entries, by offset. Sorts in scratch space, in
  /// bounded memory but for one pack.
  Result<> for_each_pack_with_entries(
      const std::function<bool(const PackSummary&, std::span<const format::PackEntry>)>& visit);

  Result<IndexStatistics> statistics();

 private:
  friend class Update;
  explicit ChunkIndex(std::shared_ptr<State> state);
  // Shared with the Update that is going on.
  std::shared_ptr<State> state_;
};

}  // namespace firn::index
