// Which snapshots there are now, and where they stand: the part of a mount that changes.
//
// Promise: what is shown was listed as counting (repo/snapshots.h) at most kFreshFor ago, if the store
// answers; while it does not, what was known is shown, and a warning says so. A snapshot is shown after the
// local index knows its packs. Snapshots that somebody holds stay usable after they vanished from the list.
// Threads: any.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/mount/chunk_cache.h"
#include "agent/mount/layout.h"
#include "agent/mount/mount.h"
#include "repo/base/monitor.h"
#include "repo/snapshots.h"

namespace firn::mount {

/// How long the kernel and we believe what stands above the snapshots.
inline constexpr std::chrono::seconds kFreshFor{5};

/// A snapshot whose tree can be read.
class MountedSnapshot {
 public:
  MountedSnapshot(const repo::Repository& repository, repo::SnapshotInfo info)
      : repository_(repository), info_(std::move(info)) {}
  const format::SnapshotId& id() const { return info_.id; }
  const format::Snapshot& snapshot() const { return info_.snapshot; }
  std::string short_id() const { return info_.id.hex().substr(0, 8); }

  /// The root's capability. The first call may ask the store; call it through ChunkCache::run(). Errors:
  /// those of repo::open_root().
  Result<format::ChunkSecret> open();
  /// Once it was opened.
  std::optional<format::ChunkSecret> root() { return *root_.lock(); }

 private:
  const repo::Repository& repository_;
  const repo::SnapshotInfo info_;
  base::Guarded<std::optional<format::ChunkSecret>> root_;
};

class Catalogue {
 public:
  /// What `options` borrows outlives the catalogue.
  Catalogue(const MountSource& source, const MountOptions& options);

  struct View {
    Layout layout;
    std::vector<std::shared_ptr<MountedSnapshot>> snapshots;  // as the layout numbers them; shared with nodes
    std::uint64_t stored_bytes = 0;                           // of the repository
  };
  using SharedView = std::shared_ptr<const View>;  // shared by the requests that look at it

  /// Asks the store; once, before anything else. Errors: those of the lists.
  Result<> refresh();
  /// The view, refreshed by a task of `tasks` when it is older than kFreshFor. Errors: Cancelled.
  Result<SharedView> current(ChunkCache& tasks, const Call& call);

 private:
  struct State {
    SharedView view;
    base::SteadyTime at;  // of the last try to refresh
    bool is_refreshing = false;
    std::map<format::SnapshotId, std::shared_ptr<MountedSnapshot>> known;  // those of the view
    std::size_t condemned = 0;  // packs, when the index was synchronised
  };
  Result<> synchronise_index(const repo::MaintenanceView& maintenance);

  const MountSource& source_;
  const MountOptions& options_;
  base::Guarded<State> state_;
};

}  // namespace firn::mount
