// Walks source trees in the order of the repository's entry list, with several tasks, in bounded memory.
//
// Order: a directory's own entries stand together, sorted by name bytewise; then follow its subdirectories,
// each with everything below it, sorted the same way. The order and the borders between batches do not depend
// on how many tasks walk or how fast each is.
//
// Promise: memory stays near `memory_bytes` and open directories near `open_dirs_max`, whatever the size,
// depth or width of the tree: directories too large to sort in memory and long lists of directories still to
// visit go to scratch. What cannot be read is a problem in its batch, not a failure of the walk.
// Not here: reading files, attributes or link targets (the consumer does, through the batch's handles).
// Threads: next() from one task.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/scan/filter.h"
#include "agent/scan/source_fs.h"
#include "repo/base/executor.h"
#include "repo/base/scratch.h"
#include "repo/base/stop.h"

namespace firn::scan {

/// When a directory on another file system is entered. It is reported as an empty directory when it is not.
enum class Crossing : std::uint8_t {
  All,
  SameDevice,  // --one-file-system: the device of the innermost root
  SameMount,   // volumes: no mount point, not even one of the same file system, is entered
};

struct WalkOptions {
  /// Absolute paths. A root may be anything, also a link, which is then not followed; links on the way to it
  /// are. Roots inside roots and repeated ones count once.
  std::vector<std::string> roots;
  /// The tree begins at the one root, a directory, instead of at "/" (volumes).
  bool tree_begins_at_root = false;
  Crossing crossing = Crossing::All;
  Filter filter;
  /// Paths longer than this are a problem, not entered: a tree cannot hold them.
  std::size_t path_bytes_max = 32u << 10;
  /// 0 = the executor's cpu_count().
  unsigned tasks = 0;
  std::size_t memory_bytes = 8u << 20;
  std::size_t open_dirs_max = 256;
  std::size_t batch_entries_max = 1024;
};

struct WalkEntry {
  std::string_view name;  // borrowed from its batch; empty = the root of the tree
  Stat stat;
};

/// One thing that could not be read, or not wholly.
struct WalkProblem {
  std::string name;  // in the batch's directory; empty = the directory itself
  Error error;       // NotFound: it vanished after it was listed. The message begins with the path
};

/// Entries of one directory. A large directory comes in several batches, one after the other.
struct WalkBatch {
  std::string directory;  // path in the tree: "" or "a/b"
  /// The open directory; empty when it could not be opened (then there are no entries, and a problem says
  /// why). Shared with the walker and with whatever the consumer hands it to.
  std::shared_ptr<SourceDir> dir;
  /// Set for a batch with one entry, the root of the tree or an ancestor of the roots: its attributes are to
  /// be read through this handle with an empty name (the path to a root may lead through links).
  std::shared_ptr<SourceDir> self;
  std::vector<WalkEntry> entries;
  std::vector<WalkProblem> problems;
  std::uint64_t excluded = 0;     // names that the filter left out
  std::unique_ptr<char[]> names;  // what the entries' names borrow from
};

class Walker {
 public:
  virtual ~Walker() = default;
  /// The next batch in order; empty after the last. Errors: Cancelled, Exhausted or Unavailable (scratch).
  virtual Result<std::optional<WalkBatch>> next() = 0;
};

/// Begins a walk. All arguments but `options` must outlive the walker. A root that is not there is a problem
/// in a batch, except with tree_begins_at_root, where it is an error here. Errors: Invalid (a root that is
/// not absolute or holds ".."), NotFound, Denied.
Result<std::unique_ptr<Walker>> start_walk(base::Executor& executor, SourceFs& source, base::Scratch& scratch,
                                           const base::StopFlag& stop, WalkOptions options);

}  // namespace firn::scan
