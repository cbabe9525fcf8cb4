#include "repo/check.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "repo/check_findings.h"
#include "repo/check_objects.h"
#include "repo/check_packs.h"
#include "repo/check_trees.h"
#include "repo/object_cache.h"
#include "repo/pack_trailer.h"
#include "repo/snapshots.h"

namespace firn::repo {
namespace {

using format::ChunkSecret;
using format::SessionId;

constexpr std::string_view kScratchName = "check";
constexpr std::uint64_t kScratchBytesMax = 16ULL << 30;
constexpr std::chrono::hours kSessionOpenLong{24 * 3};
constexpr std::chrono::hours kCertificateNearEnd{24 * 14};

/// One check, step by step.
class Check {
 public:
  Check(const Repository& repository, index::ChunkIndex& index, ObjectCache& cache, kv::LocalKv& state,
        const CheckOptions& options, const base::StopFlag& stop, CheckProgress& progress,
        const std::function<void(const Finding&)>& found)
      : repository_(repository),
        index_(index),
        cache_(cache),
        state_(state),
        options_(options),
        stop_(stop),
        progress_(progress),
        findings_(found) {}

  Result<CheckReport> run() {
    // No cache: what counts is what the store holds now.
    FIRN_LET(uncached_, ObjectCache::open(repository_, nullptr));
    FIRN_LET(const ObjectsChecked objects, check_objects(repository_, stop_, findings_));
    report_.suggest_repair_index = !objects.bad_indexes.empty();
    FIRN_TRY(sync_without(objects.bad_indexes));
    FIRN_LET(lists_,
             list_packs(
                 repository_, index_, options_.memory_bytes / 2, [this] { return sync(); }, findings_));
    report_.suggest_repair_index = report_.suggest_repair_index || !lists_.bad.empty();
    FIRN_TRY(check_leftovers());
    hint_at_keys();
    FIRN_TRY(check_trees());
    findings_.tell_defects();
    report_.errors = findings_.errors();
    report_.broken_packs = findings_.broken_packs();
    return std::move(report_);
  }

 private:
  Result<> sync() {
    MaintenanceProblems ignored;  // told by check_objects()
    FIRN_LET(maintenance_, load_maintenance(repository_, *uncached_, &ignored));
    FIRN_TRY(sync_index(repository_, maintenance_, index_));
    return {};
  }

  /// The local index may have taken an object before it was damaged: others cannot, so it counts no more.
  Result<> sync_without(const std::set<format::IndexName>& bad) {
    FIRN_TRY(sync());
    if (bad.empty()) {
      return {};
    }
    FIRN_LET(auto update, index_.begin_update());
    for (const format::IndexName& name : bad) {
      FIRN_TRY(update->forget_object(name));
    }
    return update->commit();
  }

  /// Sessions that have ended, and those that may still be running.
  struct Sessions {
    std::set<SessionId> open;
    std::set<SessionId> ended;
  };
  Result<Sessions> list_sessions() {
    Sessions sessions;
    const base::WallTime now = repository_.services().clock.wall();
    FIRN_TRY(store::list_all(repository_.store(), format::kSessionsPrefix,
                             [&](const store::ListedObject& object) -> Result<> {
                               const auto name = format::parse_name(object.name);
                               if (name && std::holds_alternative<format::EndName>(*name)) {
                                 sessions.ended.insert(std::get<format::EndName>(*name).session);
                               } else if (name && std::holds_alternative<format::SessionName>(*name)) {
                                 sessions.open.insert(std::get<format::SessionName>(*name).session);
                                 stored_[std::get<format::SessionName>(*name).session] = object.stored;
                               }
                               return {};
                             }));
    for (const SessionId& id : sessions.ended) {
      sessions.open.erase(id);
    }
    for (const SessionId& id : sessions.open) {
      const auto age = std::chrono::nanoseconds(now.nanoseconds - stored_[id].nanoseconds);
      if (age > kSessionOpenLong && !maintenance_.fenced.contains(id)) {
        findings_.tell(Finding::Kind::Hint,
                       "sessions/" + id.hex() + ": is open since " +
                           std::to_string(std::chrono::duration_cast<std::chrono::hours>(age).count() / 24) +
                           " days; prune will close it if its process is gone");
      }
    }
    return sessions;
  }

  /// Packs that no index object names, unless the session that put them may still be about to name them.
  Result<> check_leftovers() {
    FIRN_LET(const Sessions sessions, list_sessions());
    if (!lists_.unlisted.empty()) {
      FIRN_TRY(sync());
    }
    std::uint64_t count = lists_.unlisted_count - lists_.unlisted.size();
    std::uint64_t bytes = 0;
    std::string first;
    for (const ExistingPack& pack : lists_.unlisted) {
      FIRN_TRY(stop_.check());
      FIRN_LET(const bool listed_since, index_.contains_pack(pack.name));
      if (listed_since || maintenance_.condemned.contains(pack.name)) {
        continue;
      }
      FIRN_LET(const auto session, session_of(pack));
      if (session && sessions.open.contains(*session) && !maintenance_.fenced.contains(*session)) {
        continue;
      }
      if (first.empty()) {
        first = format::object_name(pack.name).str();
      }
      count += 1;
      bytes += pack.size_bytes;
    }
    if (count > 0) {
      findings_.tell(Finding::Kind::Leftover,
                     std::to_string(count) + (count == 1 ? " pack of " : " packs of ") +
                         std::to_string(bytes) + " bytes in no index, left by a session that ended: " +
                         first + (count == 1 ? "" : " and others") + "; prune removes them");
    }
    FIRN_LET(const std::uint64_t dead, count_dead_snapshots(repository_, maintenance_));
    if (dead > 0) {
      findings_.tell(Finding::Kind::Leftover,
                     (dead == 1 ? "1 snapshot that is" : std::to_string(dead) + " snapshots that are") +
                         " forgotten or void; prune removes what is left of them");
    }
    report_.suggest_prune = count > 0 || dead > 0;
    return {};
  }

  /// Who put a pack, as its trailer says; nothing when it does not open.
  Result<std::optional<SessionId>> session_of(const ExistingPack& pack) {
    auto trailer = read_trailer(repository_, pack.name, pack.size_bytes);
    if (trailer) {
      return std::optional(trailer->session);
    }
    if (trailer.error().code == ErrorCode::Corrupt || trailer.error().code == ErrorCode::NotFound ||
        trailer.error().code == ErrorCode::Unsupported) {
      return std::nullopt;
    }
    return Failure(std::move(trailer).error());
  }

  void hint_at_keys() {
    const base::WallTime now = repository_.services().clock.wall();
    for (const KnownKey& key : repository_.keys().keys()) {
      const std::int64_t end = key.cert.not_after.nanoseconds;
      if (key.revoked || end == INT64_MAX) {
        continue;
      }
      const auto left = std::chrono::nanoseconds(end - now.nanoseconds);
      if (end > now.nanoseconds && left < kCertificateNearEnd) {
        findings_.tell(Finding::Kind::Hint, "key " + key.kid.hex() + ": its certificate ends in " +
                                                std::to_string(left / std::chrono::hours(24)) + " days");
      }
    }
  }

  /// The trees, the packs, and then the trees again for what is damaged.
  Result<> check_trees() {
    FIRN_LET(const SnapshotList list, list_snapshots(repository_, *uncached_, maintenance_));
    for (const std::string& problem : list.problems) {
      findings_.tell(Finding::Kind::Damage, problem);
    }
    FIRN_TRY(state_.remove(kScratchName));
    FIRN_LET(scratch_, state_.open(kScratchName, {.size_bytes_max = kScratchBytesMax, .durable = false}));
    auto checked = check_trees_of(list);
    scratch_.reset();
    auto removed = state_.remove(kScratchName);
    FIRN_TRY(std::move(checked));
    return removed;
  }

  Result<> check_trees_of(const SnapshotList& list) {
    const bool reads_data = options_.data.kind != DataSubset::Kind::None;
    base::RecordSorter wanted(repository_.services().scratch, kWantedBytes, options_.memory_bytes / 4);
    ChunkReader reader(repository_, index_, cache_);
    TreeCheck trees({.repository = repository_,
                     .index = index_,
                     .reader = reader,
                     .findings = findings_,
                     .scratch = *scratch_,
                     .bad_packs = lists_.bad,
                     .wanted = reads_data ? &wanted : nullptr,
                     .sync = [this] { return sync(); },
                     .stop = stop_});
    progress_.snapshots_total += list.snapshots.size();
    std::vector<std::optional<ChunkSecret>> roots;
    report_.contents_opened = repository_.keys().content() != nullptr;
    for (const SnapshotInfo& snapshot : list.snapshots) {
      roots.push_back(open_root_of(snapshot));
      report_.contents_opened = report_.contents_opened && roots.back().has_value();
      FIRN_TRY(in("snapshot " + snapshot.id.hex().substr(0, 8), trees.check(snapshot, roots.back())));
      progress_.snapshots_done += 1;
    }
    trees.finish();
    if (reads_data) {
      FIRN_TRY(wanted.finish());
      FIRN_LET(const PacksRead read, read_packs(
                                         repository_, index_, lists_, wanted,
                                         {.subset = options_.data, .memory_bytes = options_.memory_bytes / 2},
                                         [this] { return sync(); }, stop_, progress_, findings_));
      report_.packs_read = read.packs;
      report_.chunks_opened = read.chunks_opened;
      report_.suggest_repair_index = report_.suggest_repair_index || read.index_disagrees;
    }
    for (std::size_t i = 0; findings_.any_blamed() && i < list.snapshots.size(); ++i) {
      FIRN_TRY(trees.trace(list.snapshots[i], roots[i]));
    }
    return {};
  }

  std::optional<ChunkSecret> open_root_of(const SnapshotInfo& snapshot) {
    auto root = open_root(repository_, snapshot);
    if (root) {
      return *root;
    }
    if (root.error().code != ErrorCode::Denied) {
      findings_.tell(Finding::Kind::Damage, "snapshot " + snapshot.id.hex().substr(0, 8) +
                                                ": its capability does not open: " + root.error().message);
    } else if (repository_.keys().can(format::Role::Reader)) {
      findings_.tell(Finding::Kind::Hint, std::move(root).error().message);
    }
    return std::nullopt;
  }

  const Repository& repository_;
  index::ChunkIndex& index_;
  ObjectCache& cache_;
  kv::LocalKv& state_;
  const CheckOptions& options_;
  const base::StopFlag& stop_;
  CheckProgress& progress_;
  CheckFindings findings_;
  std::unique_ptr<ObjectCache> uncached_;
  MaintenanceView maintenance_;
  PackLists lists_;
  std::map<SessionId, base::WallTime> stored_;
  std::unique_ptr<kv::Environment> scratch_;
  CheckReport report_;
};

}  // namespace

Result<CheckReport> check_repository(const Repository& repository, index::ChunkIndex& index,
                                     ObjectCache& cache, kv::LocalKv& state, const CheckOptions& options,
                                     const base::StopFlag& stop, CheckProgress& progress,
                                     const std::function<void(const Finding&)>& found) {
  return Check(repository, index, cache, state, options, stop, progress, found).run();
}

}  // namespace firn::repo
