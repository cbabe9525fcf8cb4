// A place in a tree that only moves forward and opens a page only when told to: what readers, comparisons and
// the parent of a backup are made of. Internal to repo/tree; others use tree_reader.h and tree_diff.h.
//
// Promise: every entry it stands at was checked as tree_reader.h says. A page that is skipped is not read.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "repo/base/result.h"
#include "repo/format/page.h"
#include "repo/tree/page_store.h"
#include "repo/tree/read_options.h"

namespace firn::tree {

/// Bounds and targets are sort keys (format::sort_key), or beginnings of them, as separators are.
class TreeCursor {
 public:
  enum class At : std::uint8_t {
    Page,   // before a page that was not opened
    Entry,  // at an entry
    End,    // behind the last entry, or the end bound
  };

  /// Before the root page. `source` outlives the cursor.
  TreeCursor(PageSource& source, const format::ChunkSecret& root, ReadOptions options);

  /// Entries at or above `bound` count as behind the end.
  void end_before(Bytes bound) { end_ = std::move(bound); }

  At at() const { return at_; }

  // At a page.
  const format::ChunkSecret& page() const { return child_page(); }
  /// No entry of the page is below it, all entries before are.
  ByteView page_begin() const;
  /// Level of the page; above all levels for the root, whose level nobody says.
  unsigned page_level() const;
  /// To its first entry, or before its first child. After an error the cursor is still before the page.
  Result<> open_page();
  Result<> skip_page();
  /// The page's twin, as the page above names it; not of the root.
  const format::ChunkId& page_refs() const { return stack_.back().child.refs; }
  bool at_root() const { return at_ == At::Page && stack_.empty(); }

  // At an entry.
  const format::EntryView& entry() const { return leaf_->reader.entry(); }
  format::Key key() const { return leaf_->reader.key(); }
  /// True iff the entry is the first of its directory in its page.
  bool directory_begins() const { return leaf_->reader.directory_begins(); }
  /// The entry's key against a bound.
  std::strong_ordering compare_to(ByteView bound) const;
  /// To the next entry of the page, or before the next page, or the end.
  Result<> next_entry();

  // Anywhere.
  /// Opens pages until the cursor is at an entry or the end.
  Result<> to_entry();
  /// Forward to the first entry at or above `target`, or the end.
  Result<> seek(ByteView target);
  /// Forward to the first entry at or above `target`, or before the page that may hold it: pages that cannot
  /// are skipped, none is opened.
  Result<> skip_pages_below(ByteView target);
  void go_to_end();
  /// Out of the page that open_page() went into last, to what is behind it: for one found to be damaged.
  Result<> abandon_page();

 private:
  struct Inner {
    Bytes bytes;
    format::InnerPageReader reader;
    format::ChunkSecret t;
    format::ChildPage child;                       // where the cursor is
    std::optional<format::ChildPage> next;         // the one after it
    std::optional<Bytes> high;                     // all of this page's entries are below it
    std::optional<format::InnerPageReader> ahead;  // names pages for prefetch, `lead` children beyond `child`
    unsigned lead = 0;
  };
  struct Leaf {
    Bytes bytes;
    format::LeafPageReader reader;
    format::ChunkSecret t;
    Bytes low;
    std::optional<Bytes> high;
  };

  const format::ChunkSecret& child_page() const { return stack_.empty() ? root_ : stack_.back().child.page; }
  /// All entries of the page before the cursor are below it; null for the last page of the tree.
  const Bytes* page_end() const;
  Result<> open_leaf(Bytes bytes);
  Result<> open_inner(Bytes bytes);
  Result<> check_children(ByteView page) const;
  Result<bool> read_entry();
  Result<> advance_child();
  Result<> read_next_child(Inner& inner);
  void stop_at_end_bound();
  void prefetch(Inner& inner);

  PageSource* source_;
  format::ChunkSecret root_;
  ReadOptions options_;
  std::optional<Bytes> end_;
  At at_ = At::Page;
  std::vector<Inner> stack_;  // from the root down
  std::optional<Leaf> leaf_;
  Bytes directory_key_;  // sort key of the entry's directory with an empty name
};

}  // namespace firn::tree
