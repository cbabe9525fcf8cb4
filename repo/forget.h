// Forgetting: the tombstone that makes a snapshot count no more, and the removal of its object.
//
// Promise: after a tombstone's PUT was answered no reader lists the snapshot and no maintenance keeps what
// only it needs. The object goes after that; where it cannot (object lock, a lost answer), maintenance
// removes it later: the tombstone is what counts. Not here: which snapshots (agent/retention), freeing space
// (maintenance). Threads: any; works with as many requests at once as the store takes well.
#pragma once

#include <span>
#include <vector>

#include "repo/repository.h"

namespace firn::repo {

struct ForgetReport {
  struct Kept {
    format::SnapshotName snapshot;
    Error why;
  };
  std::uint64_t forgotten = 0;
  /// Snapshots whose tombstone was not, or not surely, stored.
  std::vector<Kept> kept;
};

/// What could not be forgotten is in the report. Errors: Denied (the key is no maintainer's).
Result<ForgetReport> forget_snapshots(const Repository& repository,
                                      std::span<const format::SnapshotName> snapshots);

}  // namespace firn::repo
