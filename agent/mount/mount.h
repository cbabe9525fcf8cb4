// A repository's snapshots as a read-only file system: `firn mount`.
//
// Promise: what is read is exactly what was backed up, or an error (EIO) with a line that names file,
// snapshot and pack. Writes nothing to the repository. The mount is gone when run_mount() returns. Layout:
// layout.h. Memory: the shares of MountOptions, about 150 bytes for each inode that the kernel knows
// (nodes_max of them at most, for the kernel is told to forget the oldest), about 1 KiB a snapshot, and what
// open files hold (file_content.h). Not here: who may mount (fusermount3). Threads: run_mount() blocks its
// caller.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/result.h"
#include "repo/base/stop.h"
#include "repo/chunk_reader.h"
#include "repo/format/snapshot.h"
#include "repo/index/chunk_index.h"
#include "repo/object_cache.h"
#include "repo/repository.h"

namespace firn::mount {

/// An open repository. Borrows.
struct MountSource {
  const repo::Repository& repository;
  repo::ObjectCache& objects;
  index::ChunkIndex& index;
  repo::ChunkReader& reader;
};

struct MountOptions {
  std::string directory;
  std::vector<std::string> path_templates;  // as check_template() takes them; none: default_templates()
  std::string time_template;                // as check_time_template() takes it; empty: RFC 3339
  bool allow_other = false;
  bool default_permissions = true;
  bool owner_root = false;
  std::size_t cache_bytes = 32 << 20;  // of decoded chunks
  std::size_t nodes_max = 200'000;
  /// Which snapshots are shown.
  std::function<bool(const format::Snapshot&)> takes;
  /// A line about what went wrong; called from any thread.
  std::function<void(std::string_view)> warn;
  /// Called when the mount can be used.
  std::function<void()> mounted;
};

/// Mounts, serves until it is unmounted or `stop` is requested, unmounts. Errors: Invalid (templates, the
/// directory), Denied and Unavailable (the kernel), those of the repository before it is mounted.
Result<> run_mount(const MountSource& source, const MountOptions& options, const base::StopFlag& stop);

}  // namespace firn::mount
