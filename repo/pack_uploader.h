// From sealed chunks to answered packs: open packs, uploads in flight, index objects, the journal.
//
// Promise: wait_for_all() returns when every chunk claimed before is in a pack whose PUT was answered and in
// an index object whose PUT was answered after that (I2, I3), or an error: also chunks that other jobs of the
// session claimed, since whoever finds a claim refers to the chunk. The number of packs in memory is
// bounded. Not here: hashing and sealing of chunks, snapshots (session.h). Threads: add() from any number of
// workers.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "repo/base/budget.h"
#include "repo/base/queue.h"
#include "repo/base/task_group.h"
#include "repo/format/index_object.h"
#include "repo/format/pack.h"
#include "repo/index/chunk_index.h"
#include "repo/kv/local_kv.h"
#include "repo/repository.h"

namespace firn::repo {

struct UploaderOptions {
  format::SessionProof proof;
  std::uint64_t memory_bytes = 0;
};

class PackUploader {
 public:
  static Result<std::unique_ptr<PackUploader>> start(const Repository& repository, index::ChunkIndex& index,
                                                     kv::LocalKv& state, const UploaderOptions& options);
  ~PackUploader();

  /// True for the first caller with this id until its index object is in the local index: that caller add()s
  /// it, or calls give_up().
  bool claim(const format::ChunkId& id);
  /// True while the id is claimed: somebody stored it, or is about to.
  bool claimed(const format::ChunkId& id);
  /// Whoever claimed the chunk cannot add it. Others may refer to it by now, so this ends the session.
  void give_up(const format::ChunkId& id, const Error& why);

  /// Puts a stored chunk that was claimed into the open pack of its kind. Waits for an upload when too many
  /// packs are in memory.
  Result<> add(const format::ChunkId& id, const format::ChunkShape& shape, ByteView stored);

  /// Closes the open packs and waits. Errors: the first one of any upload; it is final.
  Result<> wait_for_all();

  /// Drops what is not on its way yet, and waits for the answers to what is. Nothing is added afterwards.
  void stop();

  /// Takes over packs of the journal that this store holds, uncondemned and not in the index; forgets the
  /// other entries.
  Result<> adopt_journal(const std::function<bool(const format::PackName&)>& is_condemned);

  void on_checkpoint(std::function<void()> callback);

  /// True when the answer to some PUT was lost for good.
  bool uncertain() const { return uncertain_.load(); }
  std::uint64_t uploaded_bytes() const { return uploaded_bytes_.load(); }
  std::uint64_t adopted_packs() const { return adopted_packs_; }

 private:
  struct ClosedPack {
    format::PackBuilder builder;
    format::PackBuilder::Padding padding;
    base::ByteBudget::Lease slot;
    std::uint64_t number = 0;  // in Progress
  };
  struct StoredRefs {
    format::ChunkId id;
    format::ChunkShape shape;
    Bytes stored;
  };
  /// A pack that still takes chunks. Refs pages wait aside: they come last in a meta pack.
  struct OpenPack {
    std::optional<format::PackBuilder> builder;
    base::ByteBudget::Lease slot;
    std::vector<StoredRefs> refs;
    std::uint64_t refs_bytes = 0;
    std::uint32_t pack_size = 0;

    bool fits(std::uint32_t stored_bytes) const;
    void append(const format::ChunkId& id, const format::ChunkShape& shape, ByteView stored);
    std::optional<ClosedPack> close(format::PackBuilder::Padding padding);
  };
  struct Batch {
    std::vector<format::IndexedPack> packs;
    base::SteadyTime oldest;
    std::uint32_t next_n = 0;
  };
  /// Work in the order in which it began: packs from their closing to their answer, index objects on their
  /// way. Who waits, waits for what began before.
  struct Progress {
    std::uint64_t next = 0;
    std::set<std::uint64_t> unfinished;
    std::optional<Error> error;
  };
  /// Claims by id. Those not added yet have a number, in the order in which they were made.
  struct ClaimShard {
    std::unordered_map<format::ChunkId, std::uint64_t> ids;
    std::uint64_t next = 1;
    std::set<std::uint64_t> not_added;
    unsigned waiting = 0;
  };

  PackUploader(const Repository& repository, index::ChunkIndex& index,
               std::unique_ptr<kv::Environment> journal, const UploaderOptions& options);
  base::Monitor<ClaimShard>& shard(const format::ChunkId& id);
  void settle_claim(const format::ChunkId& id);
  void drop_claim(const format::ChunkId& id);
  void wait_for_claims();
  std::uint64_t begin_work();
  void end_work(std::uint64_t number);
  void wait_for_work();
  std::optional<ClosedPack> close(OpenPack& pack, format::PackBuilder::Padding padding);
  Result<> check_failed();
  void enqueue(ClosedPack pack);
  Result<> upload_task();
  Result<> upload(ClosedPack& pack);
  Result<> put_index(bool even_if_early);
  Result<> put_index_object(const format::IndexName& name, format::IndexObject object);
  Result<> take_over(const format::PackName& name, std::uint64_t size_bytes);
  void fail_with(const Error& error);
  Result<> settle(const store::Outcome& outcome, std::string_view name);
  void journal_put(const format::PackName& pack);
  void journal_erase(const std::vector<format::PackName>& packs);

  const Repository& repository_;
  index::ChunkIndex& index_;
  std::unique_ptr<kv::Environment> journal_;
  const format::SessionProof proof_;
  const format::SessionId session_;
  const std::uint32_t pack_size_;
  base::ByteBudget slots_;
  base::Guarded<OpenPack> open_data_;
  base::Guarded<OpenPack> open_meta_;
  std::vector<std::unique_ptr<base::Monitor<ClaimShard>>> claims_;
  base::Guarded<Batch> batch_;
  base::Guarded<std::function<void()>> checkpoint_;
  base::Monitor<Progress> progress_;
  base::BoundedQueue<ClosedPack> queue_;
  std::atomic<bool> failed_{false};
  std::atomic<bool> uncertain_{false};
  std::atomic<std::uint64_t> uploaded_bytes_{0};
  std::uint64_t adopted_packs_ = 0;
  base::TaskGroup tasks_;  // last: it joins before anything above goes
};

}  // namespace firn::repo
