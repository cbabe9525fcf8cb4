// One backup: walks a source, keeps what has not changed since the parent, stores the rest, commits a
// snapshot.
//
// Promise: the snapshot holds exactly what was read; what could not be read, changed under us or vanished is
// counted, named to the observer and recorded. Memory stays within `memory_bytes`, whatever the number and
// size of files. Every chunk that the new tree names was in the session's view or stored by it (I11). Shape:
// planner (in walk order, compares with the parent) → workers (read, cut, hash, compress, seal) → assembler
// (in walk order again, writes the tree). Not here: the walk (agent/scan), sessions (repo), words for people
// (cli). Threads: run_backup() blocks its caller; it makes its own tasks.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/scan/source_fs.h"
#include "agent/scan/walker.h"
#include "repo/base/monitor.h"
#include "repo/base/stop.h"
#include "repo/chunk_reader.h"
#include "repo/format/snapshot.h"
#include "repo/kv/local_kv.h"
#include "repo/session.h"
#include "repo/snapshots.h"

namespace firn::backup {

enum class Action : std::uint8_t { New, Modified, Unchanged };

/// How far a backup is. Written by its tasks, read by whoever draws progress.
struct Progress {
  std::atomic<std::uint64_t> files_found{0};
  std::atomic<std::uint64_t> bytes_found{0};
  std::atomic<std::uint64_t> files_done{0};
  std::atomic<std::uint64_t> bytes_done{0};
  std::atomic<std::uint64_t> errors{0};
  std::atomic<bool> scan_finished{false};
  base::Guarded<std::string> current_file;
};

/// What happened to one entry of the source, for `--verbose` and its JSON.
struct ItemReport {
  Action action = Action::New;
  std::string_view path;  // "/a/b", from the root of the tree
  format::FileType type = format::FileType::Regular;
  std::uint64_t size_bytes = 0;
  std::uint64_t added_bytes = 0;         // new data before the codec; a bundle counts for its last file
  std::uint64_t added_stored_bytes = 0;  // the same as stored
  std::chrono::nanoseconds spent{0};     // reading and storing it, but its bundle
};

/// Told in walk order, by one task. Members must not block long: the backup waits for them.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void item(const ItemReport& report) = 0;
  /// Something could not be read, or could not be read wholly: it is missing from the snapshot, or partly.
  virtual void problem(std::string_view path, const Error& error) = 0;
  virtual void changed_while_reading(std::string_view path) = 0;
};

struct Parent {
  repo::SnapshotInfo snapshot;
  format::ChunkSecret root;
};

struct BackupOptions {
  scan::WalkOptions walk;
  format::Source source;  // of the snapshot to be
  std::optional<base::WallTime> time;
  bool force = false;         // read every file
  bool ignore_inode = false;  // inode numbers do not tell changes
  bool ignore_ctime = false;
  bool with_atime = false;
  bool dry_run = false;
  /// No snapshot when the tree is the parent's, but for the times of directories above the roots.
  bool skip_if_unchanged = false;
  /// Asked when everything was read and before the snapshot is made; its error ends the backup without one.
  std::function<Result<>()> before_commit;
  bool resume = true;                        // take up what a killed backup of this source had done
  std::uint64_t memory_bytes = 96ULL << 20;  // for reading and working; packs have their own in the session
};

struct BackupReport {
  /// Empty for a dry run, and when nothing changed and that was to be skipped.
  std::optional<format::SnapshotId> snapshot;
  format::Snapshot record;  // as committed
  format::ChunkSecret root;
  bool resumed = false;
  std::vector<std::string> notes;
};

/// What a backup works with; all of it outlives the call.
struct BackupContext {
  repo::WriteSession& session;
  repo::ChunkReader& reader;  // for the parent's pages
  scan::SourceFs& source;
  kv::LocalKv& state;
  const base::StopFlag& stop;
  Progress& progress;
  Observer& observer;
};

/// Errors: Cancelled, NotFound or Denied (no root could be opened), Changed (the session was fenced), those
/// of the repository. Entries that fail are no error of the backup.
Result<BackupReport> run_backup(const BackupContext& context, const std::optional<Parent>& parent,
                                BackupOptions options);

}  // namespace firn::backup
