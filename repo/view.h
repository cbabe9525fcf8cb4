// The view: what maintenance has said, and which pack holds which chunk, as this process read them.
//
// Promise (I7): load_maintenance() reads the maint list as it is after the call began; sync_index() brings
// the local index to the index list read after that. Called in this order after the session's PUT was
// answered, the pair is the view that a session may rely on. Not here: the local index itself (repo/index),
// which snapshots count (snapshots.h). Threads: one view is loaded by one task; reading it afterwards is
// free.
#pragma once

#include <functional>
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

/// A record under maint/ that was read and verified: an object of its own, or carried in a union.
struct MaintenanceRecord {
  const format::ParsedName& name;
  const format::ObjectName& object_name;
  base::WallTime stored;  // by the store's clock, when it was first listed
  const format::SignedBody& signed_body;
  std::uint64_t size_bytes = 0;  // of the object; 0 = carried in a union
};

struct VisitOptions {
  bool catalogs = false;  // read them, too
  /// Given these, damaged objects are left out and listed there.
  MaintenanceProblems* problems = nullptr;
};

/// Visits every record that LIST maint/ gives, with unions before what they carry. False: some record
/// vanished between LIST and GET (it was folded into a union), so what was visited is not whole, and the
/// caller begins anew. Errors: Corrupt or Denied (names the object), those of the store and of `visit`.
Result<bool> visit_maintenance(const Repository& repository, ObjectCache& cache, const VisitOptions& options,
                               const std::function<Result<>(const MaintenanceRecord&)>& visit);

/// What one record says goes into the view; catalogs and unions say nothing by themselves.
Result<> apply_record(const MaintenanceRecord& record, MaintenanceView& view);

/// So often a list whose records vanish is read anew before that is an error.
inline constexpr int kMaintenanceListsMax = 5;
Failure fail_vanishing();

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
