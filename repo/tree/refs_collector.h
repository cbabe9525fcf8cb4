// Gathers, while a page is built, the ids that its refs twin names. Internal to repo/tree.
//
// Deriving an id from a t costs two digests; neighbours mostly lie in the same bundle, so the latest are
// kept.
#pragma once

#include <cstdint>
#include <vector>

#include "repo/base/result.h"
#include "repo/format/chunk.h"
#include "repo/format/refs.h"
#include "repo/format/tree.h"
#include "repo/tree/page_store.h"
#include "repo/tree/tree_writer.h"

namespace firn::tree {

class RefsCollector {
 public:
  RefsCollector() = default;
  RefsCollector(const RefsCollector&) = delete;
  RefsCollector& operator=(const RefsCollector&) = delete;

  void add_chunk(const format::ChunkId& id) { refs_.chunks.push_back(id); }
  void add_child(const format::ChunkId& refs_page) { refs_.children.push_back(refs_page); }
  void add_secret(const format::ChunkSecret& t);
  void add_pages(const format::SlicePages& pages);
  /// Everything that a blob names: of a format::Blob or a format::BlobView.
  template <class BlobLike>
  void add_blob(const BlobLike& blob) {
    if (blob.form == format::BlobForm::Slices) {
      for (const format::Slice& slice : blob.slices) {
        add_secret(slice.chunk);
      }
    } else if (blob.form == format::BlobForm::Pages) {
      add_pages(blob.pages);
    }
  }

  /// Stores the twin of the page that ends here, and starts the next one.
  Result<format::ChunkId> store(PageSink& sink, PageStatistics& statistics);

 private:
  struct Known {
    format::ChunkSecret t;
    format::ChunkId id;
  };
  format::RefsPage refs_;
  std::vector<Known> known_;
  const Known* last_ = nullptr;
};

}  // namespace firn::tree
