#include "repo/tree/tree_cursor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "repo/base/check.h"
#include "repo/tree/page_place.h"

namespace firn::tree {

namespace {

std::strong_ordering compare_bytes(ByteView a, ByteView b) {
  const std::size_t common = std::min(a.size(), b.size());
  const int order = common == 0 ? 0 : std::memcmp(a.data(), b.data(), common);
  return order != 0 ? order <=> 0 : a.size() <=> b.size();
}

/// sort_key(directory, name) against `bound`, where `directory_key` is sort_key(directory, "").
std::strong_ordering compare_key(ByteView directory_key, std::string_view name, ByteView bound) {
  const std::size_t common = std::min(directory_key.size(), bound.size());
  const auto order = compare_bytes(directory_key.first(common), bound.first(common));
  if (order != 0) {
    return order;
  }
  if (bound.size() < directory_key.size()) {
    return std::strong_ordering::greater;
  }
  return compare_bytes(as_bytes(name), bound.subspan(common));
}

}  // namespace

TreeCursor::TreeCursor(PageSource& source, const format::ChunkSecret& root, ReadOptions options)
    : source_(&source), root_(root), options_(std::move(options)) {}

ByteView TreeCursor::page_begin() const {
  return stack_.empty() ? ByteView() : stack_.back().child.separator;
}

unsigned TreeCursor::page_level() const {
  return stack_.empty() ? format::kPageLevelMax + 1U : stack_.back().reader.level() - 1U;
}

const Bytes* TreeCursor::page_end() const {
  if (stack_.empty()) {
    return nullptr;
  }
  const Inner& inner = stack_.back();
  if (inner.next) {
    return &inner.next->separator;
  }
  return inner.high ? &*inner.high : nullptr;
}

Result<> TreeCursor::open_page() {
  FIRN_CHECK(at_ == At::Page);
  const auto place = [&] { return tree_page_place(child_page(), page_begin()); };
  FIRN_LET(Bytes bytes, at_page(source_->read_page(format::ChunkType::TreePage, child_page()), place));
  FIRN_LET(const std::uint8_t level, at_page(format::page_level(bytes), place));
  if (!stack_.empty() && level != page_level()) {
    return fail(ErrorCode::Corrupt, place() + ": stands at the wrong level");
  }
  Result<> opened = level == 0 ? open_leaf(std::move(bytes)) : open_inner(std::move(bytes));
  if (!opened) {
    leaf_.reset();
  }
  return at_page(std::move(opened), place);
}

Result<> TreeCursor::open_leaf(Bytes bytes) {
  FIRN_LET(auto reader, format::LeafPageReader::open(bytes));
  const Bytes* const high = page_end();
  leaf_.emplace(Leaf{std::move(bytes), std::move(reader), child_page(), to_bytes(page_begin()),
                     high != nullptr ? std::optional(*high) : std::nullopt});
  FIRN_LET(const bool any, read_entry());
  if (!any) {
    return fail(ErrorCode::Corrupt, "holds no entry");
  }
  if (compare_to(leaf_->low) < 0) {
    return fail(ErrorCode::Corrupt, "begins before where the page above says");
  }
  at_ = At::Entry;
  stop_at_end_bound();
  return {};
}

Result<> TreeCursor::open_inner(Bytes bytes) {
  FIRN_TRY(check_children(bytes));
  FIRN_LET(auto reader, format::InnerPageReader::open(bytes));
  const Bytes* const high = page_end();
  Inner inner{std::move(bytes), std::move(reader),
              child_page(),     {},
              std::nullopt,     high != nullptr ? std::optional(*high) : std::nullopt,
              std::nullopt,     0};
  FIRN_TRY(read_next_child(inner));
  inner.child = std::move(*inner.next);
  FIRN_TRY(read_next_child(inner));
  prefetch(inner);
  stack_.push_back(std::move(inner));
  stop_at_end_bound();
  return {};
}

/// Children ascend (the page's reader sees to that), so the first and the last tell for all.
Result<> TreeCursor::check_children(ByteView page) const {
  FIRN_LET(auto reader, format::InnerPageReader::open(page));
  for (bool first = true;; first = false) {
    FIRN_LET(const bool more, reader.next());
    if (first && !(more && equal(reader.child().separator, page_begin()))) {
      return fail(ErrorCode::Corrupt, "does not begin where the page above says");
    }
    if (!more) {
      break;
    }
  }
  const Bytes* const high = page_end();
  if (high != nullptr && compare_bytes(reader.child().separator, *high) >= 0) {
    return fail(ErrorCode::Corrupt, "reaches beyond where the page above says it ends");
  }
  return {};
}

Result<> TreeCursor::read_next_child(Inner& inner) {
  FIRN_LET(const bool more, inner.reader.next());
  if (more) {
    inner.next = inner.reader.child();
  } else {
    inner.next.reset();
  }
  return {};
}

Result<> TreeCursor::skip_page() {
  FIRN_CHECK(at_ == At::Page);
  return advance_child();
}

/// Leaves the child that the cursor was at or in: before the next one, of this page or of one above.
Result<> TreeCursor::advance_child() {
  at_ = At::Page;
  while (!stack_.empty()) {
    Inner& inner = stack_.back();
    if (inner.next) {
      inner.child = std::move(*inner.next);
      FIRN_TRY(
          at_page(read_next_child(inner), [&] { return tree_page_place(inner.t, inner.child.separator); }));
      prefetch(inner);
      stop_at_end_bound();
      return {};
    }
    stack_.pop_back();
  }
  at_ = At::End;
  return {};
}

void TreeCursor::stop_at_end_bound() {
  if (end_ && (at_ == At::Entry ? compare_to(*end_) : compare_bytes(page_begin(), *end_)) >= 0) {
    go_to_end();
  }
}

Result<> TreeCursor::abandon_page() {
  if (leaf_) {
    leaf_.reset();
  } else if (!stack_.empty()) {
    stack_.pop_back();
  }
  return at_ == At::End ? Result<>() : advance_child();
}

void TreeCursor::go_to_end() {
  leaf_.reset();
  stack_.clear();
  at_ = At::End;
}

Result<> TreeCursor::next_entry() {
  FIRN_CHECK(at_ == At::Entry);
  FIRN_LET(const bool more, at_page(read_entry(), [&] { return tree_page_place(leaf_->t, leaf_->low); }));
  if (!more) {
    leaf_.reset();
    return advance_child();
  }
  stop_at_end_bound();
  return {};
}

/// False after the leaf's last entry. Errors do not name the page.
Result<bool> TreeCursor::read_entry() {
  FIRN_LET(const bool more, leaf_->reader.next());
  if (!more) {
    return false;
  }
  if (leaf_->reader.directory_begins()) {
    directory_key_ = format::sort_key({leaf_->reader.directory(), {}});
  }
  if (leaf_->high && compare_to(*leaf_->high) >= 0) {
    return fail(ErrorCode::Corrupt, "reaches beyond where the page above says it ends");
  }
  return true;
}

std::strong_ordering TreeCursor::compare_to(ByteView bound) const {
  return compare_key(directory_key_, leaf_->reader.entry().name, bound);
}

Result<> TreeCursor::to_entry() {
  while (at_ == At::Page) {
    FIRN_TRY(open_page());
  }
  return {};
}

Result<> TreeCursor::skip_pages_below(ByteView target) {
  while (at_ != At::End) {
    if (at_ == At::Entry) {
      if (leaf_->high && compare_bytes(*leaf_->high, target) <= 0) {
        leaf_.reset();
        FIRN_TRY(advance_child());
      } else if (compare_to(target) < 0) {
        FIRN_TRY(next_entry());
      } else {
        return {};
      }
      continue;
    }
    const Bytes* const end = page_end();
    if (end == nullptr || compare_bytes(*end, target) > 0) {
      return {};
    }
    FIRN_TRY(skip_page());
  }
  return {};
}

Result<> TreeCursor::seek(ByteView target) {
  for (;;) {
    FIRN_TRY(skip_pages_below(target));
    if (at_ != At::Page) {
      return {};
    }
    FIRN_TRY(open_page());
  }
}

/// Keeps the pages behind the cursor's child named ahead: many leaf pages, but one inner page.
void TreeCursor::prefetch(Inner& inner) {
  if (!options_.prefetch) {
    return;
  }
  const unsigned window = inner.reader.level() == 1 ? options_.prefetch_pages : 1;
  if (!inner.ahead) {
    // The reader starts at the first child, where the cursor is.
    auto ahead = format::InnerPageReader::open(inner.bytes);
    if (!ahead || !ahead->next().value_or(false)) {
      return;
    }
    inner.ahead = *std::move(ahead);
    inner.lead = 0;
  } else if (inner.lead > 0) {
    --inner.lead;
  }
  if (inner.lead > window / 2) {
    return;
  }
  std::vector<format::ChunkSecret> pages;
  while (inner.lead < window) {
    // Damage is for the cursor to report, when it comes there.
    const auto more = inner.ahead->next();
    if (!more.value_or(false) || (end_ && compare_bytes(inner.ahead->child().separator, *end_) >= 0)) {
      break;
    }
    pages.push_back(inner.ahead->child().page);
    ++inner.lead;
  }
  if (!pages.empty()) {
    options_.prefetch(format::ChunkType::TreePage, pages);
  }
}

}  // namespace firn::tree
