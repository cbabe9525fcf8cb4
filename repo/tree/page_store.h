// Where pages are read from and stored: what the tree needs of the repository, and no more.
//
// A page is a chunk: tree pages (type 3) and slice pages (type 4) are read by their capability t, refs pages
// (type 5) by their id, so that a maintainer who holds no t can walk them. Sessions and readers of repo/
// implement these over packs; tests implement them in memory (memory_page_store.h).
// Not here: packs, sealing, caching.
// Threads: the tree calls a source or a sink from the one task that walks or writes.
#pragma once

#include "repo/base/bytes.h"
#include "repo/base/result.h"
#include "repo/format/chunk.h"
#include "repo/format/ids.h"

namespace firn::tree {

class PageSource {
 public:
  virtual ~PageSource() = default;
  /// The plaintext of the page `t` of `type` (TreePage or SlicePage), whose bytes give exactly `t`; an
  /// implementation that cannot prove that is still safe to walk, and finds less damage.
  /// Errors: Corrupt, NotFound, and those of the store.
  virtual Result<Bytes> read_page(format::ChunkType type, const format::ChunkSecret& t) = 0;
  /// The plaintext of a refs page. Errors: as above.
  virtual Result<Bytes> read_refs(const format::ChunkId& id) = 0;
};

/// What a stored page is known by: to readers by t, to packs and refs by its id.
struct StoredPage {
  format::ChunkSecret t;
  format::ChunkId id;
};

/// Storing what is stored already is success and costs nothing: equal bytes are one chunk. An implementation
/// may seal and upload later, but knows the names at once; a later failure meets the next call or the commit.
class PageSink {
 public:
  virtual ~PageSink() = default;
  virtual Result<StoredPage> store_page(format::ChunkType type, ByteView plain) = 0;
  virtual Result<format::ChunkId> store_refs(ByteView plain) = 0;
};

}  // namespace firn::tree
