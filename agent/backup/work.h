// What passes between planner, workers and assembler: batches of entries in walk order.
//
// A batch is planned by one task, worked on by one worker and assembled by one task; done() hands it over.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/backup/backup.h"
#include "agent/scan/source_fs.h"
#include "repo/base/monitor.h"
#include "repo/format/tree.h"

namespace firn::backup {

/// The directory that entries lie in, kept open while any of them is in flight.
struct Directory {
  std::string path;  // in the tree
  std::shared_ptr<scan::SourceDir> dir;
  /// Set for roots and their ancestors, which are read through a handle of their own with an empty name.
  std::shared_ptr<scan::SourceDir> self;
};

/// An entry that a worker has to do something for.
struct EntryWork {
  scan::Stat stat;
  std::uint32_t device_ordinal = 0;
  Action action = Action::New;
  bool alias = false;  // a further name of a file whose content an earlier entry has
  /// What the parent has of it, to keep content that turns out to be the same.
  std::optional<format::Entry> before;
  bool keep_content = false;  // it is the same for sure: do not read
  bool rebundle = false;      // into a new bundle, wherever its content lies

  // Filled in by the worker.
  format::Entry entry;
  std::optional<Error> error;  // it is not in the snapshot
  std::vector<Error> notes;    // it is, but not all of it
  std::uint64_t added_bytes = 0;
  std::uint64_t added_stored_bytes = 0;
  std::chrono::nanoseconds spent{0};
};

struct Item {
  std::shared_ptr<const Directory> directory;
  std::string name;
  /// The parent's record, taken over as it is; empty when there is work.
  Bytes record{};
  std::uint64_t size_bytes = 0;  // of a record's regular file, for counting
  std::unique_ptr<EntryWork> work{};
  std::optional<Error> problem{};  // nothing but this: something that could not be listed
};

class Batch {
 public:
  explicit Batch(base::Executor& executor) : done_(executor) {}

  std::vector<Item> items;
  bool abandoned = false;          // the backup failed before its work was done: its entries are not whole
  std::uint64_t bundle_bytes = 0;  // planned into the bundle of this batch
  std::uint64_t read_bytes = 0;    // planned to be read
  std::uint64_t memory_bytes = 0;  // of items, roughly

  void finish() {
    auto done = done_.lock();
    *done = true;
    done.notify();
  }
  void wait() {
    auto done = done_.lock();
    done.wait([](bool is_done) { return is_done; });
  }

 private:
  base::Monitor<bool> done_;
};

using BatchPointer = std::shared_ptr<Batch>;  // shared by the queue of work and the queue of assembly

}  // namespace firn::backup
