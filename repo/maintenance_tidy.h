// Step H: fewer, larger index objects; condemn, seal and forget records folded into unions. Internal to
// maintenance.
//
// Promise: a replacement is PUT, answered and sorts after what it replaces before anything goes; nothing is
// deleted here: the caller does so once the catalog that explains it is answered. No entry of a pack that
// exists or is not condemned is ever dropped (I10). Memory: one index object and what it is made of. Threads:
// one caller.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "repo/base/stop.h"
#include "repo/format/maintenance.h"
#include "repo/maintenance_records.h"
#include "repo/maintenance_steps.h"
#include "repo/session.h"

namespace firn::repo {

/// What may go once the catalog says so.
struct Replaced {
  std::vector<format::ObjectName> objects;
  std::vector<format::GoneObject> gone;  // of index objects, sorted by name
};

struct CompactInput {
  const Repository& repository;
  index::ChunkIndex& index;
  const WriteSession& session;
  /// Sessions whose index objects are left alone: they are open.
  const std::function<bool(const format::SessionId&)>& is_open;
  /// Was the pack condemned, and is it not there any more?
  const std::function<bool(const format::PackName&)>& is_gone;
  /// What catalogs say: index objects that they saw, and those that something replaced.
  const std::set<format::IndexName>& cataloged;
  const std::set<format::ObjectName>& known_gone;
  std::uint64_t packs_indexed = 0;
  std::uint64_t packs_gone = 0;
  const MaintenanceSteps& steps;
  const base::StopFlag& stop;
};

/// Tiered: four objects of a size class become one; an object is rewritten for deletions when half its packs
/// are gone. Objects that another one already replaces, left by a run that died, are replaced as well.
Result<Replaced> compact_index(const CompactInput& input);

/// Folds loose records when there are many, and small unions when there are four of a level.
Result<Replaced> fold_records(const Repository& repository, ObjectCache& cache, const WriteSession& session,
                              const MaintenanceRecords& records, const MaintenanceSteps& steps,
                              const base::StopFlag& stop);

}  // namespace firn::repo
