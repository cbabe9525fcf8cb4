#include "repo/copy.h"

#include <algorithm>
#include <array>
#include <utility>

#include "repo/base/monitor.h"
#include "repo/base/parallel.h"
#include "repo/format/limits.h"
#include "repo/format/pack.h"
#include "repo/reread.h"

namespace firn::repo {

using format::ChunkId;
using format::ChunkSecret;
using format::ObjectName;

format::SnapshotId original_of(const SnapshotInfo& info) { return info.snapshot.original.value_or(info.id); }

bool is_copy_of(const SnapshotInfo& candidate, const SnapshotInfo& info) {
  const format::Source& a = candidate.snapshot.source;
  const format::Source& b = info.snapshot.source;
  return original_of(candidate) == original_of(info) && candidate.snapshot.time == info.snapshot.time &&
         a.host == b.host && a.paths == b.paths && a.tags == b.tags;
}

/// Reads a chunk under the source's keys and stores it under the destination's.
class SnapshotCopier::Mover final : public ChunkMover {
 public:
  Mover(ChunkReader& from, WriteSession& to, unsigned tasks, const base::StopFlag& stop, Progress& progress)
      : from_(from), stop_(stop), progress_(progress) {
    for (unsigned i = 0; i < tasks; ++i) {
      writers_.emplace_back(to);
    }
  }

  Result<ChunkSecret> move(unsigned task, const ChunkSecret& t) override {
    if (stop_.requested()) {
      return fail(ErrorCode::Cancelled, "stopped");
    }
    const ChunkId id = format::chunk_id(t);
    FIRN_LET(const auto locations, from_.locate(id));
    if (locations.empty()) {
      return fail(ErrorCode::NotFound, "chunk " + id.hex() + " is in no pack");
    }
    const format::ChunkType type = locations.front().shape.type;
    FIRN_LET(const Bytes plain, from_.read(type, t));
    auto stored = writers_[task].store(type, plain);
    if (!stored && stored.error().code != ErrorCode::Cancelled) {
      // Not the source's damage, whatever it is.
      return fail(ErrorCode::Unavailable, "the destination: " + stored.error().message);
    }
    FIRN_LET(const StoredChunk chunk, std::move(stored));
    progress_.chunks += 1;
    progress_.bytes += plain.size();
    return chunk.t;
  }

 private:
  ChunkReader& from_;
  const base::StopFlag& stop_;
  Progress& progress_;
  std::vector<ChunkWriter> writers_;
};

SnapshotCopier::SnapshotCopier(ChunkReader& from, WriteSession& to, unsigned tasks,
                               const base::StopFlag& stop, Progress& progress)
    : from_(from),
      to_(to),
      pages_(from),
      sink_(to),
      mover_(std::make_unique<Mover>(from, to, std::max(tasks, 1U), stop, progress)) {
  const format::CutKey* cut = to.repository().keys().cut();
  transcriber_ = std::make_unique<Transcriber>(
      to.repository().services().executor, pages_, sink_,
      cut != nullptr ? format::derive_cut_seeds(*cut) : format::CutSeeds{}, *mover_,
      TranscribeOptions{
          .tasks = std::max(tasks, 1U), .keep_digests = false, .keep_what_opens = false, .lost = {}});
}

SnapshotCopier::~SnapshotCopier() = default;

Result<format::SnapshotId> SnapshotCopier::copy(const SnapshotInfo& info) {
  if (to_.repository().keys().cut() == nullptr) {
    return fail(ErrorCode::Denied, "the destination's key may not write snapshots");
  }
  FIRN_LET(const ChunkSecret root, open_root(from_.repository(), info));
  FIRN_LET(const tree::WrittenTree tree, transcriber_->run(root));
  format::Snapshot snapshot = info.snapshot;
  snapshot.original = original_of(info);
  snapshot.parent.reset();  // of the other repository
  snapshot.root = tree.id;
  snapshot.refs_root = tree.refs;
  return to_.commit(std::move(snapshot), tree.t);
}

// ---- mirror

namespace {

constexpr std::uint64_t kObjectBytesMax =
    std::max<std::uint64_t>(format::kPackBytesMax, format::kSealedObjectBytesMax);

Result<std::vector<store::ListedObject>> list_of(store::ObjectStore& store, std::string_view prefix) {
  std::vector<store::ListedObject> objects;
  FIRN_TRY(store::list_all(store, prefix, [&](const store::ListedObject& object) -> Result<> {
    objects.push_back(object);
    return {};
  }));
  return objects;
}

/// What of `all` the other place lacks, or holds with another size.
Result<std::vector<store::ListedObject>> missing_of(std::vector<store::ListedObject> all,
                                                    store::ObjectStore& to, std::string_view prefix) {
  FIRN_LET(const auto there, list_of(to, prefix));
  std::vector<store::ListedObject> missing;
  auto at = there.begin();
  for (store::ListedObject& object : all) {
    at = std::lower_bound(at, there.end(), object.name,
                          [](const auto& a, const ObjectName& name) { return a.name < name; });
    if (at == there.end() || at->name != object.name || at->size_bytes != object.size_bytes) {
      missing.push_back(std::move(object));
    }
  }
  return missing;
}

struct Mirror {
  const Repository& from;
  store::ObjectStore& to;
  const base::StopFlag& stop;
  const std::function<void(const MirrorReport&)>& progress;
  base::Guarded<MirrorReport> report;
  base::Guarded<std::uint64_t> vanished;

  Result<> copy_one(const ObjectName& name) {
    if (stop.requested()) {
      return fail(ErrorCode::Cancelled, "stopped");
    }
    auto bytes = read_object(name);
    if (!bytes && bytes.error().code == ErrorCode::NotFound) {
      *vanished.lock() += 1;
      return {};
    }
    if (!bytes) {
      return Failure(std::move(bytes).error());
    }
    FIRN_TRY(in(name.str(), to.put(name, *bytes).as_result()));
    auto now = report.lock();
    now->objects += 1;
    now->bytes += bytes->size();
    if (progress) {
      progress(*now);
    }
    return {};
  }

  /// The object as it lies there: what does not open is read again, lest a bad link damages the mirror, and
  /// then taken as it is.
  Result<Bytes> read_object(const ObjectName& name) {
    Bytes bytes;
    auto opened = read_again_if_damaged([&]() -> Result<> {
      bytes.clear();
      FIRN_LET(bytes, from.store().get(name, kObjectBytesMax));
      return open(name, bytes);
    });
    return opened || !bytes.empty() ? Result<Bytes>(std::move(bytes)) : Failure(std::move(opened).error());
  }

  Result<> open(const ObjectName& name, ByteView bytes) {
    const auto parsed = format::parse_name(name);
    if (const auto* pack = parsed ? std::get_if<format::PackName>(&*parsed) : nullptr) {
      FIRN_TRY(format::verify_pack_name(*pack, from.id(), bytes));
    } else if (name.str().starts_with(format::kConfigPrefix) || name.str().starts_with(format::kKeysPrefix)) {
      FIRN_TRY(from.keys().verify_clear(name, bytes));
    } else if (!name.str().starts_with(format::kCapsPrefix)) {
      FIRN_TRY(from.open_sealed(name, bytes));
    } else {
      FIRN_LET(const format::SignedBody object, format::parse_clear_object(name, bytes));
      return from.keys().signed_by_who_may(name, object) ? Result<>() : fail(ErrorCode::Corrupt, "signature");
    }
    return {};
  }

  /// Objects that `listed` holds and the other place lacks.
  Result<> copy_listed(std::vector<store::ListedObject> listed, std::string_view prefix) {
    const std::size_t count = listed.size();
    FIRN_LET(const auto missing, missing_of(std::move(listed), to, prefix));
    report.lock()->present += count - missing.size();
    return base::for_each_parallel(from.services().executor, "mirror",
                                   std::min(from.store().parallel_requests(), to.parallel_requests()),
                                   missing.size(), [&](std::size_t i) { return copy_one(missing[i].name); });
  }
  Result<> copy_all(std::string_view prefix) {
    FIRN_LET(auto listed, list_of(from.store(), prefix));
    return copy_listed(std::move(listed), prefix);
  }
};

/// The other place is empty, or its configuration is this repository's.
Result<> check_same(const Repository& from, store::ObjectStore& to) {
  auto configs = list_of(to, format::kConfigPrefix);
  if (!configs) {
    return Failure(std::move(configs).error());
  }
  for (const store::ListedObject& object : *configs) {
    FIRN_LET(const Bytes bytes, to.get(object.name, format::kClearObjectBytesMax));
    if (!from.keys().verify_clear(object.name, bytes)) {
      return fail(ErrorCode::Invalid, to.describe() +
                                          " holds another repository: only a copy without --mirror can go "
                                          "there");
    }
  }
  if (!configs->empty()) {
    return {};
  }
  for (const std::string_view prefix : {format::kSnapshotsPrefix, format::kIndexPrefix}) {
    FIRN_LET(const store::ListPage page, to.list(prefix, {}, 1));
    if (page.objects.empty()) {
      continue;
    }
    // A mirror that was interrupted: its objects open here.
    if (!from.get_sealed(page.objects.front().name)) {
      return fail(ErrorCode::Invalid, to.describe() + " holds objects that are not of this repository");
    }
  }
  return {};
}

}  // namespace

Result<MirrorReport> mirror_repository(const Repository& from, store::ObjectStore& to,
                                       const base::StopFlag& stop,
                                       const std::function<void(const MirrorReport&)>& progress) {
  FIRN_TRY(check_same(from, to));
  Mirror mirror{.from = from, .to = to, .stop = stop, .progress = progress, .report = {}, .vanished = {}};
  // Snapshots are listed before the packs that they need, and copied after them.
  FIRN_LET(auto snapshots, list_of(from.store(), format::kSnapshotsPrefix));
  FIRN_LET(auto indexes, list_of(from.store(), format::kIndexPrefix));
  FIRN_TRY(mirror.copy_all(format::kDataPrefix));
  FIRN_TRY(mirror.copy_all(format::kMetaPrefix));
  if (*mirror.vanished.lock() > 0) {
    return fail(ErrorCode::Changed,
                "maintenance removed packs while they were copied: run again (what was copied stays)");
  }
  FIRN_TRY(mirror.copy_listed(std::move(indexes), format::kIndexPrefix));
  FIRN_TRY(mirror.copy_listed(std::move(snapshots), format::kSnapshotsPrefix));
  for (const std::string_view prefix :
       {format::kKeysPrefix, format::kCapsPrefix, format::kFencePrefix, format::kSealPrefix,
        format::kUnionPrefix, format::kCondemnPrefix, format::kForgetPrefix, format::kConfigPrefix}) {
    FIRN_TRY(mirror.copy_all(prefix));
  }
  return *mirror.report.lock();
}

}  // namespace firn::repo
