// Every page of a tree, checked one by one: what a check of the repository walks with.
//
// Promise: each tree page and slice page that the visitor lets in is read, checked as readers check it, and
// its refs twin must hold exactly the ids that the page's bytes give. Damage is data: it is told to the
// visitor and the walk goes on behind the damaged page. Memory is one page for each level. Not here: which
// pages were seen (the visitor's, so that it may lie on disk), the chunks that pages name, the bytes behind
// slices. A page that was seen is not held against the bounds or the length of a second place that names it.
// Threads: one caller at a time.
#pragma once

#include <string>

#include "repo/base/result.h"
#include "repo/format/refs.h"
#include "repo/format/tree.h"
#include "repo/tree/page_store.h"
#include "repo/tree/read_options.h"

namespace firn::tree {

/// A page as the page above (or the snapshot, or an entry) names it.
struct PageAt {
  format::ChunkType type = format::ChunkType::TreePage;
  format::ChunkSecret t;
  format::ChunkId refs;  // its twin
};

class PageVisitor {
 public:
  virtual ~PageVisitor() = default;
  /// True to read the page; false when it was seen before, then nothing below it is visited.
  virtual Result<bool> enter(const PageAt& page) = 0;
  /// The page was read; `refs` are the ids of all that it names, taken from its own bytes.
  virtual Result<> page(const PageAt& page, const format::RefsPage& refs) = 0;
  /// An entry of a page that was let in. Its slice pages come next. Borrowed during the call.
  virtual Result<> entry(const format::Key& key, const format::EntryView& entry) = 0;
  /// The page, or its twin, is damaged or missing (Corrupt, NotFound); `error` names it and the path where it
  /// begins. Of a damaged page nothing (more) below is visited; of one whose twin alone is damaged, all is.
  virtual Result<> damaged(const PageAt& page, const Error& error) = 0;
};

/// Errors: those of the visitor, and those of the source that are no damage (Unavailable, …).
Result<> walk_pages(PageSource& source, const PageAt& root, PageVisitor& visitor,
                    const ReadOptions& options = {});

}  // namespace firn::tree
