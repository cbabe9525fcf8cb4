// Repair: makes the best of a repository that lost or damaged objects.
//
// repair_index() makes the index say what the packs' own trailers say. repair_packs() condemns damaged packs
// after it knows what is in them, and stores again what of it still opens. repair_snapshot() writes a
// snapshot again without what is lost. In this order they bring a damaged repository back to one that `check`
// finds nothing in. Promise: nothing that still opens is given up; each is safe to kill and to run again, and
// beside backups and maintenance (docs/PROTOCOL.md). Not here: finding damage (repo/check.h). Threads: calls
// block their caller; they make their own tasks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "repo/base/stop.h"
#include "repo/chunk_reader.h"
#include "repo/session.h"
#include "repo/snapshots.h"

namespace firn::repo {

struct RepairIndexReport {
  std::uint64_t packs = 0;             // that exist
  std::uint64_t packs_added = 0;       // that no sound index object listed
  std::uint64_t packs_missing = 0;     // that were listed and do not exist: their entries are dropped
  std::uint64_t objects_replaced = 0;  // damaged or wrong ones
  /// Packs whose trailers do not open, for repair_packs.
  std::vector<std::string> problems;
};
/// `session` is one of maintenance. Errors: Denied, Changed (the session was fenced: run again), Cancelled,
/// those of the store.
Result<RepairIndexReport> repair_index(WriteSession& session, const base::StopFlag& stop);

/// The packs that are not what their names say, out of `candidates`, or of all where that is empty. Reads
/// them whole. Errors: Cancelled, those of the store.
Result<std::vector<format::PackName>> find_damaged_packs(const Repository& repository,
                                                         const std::vector<format::PackName>& candidates,
                                                         const base::StopFlag& stop);

/// PUTs the record that these packs are never to be relied on again. `session` is one of maintenance.
Result<> condemn_packs(WriteSession& session, std::vector<format::PackName> packs);

struct SalvageReport {
  std::uint64_t chunks_needed = 0;  // that some snapshot names, in the damaged packs
  std::uint64_t salvaged = 0;       // stored again now
  std::uint64_t elsewhere = 0;      // another pack holds them
  std::uint64_t lost = 0;
};
/// Stores what of the condemned `packs` still opens and is needed by a snapshot that the key at hand reads.
/// `session` was opened after the packs were condemned. Errors: as repair_index().
Result<SalvageReport> salvage_packs(ChunkReader& reader, WriteSession& session,
                                    const std::vector<SnapshotInfo>& snapshots,
                                    const std::vector<format::PackName>& packs, const base::StopFlag& stop);

/// Errors: Invalid (the index names packs that do not exist: repair_index() goes first).
Result<> check_index_before_repair(const Repository& repository, index::ChunkIndex& index);

struct RepairedSnapshot {
  bool changed = false;
  std::uint64_t lost = 0;
  format::ChunkSecret root;
  format::ChunkId root_id;
  format::ChunkId refs_root;
};
/// Writes the tree of `info` into the session, without what is lost; `lost` is told of each. Commits nothing.
/// Errors: Corrupt or NotFound (of the root: nothing is left of it), Denied, Cancelled, those of the store.
Result<RepairedSnapshot> repair_snapshot(ChunkReader& reader, WriteSession& session, const SnapshotInfo& info,
                                         const base::StopFlag& stop,
                                         std::function<void(const std::string& path, const Error& why)> lost);

}  // namespace firn::repo
