// Copying snapshots between repositories: under other keys, or as they are.
//
// SnapshotCopier reads as a reader of one repository and writes through an ordinary session of another, so
// the copies are acknowledged as backups are. mirror_repository() copies stored objects word for word between
// two places of one repository. Promise: a copy keeps times, source, tags, counters, and the id of the first
// snapshot of its line; what was copied before is recognised by these. Not here: which snapshots
// (agent/cli). Threads: calls block their caller; they make their own tasks.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "repo/base/stop.h"
#include "repo/chunk_reader.h"
#include "repo/session.h"
#include "repo/snapshots.h"
#include "repo/transcribe.h"

namespace firn::repo {

/// The first snapshot of the line that `info` belongs to.
format::SnapshotId original_of(const SnapshotInfo& info);

/// True when `candidate`, of another repository, holds what `info` does: same line, time, tags, host and
/// paths.
bool is_copy_of(const SnapshotInfo& candidate, const SnapshotInfo& info);

class SnapshotCopier {
 public:
  struct Progress {
    std::atomic<std::uint64_t> chunks{0};
    std::atomic<std::uint64_t> bytes{0};  // read, before sealing
  };

  /// All outlive it. `from` reads the source; `to` is a session of the destination.
  SnapshotCopier(ChunkReader& from, WriteSession& to, unsigned tasks, const base::StopFlag& stop,
                 Progress& progress);
  ~SnapshotCopier();

  /// Commits a copy. Errors: Denied (the source's key does not read it), Corrupt (names what is damaged: no
  /// copy is made), Changed (the session was fenced), Cancelled, those of both stores.
  Result<format::SnapshotId> copy(const SnapshotInfo& info);

 private:
  class Mover;
  ChunkReader& from_;
  WriteSession& to_;
  RepositoryPages pages_;
  SessionPages sink_;
  std::unique_ptr<Mover> mover_;
  std::unique_ptr<Transcriber> transcriber_;
};

struct MirrorReport {
  std::uint64_t objects = 0;  // copied now
  std::uint64_t bytes = 0;
  std::uint64_t present = 0;  // there before
};

/// Copies what `to` lacks of `from`'s objects: packs, index, snapshots, then keys, capabilities, records of
/// maintenance, configuration last. Sessions and catalogs stay behind: they speak of processes that work on
/// the place that they lie in. Nothing is removed. `to` is empty or a place of the same repository (Invalid
/// otherwise). Errors: Changed (maintenance took packs away meanwhile: no index and no snapshot was copied;
/// run again), Cancelled, those of both stores.
Result<MirrorReport> mirror_repository(const Repository& from, store::ObjectStore& to,
                                       const base::StopFlag& stop,
                                       const std::function<void(const MirrorReport&)>& progress);

}  // namespace firn::repo
