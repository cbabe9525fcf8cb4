// The small objects of a repository, each read from the store (never from a cache), opened, and held against
// who may write it. Internal to check. Threads: one caller.
#pragma once

#include <cstdint>
#include <set>

#include "repo/base/stop.h"
#include "repo/check_findings.h"
#include "repo/format/names.h"
#include "repo/repository.h"
#include "repo/view.h"

namespace firn::repo {

struct ObjectsChecked {
  /// Index objects that do not open, or do not say what they must: nobody can rely on what they list.
  std::set<format::IndexName> bad_indexes;
};

/// Configuration, keys, caps, sessions, index and maintenance objects. Damage is told as it is met.
Result<ObjectsChecked> check_objects(const Repository& repository, const base::StopFlag& stop,
                                     CheckFindings& findings);

/// Snapshot objects that count no more and are still there.
Result<std::uint64_t> count_dead_snapshots(const Repository& repository, const MaintenanceView& maintenance);

}  // namespace firn::repo
