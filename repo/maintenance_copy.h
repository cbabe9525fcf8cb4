// Step F for packs: what is needed of them is copied out, unless an equal copy was read elsewhere. Internal
// to maintenance.
//
// Promise: a pack is good to go only when every needed chunk that its own trailer names was copied as it is,
// or has an equal copy in an indexed, uncondemned pack, read and compared. Packs are read whole and their
// names are verified, so that no damaged bytes move under a new name. Memory: a few packs. Threads: one
// caller; it makes tasks of its own.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "repo/base/stop.h"
#include "repo/index/chunk_index.h"
#include "repo/maintenance.h"
#include "repo/maintenance_mark.h"
#include "repo/maintenance_plan.h"
#include "repo/maintenance_steps.h"
#include "repo/session.h"

namespace firn::repo {

struct CopyInput {
  const Repository& repository;
  index::ChunkIndex& index;
  WriteSession& session;
  const IdList& needed;
  std::span<const DoomedPack> packs;  // sorted
  /// Those of them that hold needed chunks, as the index says.
  const std::set<format::PackName>& needed_by_index;
  const MaintenanceSteps& steps;
  std::size_t memory_bytes = 0;
  const base::StopFlag& stop;
  MaintenanceProgress& progress;
};

struct Copied {
  /// Packs that may not go in this run.
  std::set<format::PackName> kept;
  std::vector<std::string> problems;  // why some of them stay for good
};

/// Everything that was copied is uploaded, indexed and answered when it returns. Errors: Cancelled, those of
/// the session, store and scratch space.
Result<Copied> copy_out(const CopyInput& input);

}  // namespace firn::repo
