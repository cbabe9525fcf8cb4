// Which snapshots a command means: by id, "latest", host, tags and paths; and in which groups.
//
// Threads: any.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/cli/flags.h"
#include "agent/cli/json.h"
#include "repo/snapshots.h"

namespace firn::cli {

struct SnapshotFilter {
  std::vector<std::string> hosts;  // any of them
  std::vector<std::string> tags;   // any of them, each "a,b": all of its parts; "" = no tags at all
  std::vector<std::string> paths;  // all of them, absolute

  bool takes(const format::Snapshot& snapshot) const;
};

/// --host, --tag and --path.
std::vector<Flag> filter_flags(SnapshotFilter& filter);

struct GroupBy {
  bool host = false;
  bool paths = false;
  bool tags = false;
  bool any() const { return host || paths || tags; }
};
/// "host,paths,tags" or parts of it; the empty text for one group. Errors: Invalid.
Result<GroupBy> parse_group_by(std::string_view text);
/// Whether both snapshots are in one group.
bool same_group(const GroupBy& by, const format::Source& a, const format::Source& b);

struct SnapshotGroup {
  std::string host;
  std::vector<std::string> paths;
  std::vector<std::string> tags;
  std::vector<const repo::SnapshotInfo*> snapshots;
  /// {"hostname", "paths", "tags"}; null for what the groups do not go by.
  Json key(const GroupBy& by) const;
  std::string title(const GroupBy& by) const;
};
std::vector<SnapshotGroup> grouped(const std::vector<const repo::SnapshotInfo*>& snapshots,
                                   const GroupBy& by);

/// The snapshots that pass, or those that `ids` name ("latest", prefixes). Errors: NotFound, Invalid.
Result<std::vector<const repo::SnapshotInfo*>> select_snapshots(const repo::SnapshotList& list,
                                                                const SnapshotFilter& filter,
                                                                const std::vector<std::string>& ids);
/// One snapshot, by "latest" or a prefix. Errors: NotFound, Invalid.
Result<const repo::SnapshotInfo*> select_snapshot(const repo::SnapshotList& list,
                                                  const SnapshotFilter& filter, const std::string& id);

/// "SNAP:/sub/path" taken apart; the subpath without slashes at its ends, empty where there is none.
struct SnapshotPath {
  std::string snapshot;
  std::string subpath;
};
SnapshotPath parse_snapshot_path(const std::string& text);
/// A path of the tree from what a person wrote: without leading, trailing and double slashes, and without
/// "." parts. Errors: Invalid ("..").
Result<std::string> tree_path(std::string_view text);
/// One such path below another; either may be empty.
std::string joined_path(std::string_view directory, std::string_view below);

/// The snapshot as scripts get it.
Json snapshot_json(const repo::SnapshotInfo& info);
/// The counters with the names of a backup's summary.
void add_counters(Json& target, const format::Snapshot& snapshot);
std::string short_id(const format::SnapshotId& id);

}  // namespace firn::cli
