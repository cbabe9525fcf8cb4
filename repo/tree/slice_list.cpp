#include "repo/tree/slice_list.h"

#include <utility>
#include <vector>

#include "repo/base/check.h"
#include "repo/format/slice_page.h"
#include "repo/tree/page_levels.h"
#include "repo/tree/page_place.h"
#include "repo/tree/refs_collector.h"

namespace firn::tree {

struct SliceListWriter::State {
  State(PageSink& page_sink, std::uint64_t seed)
      : sink(page_sink), leaf(seed), levels(page_sink, seed, format::ChunkType::SlicePage, statistics) {}

  Result<> add_to_leaf(const format::Slice& slice);
  Result<> end_leaf();

  PageSink& sink;
  PageStatistics statistics;
  std::uint64_t length = 0;
  std::vector<format::Slice> short_list;  // until it is too long for an entry
  bool paged = false;
  format::SlicePageWriter leaf;
  RefsCollector refs;
  PageLevels<format::SliceInnerWriter, format::SlicePages> levels;
};

Result<> SliceListWriter::State::add_to_leaf(const format::Slice& slice) {
  using Added = format::LeafPageWriter::Added;
  Added added = leaf.add(slice);
  if (added == Added::No) {
    FIRN_TRY(end_leaf());
    added = leaf.add(slice);
    FIRN_CHECK(added != Added::No);
  }
  refs.add_secret(slice.chunk);
  return added == Added::Full ? end_leaf() : Result<>();
}

Result<> SliceListWriter::State::end_leaf() {
  format::SlicePage page = leaf.take();
  ++statistics.leaf_pages;
  statistics.page_bytes += page.bytes.size();
  FIRN_LET(const StoredPage stored, sink.store_page(format::ChunkType::SlicePage, page.bytes));
  FIRN_LET(const format::ChunkId twin, refs.store(sink, statistics));
  return levels.add_leaf({parent_record(std::move(page), stored, twin), stored.id});
}

SliceListWriter::SliceListWriter(PageSink& sink, const format::CutSeeds& seeds)
    : state_(std::make_unique<State>(sink, seeds.page)) {}
SliceListWriter::SliceListWriter(SliceListWriter&&) noexcept = default;
SliceListWriter::~SliceListWriter() = default;

Result<> SliceListWriter::add(const format::Slice& slice) {
  State& state = *state_;
  FIRN_CHECK(slice.length > 0);
  state.length += slice.length;
  if (!state.paged && state.short_list.size() < format::kEntrySlicesMax) {
    state.short_list.push_back(slice);
    return {};
  }
  if (!state.paged) {
    state.paged = true;
    for (const format::Slice& earlier : state.short_list) {
      FIRN_TRY(state.add_to_leaf(earlier));
    }
    state.short_list.clear();
  }
  return state.add_to_leaf(slice);
}

std::uint64_t SliceListWriter::length() const { return state_->length; }

Result<format::Blob> SliceListWriter::finish() {
  State& state = *state_;
  format::Blob blob;
  if (state.paged) {
    if (!state.leaf.empty()) {
      FIRN_TRY(state.end_leaf());
    }
    FIRN_LET(const auto top, state.levels.finish());
    blob.form = format::BlobForm::Pages;
    blob.pages = top.page.record;
  } else if (!state.short_list.empty()) {
    blob.form = format::BlobForm::Slices;
    blob.slices = std::exchange(state.short_list, {});
  }
  state.paged = false;
  state.length = 0;
  return blob;
}

const PageStatistics& SliceListWriter::pages() const { return state_->statistics; }

struct SliceListReader::State {
  /// An open page: what its parent said of it, and how far it was read.
  template <class Reader>
  struct Open {
    Bytes bytes;
    Reader reader;
    format::SlicePages named;
    std::uint64_t begin = 0;  // position of its first byte in the content
    std::uint64_t done = 0;   // bytes of its slices or children that were read

    std::string place() const { return slice_page_place(named.root, begin); }
    Failure damaged(const char* what) const { return fail(ErrorCode::Corrupt, place() + ": " + what); }
    /// Counts the next record and gives the position of its first byte.
    Result<std::uint64_t> take(std::uint64_t length) {
      if (length > named.length - done) {
        return damaged("holds more bytes than the page above says");
      }
      done += length;
      return begin + done - length;
    }
    Result<> end() const {
      if (done != named.length) {
        return damaged("holds fewer bytes than the page above says");
      }
      return {};
    }
  };

  State(PageSource& page_source, std::uint64_t first_byte) : source(page_source), offset(first_byte) {}

  Result<std::optional<PlacedSlice>> next_of_short_list();
  Result<std::optional<PlacedSlice>> next_of_leaf();
  Result<> open_next_page();
  Result<> open_page(const format::SlicePages& named, std::uint64_t begin);

  PageSource& source;
  const std::uint64_t offset;
  std::vector<format::Slice> short_list;
  std::size_t at = 0;
  std::uint64_t position = 0;
  std::optional<format::SlicePages> root;  // until it is opened
  std::vector<Open<format::SliceInnerReader>> inner;
  std::optional<Open<format::SlicePageReader>> leaf;
};

Result<std::optional<PlacedSlice>> SliceListReader::State::next_of_short_list() {
  while (at < short_list.size()) {
    const PlacedSlice placed{short_list[at++], position};
    position += placed.slice.length;
    if (position > offset) {
      return placed;
    }
  }
  return std::nullopt;
}

/// Nothing when the leaf ends.
Result<std::optional<PlacedSlice>> SliceListReader::State::next_of_leaf() {
  PlacedSlice placed;
  for (;;) {
    FIRN_LET(const bool more, at_page(leaf->reader.next(placed.slice), [&] { return leaf->place(); }));
    if (!more) {
      FIRN_TRY(leaf->end());
      leaf.reset();
      return std::nullopt;
    }
    FIRN_LET(placed.position, leaf->take(placed.slice.length));
    if (placed.position + placed.slice.length > offset) {
      return placed;
    }
  }
}

/// Opens one page, or leaves one.
Result<> SliceListReader::State::open_next_page() {
  if (root) {
    const format::SlicePages named = *root;
    root.reset();
    return named.length > offset ? open_page(named, 0) : Result<>();
  }
  auto& top = inner.back();
  format::SlicePages child;
  FIRN_LET(const bool more, at_page(top.reader.next(child), [&] { return top.place(); }));
  if (!more) {
    FIRN_TRY(top.end());
    inner.pop_back();
    return {};
  }
  FIRN_LET(const std::uint64_t begin, top.take(child.length));
  return begin + child.length > offset ? open_page(child, begin) : Result<>();
}

Result<> SliceListReader::State::open_page(const format::SlicePages& named, std::uint64_t begin) {
  const auto place = [&] { return slice_page_place(named.root, begin); };
  FIRN_LET(Bytes bytes, at_page(source.read_page(format::ChunkType::SlicePage, named.root), place));
  FIRN_LET(const std::uint8_t level, at_page(format::page_level(bytes), place));
  if (!inner.empty() && level + 1 != inner.back().reader.level()) {
    return fail(ErrorCode::Corrupt, place() + ": stands at the wrong level");
  }
  if (level == 0) {
    FIRN_LET(auto reader, at_page(format::SlicePageReader::open(bytes), place));
    leaf.emplace(Open<format::SlicePageReader>{std::move(bytes), reader, named, begin});
  } else {
    FIRN_LET(auto reader, at_page(format::SliceInnerReader::open(bytes), place));
    inner.push_back({std::move(bytes), reader, named, begin});
  }
  return {};
}

SliceListReader::SliceListReader(PageSource& source, const format::BlobView& blob, std::uint64_t offset)
    : state_(std::make_unique<State>(source, offset)) {
  if (blob.form == format::BlobForm::Slices) {
    for (const format::Slice& slice : blob.slices) {
      state_->short_list.push_back(slice);
    }
  } else if (blob.form == format::BlobForm::Pages) {
    state_->root = blob.pages;
  }
}

SliceListReader::SliceListReader(PageSource& source, const format::Blob& blob, std::uint64_t offset)
    : state_(std::make_unique<State>(source, offset)) {
  if (blob.form == format::BlobForm::Slices) {
    state_->short_list = blob.slices;
  } else if (blob.form == format::BlobForm::Pages) {
    state_->root = blob.pages;
  }
}

SliceListReader::SliceListReader(SliceListReader&&) noexcept = default;
SliceListReader::~SliceListReader() = default;

Result<std::optional<PlacedSlice>> SliceListReader::next() {
  State& state = *state_;
  if (!state.short_list.empty()) {
    return state.next_of_short_list();
  }
  for (;;) {
    if (state.leaf) {
      FIRN_LET(const auto placed, state.next_of_leaf());
      if (placed) {
        return placed;
      }
    }
    if (!state.root && state.inner.empty()) {
      return std::nullopt;
    }
    FIRN_TRY(state.open_next_page());
  }
}

}  // namespace firn::tree
