// A snapshot again with another header: what `tag` does.
//
// Promise: the new snapshot names the same tree, keeps its time and the id of the first of its line, and is
// acknowledged only if every chunk that it needs may be relied on in this session's view (I11), found through
// its refs pages. Not here: the tombstone of the old one (repo/forget.h), which is put after this was
// acknowledged. Threads: one caller.
#pragma once

#include <unordered_set>

#include "repo/chunk_reader.h"
#include "repo/session.h"
#include "repo/snapshots.h"

namespace firn::repo {

class Recommitter {
 public:
  /// Both outlive it.
  Recommitter(ChunkReader& reader, WriteSession& session) : reader_(reader), session_(session) {}

  /// Commits `changed`, which names the tree of `info`. Errors: Denied (the key does not read the snapshot),
  /// Changed (a chunk lies in condemned packs only, or the session was fenced: run again), Corrupt, those of
  /// the store.
  Result<format::SnapshotId> commit(const SnapshotInfo& info, format::Snapshot changed);

 private:
  class Checker;
  ChunkReader& reader_;
  WriteSession& session_;
  std::unordered_set<format::ChunkId> refs_seen_;  // snapshots of one source share most of theirs
};

}  // namespace firn::repo
