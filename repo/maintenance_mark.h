// Marking: the ids of all chunks that some snapshots need, found through refs pages. Internal to maintenance.
//
// Promise: a refs page that several snapshots share is read once, and the list of ids lies sorted in scratch
// space: memory does not grow with the number of chunks. A page that does not open ends the mark with an
// error that names snapshot, page and key. Not here: which packs hold the chunks. Threads: one caller.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "repo/base/record_sorter.h"
#include "repo/base/scratch.h"
#include "repo/base/stop.h"
#include "repo/chunk_reader.h"
#include "repo/format/ids.h"
#include "repo/kv/local_kv.h"
#include "repo/snapshots.h"
#include "repo/tree/refs_walk.h"

namespace firn::repo {

/// Ids in order, each once, in scratch space; may be read again and again.
class IdList {
 public:
  /// The ids of `more` (finished, 32 bytes a record) and those of `known`, which may be null.
  static Result<IdList> merge(base::Scratch& scratch, base::RecordSorter& more, const IdList* known);

  std::uint64_t count() const { return count_; }

  /// Reads an IdList from its beginning.
  class Reader {
   public:
    explicit Reader(const IdList& list) : list_(list) {}
    /// Steps to the next id. Null after the last.
    Result<const format::ChunkId*> next();

   private:
    const IdList& list_;
    std::uint64_t offset_ = 0;
    Bytes buffer_;
    std::size_t at_ = 0;
    format::ChunkId id_;
  };

 private:
  std::shared_ptr<base::ScratchFile> file_;  // shared with copies: it is never changed once it is made
  std::uint64_t count_ = 0;
};

/// Steps through an IdList beside ids that come in order.
class IdCursor {
 public:
  explicit IdCursor(const IdList& list) : reader_(list) {}
  /// Is `id` in the list? Ids that were passed over go to `skipped` (may be empty).
  template <class Skipped>
  Result<bool> advance_to(const format::ChunkId& id, Skipped skipped) {
    if (!begun_) {
      FIRN_LET(at_, reader_.next());
      begun_ = true;
    }
    while (at_ != nullptr && *at_ < id) {
      if (*at_ != last_hit_) {
        skipped(*at_);
      }
      FIRN_LET(at_, reader_.next());
    }
    const bool hit = at_ != nullptr && *at_ == id;
    if (hit) {
      last_hit_ = id;
    }
    return hit;
  }
  /// After the last id: what is left of the list.
  template <class Skipped>
  Result<> finish(Skipped skipped) {
    if (!begun_) {
      FIRN_LET(at_, reader_.next());
      begun_ = true;
    }
    while (at_ != nullptr) {
      if (*at_ != last_hit_) {
        skipped(*at_);
      }
      FIRN_LET(at_, reader_.next());
    }
    return {};
  }

 private:
  IdList::Reader reader_;
  const format::ChunkId* at_ = nullptr;
  format::ChunkId last_hit_;
  bool begun_ = false;
};

class Marker final : private tree::RefsVisitor {
 public:
  /// `seen` is an empty environment of the caller's.
  Marker(base::Scratch& scratch, kv::Environment& seen, ChunkReader& reader, std::size_t memory_bytes,
         const base::StopFlag& stop);
  ~Marker() override;

  /// Everything that the snapshot needs joins the list. Pages that an earlier call went through are not read
  /// again. After an error the marker is spent. Errors: Corrupt (names snapshot, refs page and key),
  /// Cancelled, those of store and scratch space.
  Result<> mark(const SnapshotInfo& snapshot);

  /// What was marked so far; marking may go on afterwards.
  Result<const IdList*> ids();

 private:
  Result<bool> enter(const format::ChunkId& refs_page) override;
  Result<> chunk(const format::ChunkId& id) override;
  Result<> add(const format::ChunkId& id);

  base::Scratch& scratch_;
  kv::Environment& seen_;
  RepositoryPages pages_;
  const std::size_t memory_bytes_;
  const base::StopFlag& stop_;
  std::unique_ptr<kv::WriteTxn> txn_;
  unsigned changes_ = 0;
  std::unique_ptr<base::RecordSorter> more_;
  std::optional<IdList> ids_;
};

/// "snapshot 1a2b3c4d of key …", for messages.
std::string shown(const SnapshotInfo& snapshot);

/// Which snapshot needs a chunk: one line for each of `missing` that some of them names. `seen` is empty.
Result<std::vector<std::string>> who_needs(const std::vector<SnapshotInfo>& snapshots, ChunkReader& reader,
                                           const std::set<format::ChunkId>& missing,
                                           const base::StopFlag& stop);

}  // namespace firn::repo
