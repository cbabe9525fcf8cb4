#include "repo/tree/page_walk.h"

#include <optional>
#include <utility>

#include "repo/format/page.h"
#include "repo/format/slice_page.h"
#include "repo/tree/page_place.h"
#include "repo/tree/tree_cursor.h"

namespace firn::tree {

namespace {

bool is_damage(const Error& error) {
  return error.code == ErrorCode::Corrupt || error.code == ErrorCode::NotFound;
}

/// Keeps the page that was read last: the cursor owns its own copy.
class KeepingSource final : public PageSource {
 public:
  explicit KeepingSource(PageSource& source) : source_(source) {}
  Result<Bytes> read_page(format::ChunkType type, const format::ChunkSecret& t) override {
    FIRN_LET(Bytes bytes, source_.read_page(type, t));
    last_ = bytes;
    return bytes;
  }
  Result<Bytes> read_refs(const format::ChunkId& id) override { return source_.read_refs(id); }
  ByteView last() const { return last_; }

 private:
  PageSource& source_;
  Bytes last_;
};

template <class Reader, class Record>
Result<std::uint64_t> length_of_all(Reader reader, Record record) {
  for (;;) {
    FIRN_LET(const bool more, reader.next(record));
    if (!more) {
      return reader.length();
    }
  }
}

/// Bytes of content in the page's slices or children. Errors: Corrupt, wherever in the page the damage is.
Result<std::uint64_t> slice_page_length(ByteView page, std::uint8_t level) {
  if (level == 0) {
    FIRN_LET(auto slices, format::SlicePageReader::open(page));
    return length_of_all(slices, format::Slice{});
  }
  FIRN_LET(auto children, format::SliceInnerReader::open(page));
  return length_of_all(children, format::SlicePages{});
}

class PageWalk {
 public:
  PageWalk(PageSource& source, const PageAt& root, PageVisitor& visitor, const ReadOptions& options)
      : source_(source), cursor_(source_, root.t, options), root_(root), visitor_(visitor) {}

  Result<> run() {
    while (cursor_.at() != TreeCursor::At::End) {
      FIRN_TRY(cursor_.at() == TreeCursor::At::Page ? tree_page() : entry());
    }
    return {};
  }

 private:
  Result<> tree_page();
  Result<> entry();
  Result<> slice_page(const format::SlicePages& named, std::uint64_t begin,
                      std::optional<std::uint8_t> level_wanted);
  Result<Bytes> read_slice_page(const format::SlicePages& named, std::optional<std::uint8_t> level_wanted);
  Result<> page_and_twin(const PageAt& page, const format::RefsPage& refs, const std::string& place);
  Result<> compare_twin(const PageAt& page, const format::RefsPage& refs);

  /// Damage is told and the walk goes on; anything else ends it.
  Result<> report(const PageAt& page, Error error) {
    return is_damage(error) ? visitor_.damaged(page, error) : Failure(std::move(error));
  }

  KeepingSource source_;
  TreeCursor cursor_;
  const PageAt root_;
  PageAt leaf_;  // the page of the cursor's entry
  PageVisitor& visitor_;
};

Result<> PageWalk::tree_page() {
  const PageAt page =
      cursor_.at_root() ? root_ : PageAt{format::ChunkType::TreePage, cursor_.page(), cursor_.page_refs()};
  FIRN_LET(const bool wanted, visitor_.enter(page));
  if (!wanted) {
    return cursor_.skip_page();
  }
  const std::string place = tree_page_place(page.t, cursor_.page_begin());
  if (auto opened = cursor_.open_page(); !opened) {
    FIRN_TRY(report(page, std::move(opened).error()));
    return cursor_.skip_page();
  }
  leaf_ = page;
  auto refs = format::refs_of_page(page.type, source_.last());
  if (!refs) {
    FIRN_TRY(report(page, std::move(refs).error().in(place)));
    return cursor_.abandon_page();
  }
  return page_and_twin(page, *refs, place);
}

Result<> PageWalk::page_and_twin(const PageAt& page, const format::RefsPage& refs, const std::string& place) {
  if (auto compared = compare_twin(page, refs); !compared) {
    FIRN_TRY(report(page, std::move(compared).error().in(place)));
  }
  return visitor_.page(page, refs);
}

Result<> PageWalk::compare_twin(const PageAt& page, const format::RefsPage& refs) {
  const auto place = [&] { return "refs page " + page.refs.hex(); };
  FIRN_LET(const Bytes plain, at_page(source_.read_refs(page.refs), place));
  FIRN_LET(const format::RefsPage stored, at_page(format::parse_refs_page(plain), place));
  if (stored != refs) {
    return fail(ErrorCode::Corrupt, place() + ": does not hold the ids that its page names");
  }
  return {};
}

Result<> PageWalk::entry() {
  const format::EntryView& entry = cursor_.entry();
  FIRN_TRY(visitor_.entry(cursor_.key(), entry));
  for (const format::BlobView* blob : {&entry.content, &entry.holes, &entry.xattrs}) {
    if (blob->form == format::BlobForm::Pages) {
      FIRN_TRY(slice_page(blob->pages, 0, std::nullopt));
    }
  }
  if (auto moved = cursor_.next_entry(); !moved) {
    FIRN_TRY(report(leaf_, std::move(moved).error()));
    return cursor_.abandon_page();
  }
  return {};
}

/// Recursion is as deep as levels go: a child must be one level below.
Result<> PageWalk::slice_page(const format::SlicePages& named, std::uint64_t begin,
                              std::optional<std::uint8_t> level_wanted) {
  const PageAt page{format::ChunkType::SlicePage, named.root, named.refs};
  FIRN_LET(const bool wanted, visitor_.enter(page));
  if (!wanted) {
    return {};
  }
  const std::string place = slice_page_place(named.root, begin);
  auto bytes = read_slice_page(named, level_wanted);
  if (!bytes) {
    return report(page, std::move(bytes).error().in(place));
  }
  FIRN_LET(const format::RefsPage refs, format::refs_of_page(page.type, *bytes));
  FIRN_TRY(page_and_twin(page, refs, place));
  FIRN_LET(const std::uint8_t level, format::page_level(*bytes));
  if (level == 0) {
    return {};
  }
  FIRN_LET(auto children, format::SliceInnerReader::open(*bytes));
  format::SlicePages child;
  for (;;) {
    const std::uint64_t child_begin = begin + children.length();
    FIRN_LET(const bool more, children.next(child));
    if (!more) {
      return {};
    }
    FIRN_TRY(slice_page(child, child_begin, static_cast<std::uint8_t>(level - 1)));
  }
}

/// A page that is well formed, of its level, and as long as it is said to be.
Result<Bytes> PageWalk::read_slice_page(const format::SlicePages& named,
                                        std::optional<std::uint8_t> level_wanted) {
  FIRN_LET(Bytes bytes, source_.read_page(format::ChunkType::SlicePage, named.root));
  FIRN_LET(const std::uint8_t level, format::page_level(bytes));
  if (level_wanted && level != *level_wanted) {
    return fail(ErrorCode::Corrupt, "stands at the wrong level");
  }
  FIRN_LET(const std::uint64_t length, slice_page_length(bytes, level));
  if (length != named.length) {
    return fail(ErrorCode::Corrupt, "holds more or fewer bytes than what names it says");
  }
  return bytes;
}

}  // namespace

Result<> walk_pages(PageSource& source, const PageAt& root, PageVisitor& visitor,
                    const ReadOptions& options) {
  return PageWalk(source, root, visitor, options).run();
}

}  // namespace firn::tree
