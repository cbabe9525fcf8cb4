// The roots of the snapshots that this node made last, one for each volume: what makes the next backup
// incremental although a writer's key opens no snapshot.
//
// Sealed with the repository's keys, in <state dir>/parents/<repository id>/<source tag>. A cache: losing one
// costs a full read. Threads: different tags from any thread.
#pragma once

#include <optional>
#include <string>

#include "repo/repository.h"

namespace firn::service {

struct ParentRoot {
  format::SnapshotId snapshot;
  format::ChunkSecret root;
};

/// Empty where there is none that opens.
std::optional<ParentRoot> read_parent_root(const std::string& state_dir, const repo::Repository& repository,
                                           const format::SourceTag& tag);
/// Best effort.
void write_parent_root(const std::string& state_dir, const repo::Repository& repository,
                       const format::SourceTag& tag, const ParentRoot& parent);

}  // namespace firn::service
