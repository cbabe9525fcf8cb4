// The mark phase: every chunk that a tree needs, found through refs pages, without a key that reads contents.
//
// Promise: each refs page that the visitor lets in is read once in a walk; depth is bounded, so hostile pages
// cannot make it endless. Memory is one parsed refs page for each level.
// Not here: the set of what was seen (the visitor's, so that it may lie on disk), opening refs pages (repo/).
// Threads: one caller at a time.
#pragma once

#include "repo/base/result.h"
#include "repo/format/ids.h"
#include "repo/tree/page_store.h"

namespace firn::tree {

class RefsVisitor {
 public:
  virtual ~RefsVisitor() = default;
  /// A refs page is needed: itself a chunk. True to read it; false when it was seen before (or is of no
  /// interest): then nothing below it is visited.
  virtual Result<bool> enter(const format::ChunkId& refs_page) = 0;
  /// A chunk of type 1 to 4 is needed; comes once for each refs page that names it.
  virtual Result<> chunk(const format::ChunkId& id) = 0;
};

/// Visits what the refs page `root` names and all below. The page whose twin `root` is is not among it: the
/// snapshot names it. Errors: Corrupt (names the refs page), those of the source and the visitor.
Result<> walk_refs(PageSource& source, const format::ChunkId& root, RefsVisitor& visitor);

}  // namespace firn::tree
