#include "repo/repair.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "repo/base/monitor.h"
#include "repo/base/parallel.h"
#include "repo/format/limits.h"
#include "repo/format/maintenance.h"
#include "repo/pack_trailer.h"
#include "repo/reread.h"
#include "repo/transcribe.h"
#include "repo/tree/page_walk.h"
#include "repo/tree/slice_list.h"

namespace firn::repo {
namespace {

using format::ChunkId;
using format::ChunkSecret;
using format::ChunkType;
using format::IndexedPack;
using format::IndexName;
using format::PackName;

// Some 10 MiB of index object.
constexpr std::size_t kEntriesMax = 200'000;

using PackSizes = std::map<PackName, std::uint64_t>;

bool is_damage(const Error& error) {
  return error.code == ErrorCode::Corrupt || error.code == ErrorCode::NotFound ||
         error.code == ErrorCode::Unsupported;
}

Result<PackSizes> list_packs(const Repository& repository) {
  PackSizes packs;
  for (const std::string_view prefix : {format::kDataPrefix, format::kMetaPrefix}) {
    FIRN_TRY(store::list_all(repository.store(), prefix, [&](const store::ListedObject& object) -> Result<> {
      if (const auto name = format::parse_name_as<PackName>(object.name)) {
        packs[*name] = object.size_bytes;
      }
      return {};
    }));
  }
  return packs;
}

/// An absence from a LIST is asked about before it is believed.
Result<bool> is_gone(const Repository& repository, const PackName& pack) {
  const auto size = repository.store().head(format::object_name(pack));
  if (size || size.error().code != ErrorCode::NotFound) {
    return size ? Result<bool>(false) : Result<bool>(Failure(size.error()));
  }
  return true;
}

/// The index against the trailers.
class IndexRepair {
 public:
  IndexRepair(WriteSession& session, const base::StopFlag& stop)
      : session_(session), repository_(session.repository()), stop_(stop) {}

  Result<RepairIndexReport> run() {
    // Objects first: a pack is put before the object that names it.
    FIRN_TRY(list_objects());
    FIRN_LET(packs_, list_packs(repository_));
    report_.packs = packs_.size();
    for (const IndexName& name : objects_) {
      FIRN_TRY(stop_.check());
      FIRN_TRY(judge_object(name));
    }
    FIRN_TRY(index_again());
    FIRN_TRY(remove_replaced());
    return std::move(report_);
  }

 private:
  Result<> list_objects() {
    return store::list_all(repository_.store(), format::kIndexPrefix,
                           [&](const store::ListedObject& object) -> Result<> {
                             if (const auto name = format::parse_name_as<IndexName>(object.name)) {
                               objects_.push_back(*name);
                             }
                             return {};
                           });
  }

  Result<format::IndexObject> read_object(const IndexName& name) {
    FIRN_LET(const format::OpenedObject object, repository_.get_sealed(format::object_name(name)));
    FIRN_LET(format::IndexObject index, format::parse_index(object.signed_body.body));
    if (format::session_id(index.proof) != name.session || index.proof.kid != object.signed_body.signer ||
        index.level != name.level) {
      return fail(ErrorCode::Corrupt, "was not put by the session that its name says");
    }
    return index;
  }

  Result<> judge_object(const IndexName& name) {
    auto object = read_object(name);
    if (!object && object.error().code == ErrorCode::NotFound) {
      return {};  // compacted meanwhile
    }
    if (!object && !is_damage(object.error())) {
      return Failure(std::move(object).error());
    }
    if (!object) {
      bad_.insert(name);
      unreadable_ = true;
      return {};
    }
    struct Judged {
      bool agrees = false;
      bool missing = false;
      bool without_trailer = false;
    };
    std::vector<Judged> judged(object->packs.size());
    const auto judge = [&](std::size_t i) -> Result<> {
      FIRN_TRY(stop_.check());
      const IndexedPack& pack = object->packs[i];
      const auto there = packs_.find(pack.name);
      if (there == packs_.end()) {
        FIRN_LET(const bool gone, is_gone(repository_, pack.name));
        // What maintenance dropped is listed until a compaction; that is no damage.
        judged[i].missing = gone && !session_.maintenance().condemned.contains(pack.name);
        judged[i].agrees = !judged[i].missing;
        return {};
      }
      const auto trailer = read_trailer(repository_, pack.name, there->second);
      if (!trailer && !is_damage(trailer.error())) {
        return Failure(trailer.error());
      }
      // Where the trailer is lost, the index is all that still says what lies in the pack.
      judged[i].without_trailer = !trailer;
      judged[i].agrees = !trailer || (there->second == pack.size_bytes && trailer->entries == pack.entries);
      return {};
    };
    FIRN_TRY(base::for_each_parallel(repository_.services().executor, "trailers",
                                     repository_.store().parallel_requests(), object->packs.size(), judge));
    const bool good = std::all_of(judged.begin(), judged.end(), [](const Judged& one) { return one.agrees; });
    for (std::size_t i = 0; i < judged.size(); ++i) {
      report_.packs_missing += judged[i].missing ? 1 : 0;
      if (good) {
        listed_.insert(object->packs[i].name);
        continue;
      }
      in_bad_.insert(object->packs[i].name);
      if (judged[i].without_trailer) {
        kept_.insert_or_assign(object->packs[i].name, std::move(object->packs[i]));
      }
    }
    if (!good) {
      bad_.insert(name);
    }
    return {};
  }

  /// Puts what no sound object lists into new ones, which name the bad ones as replaced.
  Result<> index_again() {
    std::vector<std::pair<PackName, std::uint64_t>> todo;
    for (const auto& [pack, size_bytes] : packs_) {
      // A condemned pack may still hold what is not copied out of it yet; but one that compaction left out
      // stays out.
      const bool wanted =
          unreadable_ || in_bad_.contains(pack) || !session_.maintenance().condemned.contains(pack);
      if (!listed_.contains(pack) && wanted) {
        todo.emplace_back(pack, size_bytes);
      }
    }
    constexpr std::size_t kBatch = 256;
    for (std::size_t begin = 0; begin < todo.size(); begin += kBatch) {
      FIRN_TRY(stop_.check());
      const std::size_t count = std::min(kBatch, todo.size() - begin);
      std::vector<Result<format::PackTrailer>> trailers(count, fail(ErrorCode::NotFound, ""));
      const auto read = [&](std::size_t i) -> Result<> {
        const auto& [pack, size_bytes] = todo[begin + i];
        trailers[i] = read_trailer(repository_, pack, size_bytes);
        if (!trailers[i] && !is_damage(trailers[i].error())) {
          return Failure(trailers[i].error());
        }
        return {};
      };
      FIRN_TRY(base::for_each_parallel(repository_.services().executor, "trailers",
                                       repository_.store().parallel_requests(), count, read));
      for (std::size_t i = 0; i < count; ++i) {
        FIRN_TRY(take(todo[begin + i], std::move(trailers[i])));
      }
    }
    // The last one names what is replaced; so it is put also when it lists nothing.
    return bad_.empty() && pending_.empty() ? Result<>() : put_pending(true);
  }

  Result<> take(const std::pair<PackName, std::uint64_t>& pack, Result<format::PackTrailer> trailer) {
    if (!trailer) {
      if (trailer.error().code != ErrorCode::NotFound) {
        report_.problems.push_back(std::move(trailer).error().message);
      }
      if (const auto kept = kept_.find(pack.first); kept != kept_.end()) {
        entries_ += kept->second.entries.size();
        pending_.push_back(std::move(kept->second));
      }
      return {};
    }
    entries_ += trailer->entries.size();
    pending_.push_back({.name = pack.first,
                        .size_bytes = static_cast<std::uint32_t>(pack.second),
                        .entries = std::move(trailer->entries)});
    report_.packs_added += 1;
    return entries_ >= kEntriesMax ? put_pending(false) : Result<>();
  }

  Result<> put_pending(bool last) {
    std::uint16_t level = 0;
    for (const IndexName& name : objects_) {
      level = std::max(level, name.level);
    }
    format::IndexObject object{.proof = session_.proof(),
                               .level = static_cast<std::uint16_t>(level + 1),
                               .replaces = {},
                               .packs = std::move(pending_)};
    if (last) {
      object.replaces.assign(bad_.begin(), bad_.end());
    }
    pending_.clear();
    entries_ = 0;
    FIRN_LET(Bytes body, format::encode(object));
    const auto name =
        format::object_name(IndexName{.level = object.level, .session = session_.id(), .n = next_n_++});
    return in(name.str(), repository_.put_sealed(name, std::move(body)).as_result());
  }

  /// After the new objects were answered, and only if nobody fenced this session.
  Result<> remove_replaced() {
    if (bad_.empty()) {
      return {};
    }
    FIRN_TRY(session_.check_not_fenced());
    for (const IndexName& name : bad_) {
      FIRN_TRY(repository_.store().remove(format::object_name(name)).as_result());
      report_.objects_replaced += 1;
    }
    return {};
  }

  WriteSession& session_;
  const Repository& repository_;
  const base::StopFlag& stop_;
  RepairIndexReport report_;
  std::vector<IndexName> objects_;
  PackSizes packs_;
  std::set<PackName> listed_;  // by objects that stay
  std::set<IndexName> bad_;
  std::set<PackName> in_bad_;             // packs that bad objects name
  bool unreadable_ = false;               // some bad object does not say what it named
  std::map<PackName, IndexedPack> kept_;  // of bad objects: packs whose trailers are lost
  std::vector<IndexedPack> pending_;
  std::size_t entries_ = 0;
  std::uint32_t next_n_ = 0;
};

/// What a damaged pack held: by its trailer, else by the index.
struct Wanted {
  ChunkType type = ChunkType::Data;
  std::optional<ChunkSecret> t;  // once some tree named it
};
using WantedChunks = std::unordered_map<ChunkId, Wanted>;

Result<WantedChunks> contents_of(ChunkReader& reader, const std::vector<PackName>& packs) {
  WantedChunks wanted;
  std::set<PackName> without_trailer;
  for (const PackName& pack : packs) {
    const auto size = reader.repository().store().head(format::object_name(pack));
    auto trailer = size ? read_trailer(reader.repository(), pack, *size)
                        : Result<format::PackTrailer>(Failure(size.error()));
    if (!trailer && !is_damage(trailer.error())) {
      return Failure(std::move(trailer).error());
    }
    if (!trailer) {
      without_trailer.insert(pack);
      continue;
    }
    for (const format::PackEntry& entry : trailer->entries) {
      wanted[entry.id].type = entry.shape.type;
    }
  }
  if (!without_trailer.empty()) {
    FIRN_TRY(reader.index().for_each_entry([&](const ChunkId& id, const index::Location& location) {
      if (without_trailer.contains(location.pack)) {
        wanted[id].type = location.shape.type;
      }
      return true;
    }));
  }
  return wanted;
}

/// Finds the capabilities of wanted chunks in the trees that the key reads.
class OpenerSearch final : public tree::PageVisitor {
 public:
  OpenerSearch(tree::PageSource& source, WantedChunks& wanted, const base::StopFlag& stop)
      : source_(source), wanted_(wanted), stop_(stop) {}

  void named(const ChunkSecret& t) {
    if (const auto found = wanted_.find(format::chunk_id(t)); found != wanted_.end()) {
      found->second.t = t;
    }
  }

  Result<bool> enter(const tree::PageAt& page) override {
    FIRN_TRY(stop_.check());
    named(page.t);
    return seen_.insert(format::chunk_id(page.t)).second;
  }
  Result<> page(const tree::PageAt& /*page*/, const format::RefsPage& /*refs*/) override { return {}; }
  Result<> entry(const format::Key& /*key*/, const format::EntryView& entry) override {
    for (const format::BlobView* blob : {&entry.content, &entry.holes, &entry.xattrs}) {
      tree::SliceListReader slices(source_, *blob);
      while (true) {
        const auto placed = slices.next();
        if (!placed && !is_damage(placed.error())) {
          return Failure(placed.error());
        }
        if (!placed || !*placed) {
          break;
        }
        named((*placed)->slice.chunk);
      }
    }
    return {};
  }
  Result<> damaged(const tree::PageAt& /*page*/, const Error& /*error*/) override { return {}; }

 private:
  tree::PageSource& source_;
  WantedChunks& wanted_;
  const base::StopFlag& stop_;
  std::unordered_set<ChunkId> seen_;
};

/// Chunks stay where they are if the new tree may rely on that; else what still opens is stored again.
class KeepingMover final : public ChunkMover {
 public:
  KeepingMover(ChunkReader& reader, WriteSession& session, unsigned tasks, const base::StopFlag& stop)
      : reader_(reader), session_(session), stop_(stop) {
    for (unsigned i = 0; i < tasks; ++i) {
      writers_.emplace_back(session);
    }
  }

  Result<ChunkSecret> move(unsigned task, const ChunkSecret& t) override {
    FIRN_TRY(stop_.check());
    const ChunkId id = format::chunk_id(t);
    FIRN_LET(const bool there, session_.may_refer(id));
    if (there) {
      return t;
    }
    FIRN_LET(const auto locations, reader_.locate(id));
    if (locations.empty()) {
      return fail(ErrorCode::NotFound, "chunk " + id.hex() + " is in no pack");
    }
    const ChunkType type = locations.front().shape.type;
    FIRN_LET(const Bytes plain, reader_.read(type, t));
    auto stored = writers_[task].store(type, plain);
    if (!stored) {
      // Not damage of what is repaired, whatever it is.
      return fail(ErrorCode::Unavailable, std::move(stored).error().message);
    }
    return stored->t;
  }

 private:
  ChunkReader& reader_;
  WriteSession& session_;
  const base::StopFlag& stop_;
  std::vector<ChunkWriter> writers_;
};

}  // namespace

Result<RepairIndexReport> repair_index(WriteSession& session, const base::StopFlag& stop) {
  return IndexRepair(session, stop).run();
}

Result<std::vector<PackName>> find_damaged_packs(const Repository& repository,
                                                 const std::vector<PackName>& candidates,
                                                 const base::StopFlag& stop) {
  std::vector<PackName> packs = candidates;
  if (packs.empty()) {
    FIRN_LET(const PackSizes all, list_packs(repository));
    for (const auto& [pack, size_bytes] : all) {
      packs.push_back(pack);
    }
  }
  base::Guarded<std::vector<PackName>> damaged;
  // Each task holds one pack.
  const unsigned tasks =
      std::min(repository.store().parallel_requests(), repository.services().executor.cpu_count());
  const auto judge = [&](std::size_t i) -> Result<> {
    FIRN_TRY(stop.check());
    const auto name = format::object_name(packs[i]);
    auto good = read_again_if_damaged([&]() -> Result<> {
      FIRN_LET(const Bytes bytes, repository.store().get(name, format::kPackBytesMax));
      FIRN_TRY(format::open_pack(repository.keys().meta(), packs[i], repository.id(), bytes));
      return {};
    });
    if (!good && good.error().code == ErrorCode::NotFound && candidates.empty()) {
      return {};
    }
    if (!good && good.error().code == ErrorCode::Corrupt) {
      damaged.lock()->push_back(packs[i]);
      return {};
    }
    return in(name.str(), std::move(good));
  };
  FIRN_TRY(base::for_each_parallel(repository.services().executor, "read packs", tasks, packs.size(), judge));
  std::vector<PackName> found = std::move(*damaged.lock());
  std::sort(found.begin(), found.end());
  return found;
}

Result<> condemn_packs(WriteSession& session, std::vector<PackName> packs) {
  const Repository& repository = session.repository();
  std::sort(packs.begin(), packs.end());
  packs.erase(std::unique(packs.begin(), packs.end()), packs.end());
  const format::Condemn condemn{
      .proof = session.proof(), .time = repository.services().clock.wall(), .packs = std::move(packs)};
  FIRN_LET(Bytes body, format::encode(condemn));
  const auto name = format::object_name(format::CondemnName{.session = session.id(), .n = 0});
  return in(name.str(), repository.put_sealed(name, std::move(body)).as_result());
}

Result<SalvageReport> salvage_packs(ChunkReader& reader, WriteSession& session,
                                    const std::vector<SnapshotInfo>& snapshots,
                                    const std::vector<PackName>& packs, const base::StopFlag& stop) {
  FIRN_LET(WantedChunks wanted, contents_of(reader, packs));
  RepositoryPages pages(reader);
  OpenerSearch search(pages, wanted, stop);
  for (const SnapshotInfo& info : snapshots) {
    const auto root = open_root(reader.repository(), info);
    if (!root && root.error().code != ErrorCode::Denied) {
      return Failure(root.error());
    }
    if (root) {
      FIRN_TRY(tree::walk_pages(
          pages, {.type = ChunkType::TreePage, .t = *root, .refs = info.snapshot.refs_root}, search));
    }
  }
  SalvageReport report;
  for (const auto& [id, chunk] : wanted) {
    FIRN_TRY(stop.check());
    const bool is_refs = chunk.type == ChunkType::RefsPage;
    if (!is_refs && !chunk.t) {
      continue;  // no snapshot that the key reads names it
    }
    report.chunks_needed += 1;
    FIRN_LET(const bool elsewhere, session.may_refer(id));
    if (elsewhere) {
      report.elsewhere += 1;
      continue;
    }
    const auto copy = is_refs ? reader.read_refs_copy(id) : reader.read_copy(chunk.type, *chunk.t);
    if (!copy && !is_damage(copy.error())) {
      return Failure(copy.error());
    }
    if (!copy) {
      report.lost += 1;
      continue;
    }
    // The same bytes: a prune, which has no key to open them, sees that nothing of the damaged pack is lost.
    FIRN_LET(const bool stored, session.copy_stored(id, copy->shape, copy->stored));
    (stored ? report.salvaged : report.elsewhere) += 1;
  }
  FIRN_TRY(session.flush());
  return report;
}

Result<> check_index_before_repair(const Repository& repository, index::ChunkIndex& index) {
  FIRN_LET(const PackSizes packs, list_packs(repository));
  std::optional<PackName> missing;
  FIRN_TRY(index.for_each_pack([&](const index::PackSummary& pack) {
    if (pack.state == index::PackState::Live && !packs.contains(pack.name)) {
      missing = pack.name;
    }
    return !missing;
  }));
  if (missing) {
    return fail(ErrorCode::Invalid, "the index lists " + format::object_name(*missing).str() +
                                        ", which is not there: run 'firn repair index' first");
  }
  return {};
}

Result<RepairedSnapshot> repair_snapshot(
    ChunkReader& reader, WriteSession& session, const SnapshotInfo& info, const base::StopFlag& stop,
    std::function<void(const std::string& path, const Error& why)> lost) {
  const Repository& repository = session.repository();
  const format::CutKey* cut = repository.keys().cut();
  if (cut == nullptr) {
    return fail(ErrorCode::Denied, "this key may not write snapshots");
  }
  FIRN_LET(const ChunkSecret root, open_root(repository, info));
  RepairedSnapshot repaired;
  const unsigned tasks = std::max(repository.services().executor.cpu_count(), 1U);
  RepositoryPages pages(reader);
  SessionPages sink(session);
  KeepingMover mover(reader, session, tasks, stop);
  Transcriber transcriber(repository.services().executor, pages, sink, format::derive_cut_seeds(*cut), mover,
                          {.tasks = tasks,
                           .keep_digests = true,
                           .keep_what_opens = true,
                           .lost = [&](const std::string& path, const Error& why) {
                             repaired.lost += 1;
                             lost(path, why);
                           }});
  FIRN_LET(const tree::WrittenTree tree, transcriber.run(root));
  repaired.root = tree.t;
  repaired.root_id = tree.id;
  repaired.refs_root = tree.refs;
  repaired.changed = tree.id != info.snapshot.root || tree.refs != info.snapshot.refs_root;
  return repaired;
}

}  // namespace firn::repo
