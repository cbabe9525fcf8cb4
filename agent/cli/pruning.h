// Pruning as `prune` and `forget --prune` do it: one maintenance run, told while it goes on and at its end.
//
// Threads: one caller.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "agent/cli/context.h"
#include "agent/cli/flags.h"
#include "agent/cli/open.h"
#include "repo/format/ids.h"
#include "repo/maintenance.h"

namespace firn::cli {

struct PruneFlags {
  std::string max_unused = "5%";
  std::optional<std::string> repack_bytes_max;
  std::optional<std::string> delete_after;
  std::optional<std::string> wait;
};

/// --max-unused, --max-repack-size, --delete-after and --wait.
std::vector<Flag> prune_flags(PruneFlags& flags);

struct PruneRequest {
  PruneFlags flags;
  bool dry_run = false;
  /// Dry runs only: snapshots that would have been forgotten before.
  std::set<format::SnapshotId> as_if_forgotten;
};

/// Checks the flags alone, so that a command can refuse them before it does anything. Errors: Invalid.
Result<> check(const PruneFlags& flags);

/// One maintenance run as `options` say, with this process's identity, memory and cache.
Result<repo::MaintenanceReport> run_maintenance(Context& context, OpenRepository& open,
                                                repo::MaintenanceOptions options,
                                                repo::MaintenanceProgress& progress);

/// The exit code: kExitOk, or kExitFailed when something kept packs from going (it was said).
Result<int> prune_repository(Context& context, OpenRepository& open, const PruneRequest& request);

}  // namespace firn::cli
