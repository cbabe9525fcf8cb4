// Two trees side by side: what differs, and what a parent snapshot has of a key. Pages that both share are
// not read.
//
// Promise: as TreeReader for every page that is read; a page that both trees hold under the same t is equal
// by its name and is left out unread. Not here: what a difference means (agent). Threads: one caller at a
// time.
#pragma once

#include <functional>
#include <memory>

#include "repo/base/result.h"
#include "repo/format/tree.h"
#include "repo/tree/page_store.h"
#include "repo/tree/read_options.h"

namespace firn::tree {

/// Called in key order for each key whose records differ: null for the side that lacks it. Borrowed during
/// the call. An error ends the walk.
using DiffVisitor =
    std::function<Result<>(const format::Key& key, const format::EntryView* a, const format::EntryView* b)>;

/// One tree of a comparison; the source may be the same for both.
struct TreeAt {
  PageSource& source;
  format::ChunkSecret t;
};

/// Errors: Corrupt, those of the sources and of the visitor.
Result<> diff_trees(const TreeAt& a, const TreeAt& b, const DiffVisitor& visit);

/// Looks keys up in one tree in ascending order: the merge join of a backup with its parent. Pages between
/// two keys are not read.
class ParentCursor {
 public:
  /// `source` outlives the cursor.
  ParentCursor(PageSource& source, const format::ChunkSecret& t, ReadOptions options = {});
  ParentCursor(ParentCursor&&) noexcept;
  ~ParentCursor();

  /// The entry at `key`, null when the parent has none; borrowed until the next call. Keys ascend;
  /// for one below an earlier one the answer may be null. Errors: Corrupt, those of the source.
  Result<const format::EntryView*> at(const format::Key& key);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace firn::tree
