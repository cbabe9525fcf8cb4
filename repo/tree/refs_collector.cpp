#include "repo/tree/refs_collector.h"

#include <algorithm>

namespace firn::tree {

namespace {

constexpr std::size_t kKnownSlots = 64;

void sort_unique(std::vector<format::ChunkId>& ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

}  // namespace

void RefsCollector::add_secret(const format::ChunkSecret& t) {
  if (last_ != nullptr && last_->t == t && !refs_.chunks.empty() && refs_.chunks.back() == last_->id) {
    return;
  }
  if (known_.empty()) {
    // An all-zero t in an empty slot would meet the wrong id, so the slots start with a right pair.
    known_.assign(kKnownSlots, Known{{}, format::chunk_id({})});
  }
  Known& slot = known_[std::hash<format::ChunkSecret>{}(t) % kKnownSlots];
  if (slot.t != t) {
    slot = Known{t, format::chunk_id(t)};
  }
  last_ = &slot;
  refs_.chunks.push_back(slot.id);
}

void RefsCollector::add_pages(const format::SlicePages& pages) {
  add_secret(pages.root);
  add_child(pages.refs);
}

Result<format::ChunkId> RefsCollector::store(PageSink& sink, PageStatistics& statistics) {
  sort_unique(refs_.chunks);
  sort_unique(refs_.children);
  FIRN_LET(const Bytes plain, format::encode(refs_));
  refs_.chunks.clear();
  refs_.children.clear();
  ++statistics.refs_pages;
  statistics.refs_bytes += plain.size();
  return sink.store_refs(plain);
}

}  // namespace firn::tree
