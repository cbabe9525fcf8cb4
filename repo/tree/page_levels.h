// The inner levels above a row of leaf pages, of trees and of slice lists alike: one open page for each
// level, and a new level only when the one below has a second page. Internal to repo/tree.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "repo/base/check.h"
#include "repo/base/result.h"
#include "repo/format/limits.h"
#include "repo/format/page.h"
#include "repo/format/slice_page.h"
#include "repo/tree/page_store.h"
#include "repo/tree/refs_collector.h"
#include "repo/tree/tree_writer.h"

namespace firn::tree {

/// The cut rule may end an inner page of separators tens of KiB long after every child; with less than this
/// many children a level would hardly be smaller than the one below, and the tree could outgrow its levels.
inline constexpr std::uint32_t kFanOutMin = 4;

/// A stored page: what its parent records of it (ChildPage or SlicePages), and its id for the parent's twin.
template <class Record>
struct StoredChild {
  Record record;
  format::ChunkId id;
};

inline format::ChildPage parent_record(format::InnerPageWriter::InnerPage&& page, const StoredPage& stored,
                                       const format::ChunkId& refs) {
  return {std::move(page.separator), stored.t, refs};
}
inline format::SlicePages parent_record(format::SlicePage&& page, const StoredPage& stored,
                                        const format::ChunkId& refs) {
  return {stored.t, refs, page.length};
}

/// `InnerWriter` is InnerPageWriter or SliceInnerWriter, `Record` what it takes.
template <class InnerWriter, class Record>
class PageLevels {
 public:
  PageLevels(PageSink& sink, std::uint64_t seed, format::ChunkType type, PageStatistics& statistics)
      : sink_(sink), seed_(seed), type_(type), statistics_(statistics) {}

  /// The next leaf page. Errors: Invalid (too many levels), those of the sink.
  Result<> add_leaf(StoredChild<Record> leaf) { return add(0, std::move(leaf)); }

  struct Top {
    StoredChild<Record> page;
    std::uint8_t levels = 1;
  };
  /// Stores the open pages and gives the root: the only leaf, or the top inner page. At least one leaf was
  /// added. The levels are empty again.
  Result<Top> finish() {
    FIRN_CHECK(!levels_.empty());
    for (std::size_t i = 0;; ++i) {
      Level& level = *levels_[i];
      const bool is_top = i + 1 == levels_.size();
      if (is_top && level.pages == 0 && level.children == 1) {
        Top top{std::move(level.last), static_cast<std::uint8_t>(i + 1)};
        levels_.clear();
        return top;
      }
      if (level.children > 0) {
        FIRN_TRY(end_page(i));
      }
    }
  }

 private:
  struct Level {
    Level(std::uint64_t seed, std::uint8_t number) : writer(seed, number) {}
    InnerWriter writer;
    RefsCollector refs;
    StoredChild<Record> last;
    std::uint32_t children = 0;  // of the open page
    std::uint64_t pages = 0;     // stored before it
  };

  /// Level `i` here is level i + 1 in the pages.
  Result<> add(std::size_t i, StoredChild<Record> child) {
    using Added = format::LeafPageWriter::Added;
    if (i == format::kPageLevelMax) {
      return fail(ErrorCode::Invalid, "the list needs more levels of pages than the format has");
    }
    if (i == levels_.size()) {
      levels_.push_back(std::make_unique<Level>(seed_, static_cast<std::uint8_t>(i + 1)));
    }
    Level& level = *levels_[i];
    Added added = level.writer.add(child.record);
    if (added == Added::No) {
      FIRN_TRY(end_page(i));
      added = level.writer.add(child.record);
      FIRN_CHECK(added != Added::No);
    }
    level.refs.add_chunk(child.id);
    level.refs.add_child(child.record.refs);
    level.last = std::move(child);
    ++level.children;
    if (added == Added::Full && level.children >= kFanOutMin) {
      FIRN_TRY(end_page(i));
    }
    return {};
  }

  Result<> end_page(std::size_t i) {
    Level& level = *levels_[i];
    auto page = level.writer.take();
    ++statistics_.inner_pages;
    statistics_.page_bytes += page.bytes.size();
    FIRN_LET(const StoredPage stored, sink_.store_page(type_, page.bytes));
    FIRN_LET(const format::ChunkId refs, level.refs.store(sink_, statistics_));
    level.children = 0;
    ++level.pages;
    return add(i + 1, {parent_record(std::move(page), stored, refs), stored.id});
  }

  PageSink& sink_;
  const std::uint64_t seed_;
  const format::ChunkType type_;
  PageStatistics& statistics_;
  std::vector<std::unique_ptr<Level>> levels_;
};

}  // namespace firn::tree
