// Writes a snapshot's list of entries as pages, from a stream of entries in order.
//
// Promise: equal runs of entries give equal pages whatever stands before and behind them, so a small change
// makes a few new pages; every page has its refs twin in the sink when finish() returned. Memory is one open
// page and its ids for each level (at most a few), however many entries there are.
// Not here: what pages look like and where they end (repo/format), long slice lists (slice_list.h).
// Threads: one caller at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "repo/base/result.h"
#include "repo/format/keys.h"
#include "repo/format/tree.h"
#include "repo/tree/page_store.h"

namespace firn::tree {

/// Pages and refs pages handed to the sink, those that it had already included. Bytes are of plaintext.
struct PageStatistics {
  std::uint64_t leaf_pages = 0;
  std::uint64_t inner_pages = 0;
  std::uint64_t page_bytes = 0;
  std::uint64_t refs_pages = 0;
  std::uint64_t refs_bytes = 0;
};

/// What a snapshot records of its tree: t is its capability, id and refs stand in its signed body.
struct WrittenTree {
  format::ChunkSecret t;
  format::ChunkId id;
  format::ChunkId refs;
  std::uint8_t levels = 0;  // 1: a single leaf page
  std::uint64_t entries = 0;
  PageStatistics pages;
};

class TreeWriter {
 public:
  /// `sink` outlives the writer.
  TreeWriter(PageSink& sink, const format::CutSeeds& seeds);
  TreeWriter(TreeWriter&&) noexcept;
  ~TreeWriter();

  /// Adds an entry behind all others; a key that is not above the last one is a bug. Slices and slice pages
  /// that the entry names must be stored, or known to be, by the caller.
  /// Errors: Invalid (an entry that the format cannot hold: nothing was added, the writer goes on), those of
  /// the sink (the writer is then of no more use).
  Result<> add(std::string_view directory, const format::Entry& entry);
  /// The same for an entry that was read from a page: its record is copied as it is.
  Result<> add(std::string_view directory, const format::EntryView& entry);

  /// Stores what is open and names the root. Call once. Errors: Invalid (no entries at all, or so many long
  /// paths that the tree would be deeper than the format allows), those of the sink.
  Result<WrittenTree> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace firn::tree
