// One restore: puts entries of a snapshot into a directory, exactly, or says which it could not and why.
//
// Promise: nothing outside the target is touched, whatever the repository or the target hold. A file that is
// reported restored has the bytes and metadata of its entry. Memory stays within `memory_bytes`, whatever the
// number and size of files: what does not fit is sorted in scratch space. Running it again goes on where it
// stopped. Shape: a pass over the entries makes directories and empty files and lists the wanted slices; the
// slices are sorted by where they lie and executed pack by pack, many ranges in flight; metadata follows when
// a file is complete, directories last, bottom-up. Not here: words for people (cli), the mount. Threads:
// run_restore() blocks its caller; it makes its own tasks.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/restore/target_fs.h"
#include "agent/scan/filter.h"
#include "repo/base/monitor.h"
#include "repo/base/stop.h"
#include "repo/chunk_reader.h"
#include "repo/kv/local_kv.h"
#include "repo/services.h"

namespace firn::restore {

enum class Overwrite : std::uint8_t {
  Always,     // what differs is written anew, what is equal stays
  IfChanged,  // size and mtime equal: taken for equal, not read
  IfNewer,    // only over files whose mtime is older than the entry's
  Never,
};

enum class Action : std::uint8_t { Restored, Updated, Unchanged, Deleted, Skipped };

struct RestoreOptions {
  std::string target;  // directory; made when it is not there
  std::string
      subpath;  // restore what is inside this directory of the tree; empty: everything, with full paths
  scan::Selection selection;
  Overwrite overwrite = Overwrite::Always;
  bool remove_extra = false;  // --delete: what the snapshot does not have, inside restored directories
  bool verify = false;        // read every restored file again and compare
  bool dry_run = false;
  bool root_metadata = false;  // the target directory itself gets what the tree says of its top
  bool sparse = false;         // also make holes of long runs of zeros
  bool ownership_by_name = false;
  scan::PatternList include_xattrs;  // empty: all
  scan::PatternList exclude_xattrs;
  std::uint64_t memory_bytes = 96ULL << 20;
};

struct Progress {
  std::atomic<std::uint64_t> files_total{0};
  std::atomic<std::uint64_t> bytes_total{0};
  std::atomic<std::uint64_t> files_restored{0};
  std::atomic<std::uint64_t> files_skipped{0};
  std::atomic<std::uint64_t> files_deleted{0};
  std::atomic<std::uint64_t> bytes_restored{0};
  std::atomic<std::uint64_t> bytes_skipped{0};
  std::atomic<std::uint64_t> errors{0};
  base::Guarded<std::string> current_file;
};

/// Members may be called from several tasks, one at a time.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void item(Action action, std::string_view path, std::uint64_t size_bytes) = 0;
  /// An entry that was not restored, or not wholly.
  virtual void problem(std::string_view path, const Error& error) = 0;
  /// Something of an entry that the target could not take (a flag, an owner, a time out of range).
  virtual void not_kept(std::string_view path, std::string_view what) = 0;
};

struct RestoreReport {
  std::uint64_t files_verified = 0;
  std::uint64_t not_kept = 0;  // entries of which something could not be set
};

struct RestoreContext {
  repo::ChunkReader& reader;
  TargetFs& target;
  kv::LocalKv& state;
  const base::StopFlag& stop;
  Progress& progress;
  Observer& observer;
};

/// Restores from the tree with root page `root`. Errors: Cancelled, NotFound (no such subpath), Denied or
/// Exhausted (the target, as a whole), Corrupt (the tree itself). What fails for single entries is told to
/// the observer and counted in progress.errors.
Result<RestoreReport> run_restore(const RestoreContext& context, const format::ChunkSecret& root,
                                  const RestoreOptions& options);

}  // namespace firn::restore
