// The slices of a file: written while it is cut, read in order from any byte. A list of up to 32 stands in
// the entry; a longer one becomes slice pages, so that a file's size has no bound and neither end holds the
// list.
//
// Promise: memory is one open page for each level. Equal runs of slices give equal pages wherever they lie in
// a file. A reader trusts nothing: levels, lengths and sums are checked as it goes.
// Not here: what pages look like and where they end (repo/format), the bytes behind the slices (repo/).
// Threads: one caller at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "repo/base/result.h"
#include "repo/format/keys.h"
#include "repo/format/tree.h"
#include "repo/tree/page_store.h"
#include "repo/tree/tree_writer.h"

namespace firn::tree {

class SliceListWriter {
 public:
  /// `sink` outlives the writer.
  SliceListWriter(PageSink& sink, const format::CutSeeds& seeds);
  SliceListWriter(SliceListWriter&&) noexcept;
  ~SliceListWriter();

  /// The next piece of the content: 1 or more bytes of a chunk. Neighbours are not merged.
  Result<> add(const format::Slice& slice);
  std::uint64_t length() const;  // bytes of content so far

  /// Form Empty, Slices or Pages; the pages and their refs twins are in the sink. The writer is empty again.
  Result<format::Blob> finish();
  /// Pages stored by all lists of this writer.
  const PageStatistics& pages() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A slice and where its first byte lies in the content, holes not counted.
struct PlacedSlice {
  format::Slice slice;
  std::uint64_t position = 0;
};

class SliceListReader {
 public:
  /// Reads the slices of a blob; one in form Empty or Inline has none. Starts with the slice that holds byte
  /// `offset` (whole, so its position may be below); at or behind the end there are none. `source` outlives
  /// the reader, `blob` need not.
  SliceListReader(PageSource& source, const format::BlobView& blob, std::uint64_t offset = 0);
  SliceListReader(PageSource& source, const format::Blob& blob, std::uint64_t offset = 0);
  SliceListReader(SliceListReader&&) noexcept;
  ~SliceListReader();

  /// The next slice; nothing after the last. Errors: Corrupt, those of the source.
  Result<std::optional<PlacedSlice>> next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace firn::tree
