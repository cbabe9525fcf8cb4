#include "repo/tree/tree_writer.h"

#include <utility>

#include "repo/base/check.h"
#include "repo/format/page.h"
#include "repo/tree/page_levels.h"
#include "repo/tree/refs_collector.h"

namespace firn::tree {

struct TreeWriter::State {
  State(PageSink& page_sink, std::uint64_t seed)
      : sink(page_sink), leaf(seed), levels(page_sink, seed, format::ChunkType::TreePage, statistics) {}

  template <class EntryLike>
  Result<> add(std::string_view directory, const EntryLike& entry);
  Result<> end_leaf();

  PageSink& sink;
  PageStatistics statistics;
  std::uint64_t entries = 0;
  format::LeafPageWriter leaf;
  RefsCollector refs;
  Bytes last_key_before;  // of the leaf page before the open one
  PageLevels<format::InnerPageWriter, format::ChildPage> levels;
};

template <class EntryLike>
Result<> TreeWriter::State::add(std::string_view directory, const EntryLike& entry) {
  using Added = format::LeafPageWriter::Added;
  FIRN_LET(Added added, leaf.add(directory, entry));
  if (added == Added::No) {
    FIRN_TRY(end_leaf());
    FIRN_LET(added, leaf.add(directory, entry));
    FIRN_CHECK(added != Added::No);
  }
  ++entries;
  refs.add_blob(entry.content);
  refs.add_blob(entry.holes);
  refs.add_blob(entry.xattrs);
  return added == Added::Full ? end_leaf() : Result<>();
}

Result<> TreeWriter::State::end_leaf() {
  format::LeafPage page = leaf.take();
  Bytes separator;
  if (statistics.leaf_pages > 0) {
    separator = format::shortest_separator(last_key_before, page.first_key);
  }
  last_key_before = std::move(page.last_key);
  ++statistics.leaf_pages;
  statistics.page_bytes += page.bytes.size();
  FIRN_LET(const StoredPage stored, sink.store_page(format::ChunkType::TreePage, page.bytes));
  FIRN_LET(const format::ChunkId twin, refs.store(sink, statistics));
  return levels.add_leaf({{std::move(separator), stored.t, twin}, stored.id});
}

TreeWriter::TreeWriter(PageSink& sink, const format::CutSeeds& seeds)
    : state_(std::make_unique<State>(sink, seeds.page)) {}
TreeWriter::TreeWriter(TreeWriter&&) noexcept = default;
TreeWriter::~TreeWriter() = default;

Result<> TreeWriter::add(std::string_view directory, const format::Entry& entry) {
  return state_->add(directory, entry);
}

Result<> TreeWriter::add(std::string_view directory, const format::EntryView& entry) {
  return state_->add(directory, entry);
}

Result<WrittenTree> TreeWriter::finish() {
  State& state = *state_;
  if (state.entries == 0) {
    return fail(ErrorCode::Invalid, "a snapshot without any entry");
  }
  if (!state.leaf.empty()) {
    FIRN_TRY(state.end_leaf());
  }
  FIRN_LET(auto top, state.levels.finish());
  return WrittenTree{top.page.record.page, top.page.id,   top.page.record.refs,
                     top.levels,           state.entries, state.statistics};
}

}  // namespace firn::tree
