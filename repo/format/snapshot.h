// snapshots/<source tag>/<session>-<n>: the commit point. What was backed up, when, how it went, and the
// root.
//
// Not here: the capabilities that ride along (capability.h), how a snapshot's worth is judged (void, revoked,
// forgotten: repo).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "repo/base/clock.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"
#include "repo/format/names.h"
#include "repo/format/session.h"

namespace firn::format {

/// Where a snapshot came from. Empty texts for what does not apply.
struct Source {
  Bytes id;  // what its source tag is computed from; 1 to kTextBytesMax bytes
  std::string cluster;
  std::string node;
  std::string ns;  // Kubernetes namespace
  std::string pod;
  std::string volume;
  std::string pvc_uid;
  std::string host;
  std::vector<std::string> paths;
  std::vector<std::string> tags;
  std::vector<std::string> excludes;
  std::string user;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string program;      // "firn 0.1.0"
  std::string request_uid;  // of the Kubernetes request
  bool operator==(const Source&) const = default;
};

/// What people call the source when nothing better identifies it: host and paths.
Bytes path_source_id(const std::string& host, const std::vector<std::string>& paths);
/// A Kubernetes volume: it keeps its history wherever it is mounted.
Bytes volume_source_id(const std::string& cluster, const std::string& volume_uid);

/// How it went. Files count everything that is not a directory.
struct Counters {
  std::uint64_t files_new = 0;
  std::uint64_t files_changed = 0;
  std::uint64_t files_unmodified = 0;
  std::uint64_t dirs_new = 0;
  std::uint64_t dirs_changed = 0;
  std::uint64_t dirs_unmodified = 0;
  std::uint64_t data_blobs = 0;         // data and bundle chunks stored by this backup
  std::uint64_t tree_blobs = 0;         // page chunks stored by this backup
  std::uint64_t data_added = 0;         // bytes of those chunks before the codec
  std::uint64_t data_added_packed = 0;  // as stored
  std::uint64_t total_files_processed = 0;
  std::uint64_t total_bytes_processed = 0;
  std::uint64_t errors = 0;  // sources that could not be read
  std::uint64_t files_changed_while_reading = 0;
  std::uint64_t files_vanished = 0;
  bool operator==(const Counters&) const = default;
};

struct Snapshot {
  RepositoryId repository;
  SnapshotName name;
  SessionProof proof;
  std::optional<SnapshotId> parent;
  std::optional<SnapshotId> original;  // of tag and copy: the first of its line
  Source source;
  std::uint64_t sequence = 0;  // of this source
  base::WallTime time;         // what it is a snapshot of, as `backup --time` may say
  base::WallTime backup_start;
  base::WallTime backup_end;
  Counters counters;
  ChunkId root;                    // of the top tree page; its capability is what caps seal
  ChunkId refs_root;               // of its refs page
  std::vector<std::string> notes;  // fidelity: what could not be captured
  bool operator==(const Snapshot&) const = default;
};
/// Errors: Invalid (a field is over its limit).
Result<Bytes> encode(const Snapshot& snapshot);
/// Errors: Corrupt.
Result<Snapshot> parse_snapshot(ByteView body);

}  // namespace firn::format
