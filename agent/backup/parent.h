// What an earlier backup knew of an entry: its snapshot's tree, and before that what a killed backup had
// done.
//
// Promise: at() answers for ascending keys with the newest knowledge there is; whether it may be relied on is
// decided elsewhere (planner: unchanged? session: still there?), so stale knowledge costs time and nothing
// else. Threads: one caller.
#pragma once

#include <memory>
#include <optional>

#include "agent/backup/backup.h"
#include "agent/state/resume_log.h"
#include "repo/format/page.h"
#include "repo/tree/tree_diff.h"

namespace firn::backup {

struct Known {
  const format::EntryView* entry = nullptr;  // borrowed until the next call
  base::WallTime scanned;                    // when the scan that saw it began
};

class ParentEntries {
 public:
  /// Either may be absent. A parent that cannot be read is given up on at its first error, which is kept.
  ParentEntries(tree::PageSource& pages, const std::optional<Parent>& parent,
                std::unique_ptr<state::ResumeReader> resume);

  Result<std::optional<Known>> at(const format::Key& key);
  /// Why the parent could not be used any further.
  const std::optional<Error>& parent_error() const { return parent_error_; }

 private:
  Result<const format::EntryView*> resumed_at(const format::Key& key);

  std::optional<tree::ParentCursor> cursor_;
  base::WallTime parent_scanned_;
  std::optional<Error> parent_error_;
  std::unique_ptr<state::ResumeReader> resume_;
  Bytes page_;
  std::optional<format::LeafPageReader> page_reader_;
  bool entry_open_ = false;
};

}  // namespace firn::backup
