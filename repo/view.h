// The view: what maintenance has said, and which pack holds which chunk, as this process read them.
//
// Promise (I7): load_maintenance() reads the maint list as it is after the call began; sync_index() brings
// the local index to the index list read after that. Called in this order after the session's PUT was
// answered, the pair is the view that a session may rely on. Not here: the local index itself (repo/index),
// which snapshots count (snapshots.h). Threads: one view is loaded by one task; reading it afterwards is
// free.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "repo/base/result.h"
#include "repo/format/maintenance.h"
#include "repo/index/chunk_index.h"
#include "repo/kv/local_kv.h"
#include "repo/object_cache.h"
#include "repo/repository.h"

namespace firn::repo {

/// Everything under maint/ that was read and verified.
struct MaintenanceView {
  std::set<format::PackName> condemned;
  std::set<format::SessionId> fenced;
  /// Of each sealed session, the snapshots that every one of its seals names.
  std::map<format::SessionId, std::set<format::SnapshotId>> sealed;
  std::set<format::SnapshotId> forgotten;

  /// A snapshot is void iff some seal of its session omits it; fenced but unsealed it is live.
  bool is_void(const format::SnapshotName& name) const;
};

/// Objects under maint/ that could not be used.
struct MaintenanceProblems {
  std::vector<std::string> lines;
};

/// Errors: Corrupt or Denied (names the object), and those of the store. With `problems`, damaged objects are
/// left out and listed there instead: for who only looks, since a view that lacks a record is not safe to
/// write with.
Result<MaintenanceView> load_maintenance(const Repository& repository, ObjectCache& cache,
                                         MaintenanceProblems* problems = nullptr);

/// Objects that could not be used; their packs are unknown to the index.
struct IndexProblems {
  std::vector<std::string> lines;
};

/// Brings `index` to LIST index/: what is gone goes, what is new comes, packs in `maintenance.condemned` are
/// marked. An index object that is damaged or signed by nobody is left out and reported.
Result<IndexProblems> sync_index(const Repository& repository, const MaintenanceView& maintenance,
                                 index::ChunkIndex& index);

}  // namespace firn::repo
