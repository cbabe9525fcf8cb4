#include "repo/maintenance_mark.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace firn::repo {
namespace {

using format::ChunkId;

constexpr kv::TableId kSeenPages{0};
constexpr std::size_t kBufferBytes = 64 << 10;
static_assert(kBufferBytes % ChunkId::kBytes == 0);
// A transaction of the local store keeps what it changed in memory until it ends.
constexpr unsigned kChangesMax = 4096;

/// Appends ids to a scratch file, each once.
class IdWriter {
 public:
  explicit IdWriter(base::ScratchFile& file) : file_(file) {}
  Result<> add(const ChunkId& id) {
    if (count_ > 0 && id == last_) {
      return {};
    }
    last_ = id;
    count_ += 1;
    append(buffer_, id.bytes);
    return buffer_.size() >= kBufferBytes ? flush() : Result<>();
  }
  Result<> flush() {
    FIRN_TRY(file_.append(buffer_));
    buffer_.clear();
    return {};
  }
  std::uint64_t count() const { return count_; }

 private:
  base::ScratchFile& file_;
  Bytes buffer_;
  ChunkId last_;
  std::uint64_t count_ = 0;
};

ChunkId id_of(ByteView record) {
  ChunkId id;
  std::copy_n(record.begin(), ChunkId::kBytes, id.bytes.begin());
  return id;
}

}  // namespace

Result<IdList> IdList::merge(base::Scratch& scratch, base::RecordSorter& more, const IdList* known) {
  IdList merged;
  FIRN_LET(merged.file_, scratch.create());
  IdWriter writer(*merged.file_);
  const IdList none;
  Reader old(known != nullptr ? *known : none);
  FIRN_LET(const ChunkId* old_id, old.next());
  while (true) {
    FIRN_LET(const ByteView record, more.next());
    while (old_id != nullptr && (record.empty() || *old_id < id_of(record))) {
      FIRN_TRY(writer.add(*old_id));
      FIRN_LET(old_id, old.next());
    }
    if (record.empty()) {
      break;
    }
    FIRN_TRY(writer.add(id_of(record)));
    if (old_id != nullptr && *old_id == id_of(record)) {
      FIRN_LET(old_id, old.next());
    }
  }
  FIRN_TRY(writer.flush());
  merged.count_ = writer.count();
  return merged;
}

Result<const ChunkId*> IdList::Reader::next() {
  if (at_ == buffer_.size()) {
    const std::uint64_t left = list_.count_ * ChunkId::kBytes - offset_;
    if (left == 0) {
      return nullptr;
    }
    buffer_.resize(std::min<std::uint64_t>(left, kBufferBytes));
    FIRN_TRY(list_.file_->read_at(offset_, buffer_));
    offset_ += buffer_.size();
    at_ = 0;
  }
  id_ = id_of(ByteView(buffer_).subspan(at_, ChunkId::kBytes));
  at_ += ChunkId::kBytes;
  return &id_;
}

Marker::Marker(base::Scratch& scratch, kv::Environment& seen, ChunkReader& reader, std::size_t memory_bytes,
               const base::StopFlag& stop)
    : scratch_(scratch), seen_(seen), pages_(reader), memory_bytes_(memory_bytes), stop_(stop) {}

Marker::~Marker() = default;

Result<bool> Marker::enter(const ChunkId& refs_page) {
  FIRN_TRY(stop_.check());
  if (!txn_) {
    FIRN_LET(txn_, seen_.begin_write());
  }
  FIRN_LET(const auto known, txn_->get(kSeenPages, refs_page.bytes));
  if (known) {
    return false;
  }
  FIRN_TRY(txn_->put(kSeenPages, refs_page.bytes, {}));
  if (++changes_ == kChangesMax) {
    changes_ = 0;
    auto committed = txn_->commit();
    txn_.reset();
    FIRN_TRY(std::move(committed));
  }
  FIRN_TRY(add(refs_page));
  return true;
}

Result<> Marker::chunk(const ChunkId& id) { return add(id); }

Result<> Marker::add(const ChunkId& id) {
  if (!more_) {
    more_ = std::make_unique<base::RecordSorter>(scratch_, ChunkId::kBytes, memory_bytes_);
  }
  return more_->add(id.bytes);
}

Result<> Marker::mark(const SnapshotInfo& snapshot) {
  FIRN_TRY(add(snapshot.snapshot.root));
  auto walked = tree::walk_refs(pages_, snapshot.snapshot.refs_root, *this);
  changes_ = 0;
  auto txn = std::move(txn_);
  FIRN_TRY(in(shown(snapshot), std::move(walked)));
  return txn ? txn->commit() : Result<>();
}

Result<const IdList*> Marker::ids() {
  if (more_ || !ids_) {
    if (!more_) {
      more_ = std::make_unique<base::RecordSorter>(scratch_, ChunkId::kBytes, memory_bytes_);
    }
    FIRN_TRY(more_->finish());
    FIRN_LET(IdList merged, IdList::merge(scratch_, *more_, ids_ ? &*ids_ : nullptr));
    ids_ = std::move(merged);
    more_.reset();
  }
  return &*ids_;
}

std::string shown(const SnapshotInfo& snapshot) {
  return "snapshot " + snapshot.id.hex().substr(0, 8) + " of key " + snapshot.snapshot.proof.kid.hex();
}

namespace {

constexpr std::size_t kSeenWhoMax = 1 << 18;

/// Looks for some chunks below a snapshot's refs.
class Searcher final : public tree::RefsVisitor {
 public:
  Searcher(const std::set<ChunkId>& missing, const base::StopFlag& stop) : missing_(missing), stop_(stop) {}

  Result<bool> enter(const ChunkId& refs_page) override {
    FIRN_TRY(stop_.check());
    look(refs_page);
    // Pages beyond what is remembered are read again: this is for the one message of a run that failed.
    return seen_.size() >= kSeenWhoMax ? !seen_.contains(refs_page) : seen_.insert(refs_page).second;
  }
  Result<> chunk(const ChunkId& id) override {
    look(id);
    return {};
  }
  void look(const ChunkId& id) {
    if (missing_.contains(id)) {
      found_.insert(id);
    }
  }
  std::set<ChunkId> take() { return std::exchange(found_, {}); }

 private:
  const std::set<ChunkId>& missing_;
  const base::StopFlag& stop_;
  std::unordered_set<ChunkId> seen_;
  std::set<ChunkId> found_;
};

}  // namespace

Result<std::vector<std::string>> who_needs(const std::vector<SnapshotInfo>& snapshots, ChunkReader& reader,
                                           const std::set<ChunkId>& missing, const base::StopFlag& stop) {
  RepositoryPages pages(reader);
  std::vector<std::string> lines;
  std::set<ChunkId> told;
  Searcher searcher(missing, stop);
  for (const SnapshotInfo& snapshot : snapshots) {
    searcher.look(snapshot.snapshot.root);
    FIRN_TRY(in(shown(snapshot), tree::walk_refs(pages, snapshot.snapshot.refs_root, searcher)));
    for (const ChunkId& id : searcher.take()) {
      if (told.insert(id).second) {
        lines.push_back(shown(snapshot) + ": needs chunk " + id.hex() + ", which is in no pack of the index");
      }
    }
  }
  return lines;
}

}  // namespace firn::repo
