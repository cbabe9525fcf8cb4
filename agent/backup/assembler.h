// Takes finished batches in walk order and writes the tree; counts and reports what happened to each entry.
//
// Threads: run() on one task, on which the observer is called too.
#pragma once

#include <map>

#include "agent/backup/backup.h"
#include "agent/backup/bundle_use.h"
#include "agent/backup/hard_links.h"
#include "agent/backup/work.h"
#include "agent/state/content_table.h"
#include "repo/base/queue.h"
#include "repo/tree/tree_writer.h"

namespace firn::backup {

struct AssemblerContext {
  const BackupContext& backup;
  HardLinks& links;
  base::BoundedQueue<BatchPointer>& assembly;
  tree::TreeWriter& tree;
  BundleUse& bundle_use;
  state::ContentTable& contents;
};

class Assembler {
 public:
  explicit Assembler(AssemblerContext& context) : context_(context) {}

  /// Until the queue is closed and empty. Errors: of the repository; entries that failed are reported and
  /// counted.
  Result<> run();

  const format::Counters& counters() const { return counters_; }

 private:
  Result<> take(Item& item);
  Result<> take_record(const Item& item);
  Result<> take_work(Item& item);
  Result<> add_entry(const Item& item, const format::Entry& entry);
  template <class Entry>
  Result<> note_bundled(const Entry& entry, bool was_read);
  void problem(const Item& item, const Error& error);
  void count(const Item& item, format::FileType type, std::uint64_t size_bytes, Action action);

  AssemblerContext& context_;
  format::Counters counters_;
};

}  // namespace firn::backup
