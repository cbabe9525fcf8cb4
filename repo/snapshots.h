// Snapshots: which there are, which of them count, and the way into one.
//
// Promise: a snapshot that is listed was signed by a writer, is neither forgotten nor void nor of a revoked
// key's later sessions. What could not be read is reported beside, never taken for "not there". Not here:
// grouping and retention (agent/cli, maintenance). Threads: any.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "repo/base/result.h"
#include "repo/format/capability.h"
#include "repo/format/snapshot.h"
#include "repo/object_cache.h"
#include "repo/repository.h"
#include "repo/view.h"

namespace firn::repo {

struct SnapshotInfo {
  format::SnapshotId id;
  format::Snapshot snapshot;
  std::vector<format::SealedCapability> capabilities;
  base::WallTime stored = {};  // by the store's clock
};

struct SnapshotList {
  std::vector<SnapshotInfo> snapshots;  // by time, oldest first
  std::vector<std::string> problems;    // objects that could not be read or verified, one line each
  /// Listed, and not there when they were read: forgotten and deleted meanwhile, as far as anyone can tell.
  std::vector<format::SnapshotName> vanished;
  /// Of every object that LIST gave, also of those that count no more.
  std::vector<format::SnapshotName> listed;
};

/// All snapshots that count; only those of one source where `source` is given (one LIST), and only those
/// whose id begins with `id_prefix` (the others are not loaded).
Result<SnapshotList> list_snapshots(const Repository& repository, ObjectCache& cache,
                                    const MaintenanceView& maintenance,
                                    std::optional<format::SourceTag> source = std::nullopt,
                                    std::string_view id_prefix = {});

/// The snapshot whose id begins with `prefix` (1 to 64 hex digits). Errors: NotFound, Invalid (several begin
/// so).
Result<const SnapshotInfo*> find_by_prefix(const SnapshotList& list, std::string_view prefix);

/// The root capability, opened with the key at hand from the snapshot itself or from caps/. Errors: Denied
/// (nothing was sealed to this key), Corrupt.
Result<format::ChunkSecret> open_root(const Repository& repository, const SnapshotInfo& snapshot);

}  // namespace firn::repo
