#include "repo/tree/tree_diff.h"

#include <utility>

#include "repo/tree/tree_cursor.h"

namespace firn::tree {

namespace {

using At = TreeCursor::At;

/// Both cursors are before pages: leaves them out when they are the same, or opens the one that is larger or
/// begins first, so that equal pages meet.
Result<> step_at_pages(TreeCursor& a, TreeCursor& b) {
  if (a.page() == b.page()) {
    FIRN_TRY(a.skip_page());
    return b.skip_page();
  }
  if (a.page_level() != b.page_level()) {
    return a.page_level() > b.page_level() ? a.open_page() : b.open_page();
  }
  return as_text(a.page_begin()) <= as_text(b.page_begin()) ? a.open_page() : b.open_page();
}

class Diff {
 public:
  Diff(const TreeAt& a, const TreeAt& b, const DiffVisitor& visit)
      : a_(a.source, a.t, {}), b_(b.source, b.t, {}), visit_(visit) {}

  Result<> run() {
    while (a_.at() != At::End || b_.at() != At::End) {
      FIRN_TRY(step());
    }
    return {};
  }

 private:
  Result<> step() {
    if (a_.at() == At::Page) {
      if (b_.at() == At::Page) {
        return step_at_pages(a_, b_);
      }
      const bool b_is_before = b_.at() == At::Entry && b_.compare_to(a_.page_begin()) < 0;
      return b_is_before ? only_b() : a_.open_page();
    }
    if (b_.at() == At::Page) {
      const bool a_is_before = a_.at() == At::Entry && a_.compare_to(b_.page_begin()) < 0;
      return a_is_before ? only_a() : b_.open_page();
    }
    if (b_.at() == At::End) {
      return only_a();
    }
    if (a_.at() == At::End) {
      return only_b();
    }
    const auto order = format::compare_keys(a_.key(), b_.key());
    return order < 0 ? only_a() : order > 0 ? only_b() : both();
  }

  Result<> only_a() {
    FIRN_TRY(visit_(a_.key(), &a_.entry(), nullptr));
    return a_.next_entry();
  }
  Result<> only_b() {
    FIRN_TRY(visit_(b_.key(), nullptr, &b_.entry()));
    return b_.next_entry();
  }
  Result<> both() {
    if (!equal(a_.entry().encoded, b_.entry().encoded)) {
      FIRN_TRY(visit_(a_.key(), &a_.entry(), &b_.entry()));
    }
    FIRN_TRY(a_.next_entry());
    return b_.next_entry();
  }

  TreeCursor a_;
  TreeCursor b_;
  const DiffVisitor& visit_;
};

}  // namespace

Result<> diff_trees(const TreeAt& a, const TreeAt& b, const DiffVisitor& visit) {
  return Diff(a, b, visit).run();
}

struct ParentCursor::State {
  TreeCursor cursor;
};

ParentCursor::ParentCursor(PageSource& source, const format::ChunkSecret& t, ReadOptions options)
    : state_(std::make_unique<State>(State{TreeCursor(source, t, std::move(options))})) {}
ParentCursor::ParentCursor(ParentCursor&&) noexcept = default;
ParentCursor::~ParentCursor() = default;

Result<const format::EntryView*> ParentCursor::at(const format::Key& key) {
  TreeCursor& cursor = state_->cursor;
  for (;;) {
    switch (cursor.at()) {
      case At::End:
        return nullptr;
      case At::Entry: {
        const auto order = format::compare_keys(cursor.key(), key);
        if (order >= 0) {
          return order == 0 ? &cursor.entry() : nullptr;
        }
        FIRN_TRY(cursor.next_entry());
        break;
      }
      case At::Page: {
        const Bytes target = format::sort_key(key);
        if (as_text(cursor.page_begin()) > as_text(target)) {
          return nullptr;  // it begins behind the key and may wait
        }
        FIRN_TRY(cursor.skip_pages_below(target));
        if (cursor.at() == At::Page && as_text(cursor.page_begin()) <= as_text(target)) {
          FIRN_TRY(cursor.open_page());
        }
        break;
      }
    }
  }
}

}  // namespace firn::tree
