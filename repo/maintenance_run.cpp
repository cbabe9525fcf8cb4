#include "repo/maintenance_run.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <tuple>
#include <utility>

#include "repo/base/task_group.h"
#include "repo/format/limits.h"
#include "repo/maintenance_copy.h"
#include "repo/maintenance_tidy.h"
#include "repo/pack_trailer.h"

namespace firn::repo {
namespace {

using format::ChunkId;
using format::CondemnName;
using format::ObjectName;
using format::PackName;
using format::SessionId;
using format::SnapshotId;

constexpr std::string_view kSeenName = "prune";
constexpr std::uint64_t kSeenBytesMax = 16ULL << 30;
constexpr std::chrono::hours kSilentAfter{2};
constexpr std::chrono::seconds kWaitEvery{5};
constexpr std::size_t kCondemnPacksMax = 100'000;  // of one record
constexpr std::uint64_t kCatalogSnapshotBytesMax = 8U << 20;
constexpr std::size_t kGoneMax = 500'000;
constexpr std::size_t kLinesMax = 20;
constexpr std::size_t kReaderWindowBytes = 8U << 20;

std::chrono::nanoseconds since(base::WallTime then, base::WallTime now) {
  return std::chrono::nanoseconds(now.nanoseconds - then.nanoseconds);
}

std::string shown(const SessionId& id, const OpenSession& session) {
  std::string line = "session " + id.hex();
  if (session.marker) {
    line += " of " + session.marker->host;
    if (!session.marker->node.empty() && session.marker->node != session.marker->host) {
      line += ", node " + session.marker->node;
    }
    line += ", process " + std::to_string(session.marker->pid);
  }
  return line;
}

}  // namespace

MaintenanceRun::MaintenanceRun(const Parts& parts) : parts_(parts) {}
MaintenanceRun::~MaintenanceRun() = default;

template <class Name, class Record>
Result<> MaintenanceRun::put(const Name& name, const Record& record) {
  const ObjectName object_name = format::object_name(name);
  FIRN_LET(Bytes body, format::encode(record));
  return in(object_name.str(), parts_.repository.put_sealed(object_name, std::move(body)).as_result());
}

Result<MaintenanceReport> MaintenanceRun::run() {
  const MaintenanceSteps& steps = parts_.steps;
  FIRN_TRY(open_session());
  FIRN_TRY(choose());
  if (parts_.options.dry_run) {
    FIRN_TRY(foretell());
    return std::move(report_);
  }
  if (!stopped_) {
    if (steps.condemn_before_list) {
      FIRN_TRY(condemn());
      FIRN_TRY(list_open_sessions());
    } else {
      FIRN_TRY(list_open_sessions());
      FIRN_TRY(condemn());
    }
    if (!steps.fence_before_list) {
      FIRN_TRY(list_live_snapshots());
    }
    FIRN_TRY(fence_dead());
    FIRN_TRY(wait_for_live());
    FIRN_TRY(list_snapshots_and_index());
    FIRN_TRY(seal_fenced());
    FIRN_TRY(mark());
  }
  if (!stopped_) {
    FIRN_TRY(find_droppable());
    FIRN_TRY(copy_needed());
  }
  if (!stopped_) {
    FIRN_TRY(check_before_deleting());
    FIRN_TRY(delete_packs());
    FIRN_TRY(tidy());
  }
  report_waiting();
  session_->end();
  return std::move(report_);
}

// ---- 0: a session of its own, so that other runs wait for this one, or fence it

Result<> MaintenanceRun::open_session() {
  SessionOptions options;
  options.kind = format::SessionKind::Maintenance;
  options.process = parts_.options.process;
  options.dry_run = parts_.options.dry_run;
  options.pack_memory_bytes = parts_.options.memory_bytes / 2;
  FIRN_LET(session_,
           WriteSession::open(parts_.repository, parts_.index, parts_.cache, parts_.state, options));
  if (!parts_.steps.own_session) {
    static_cast<void>(
        parts_.repository.store().remove(format::object_name(format::SessionName{session_->id()})));
  }
  for (const std::string& line : session_->index_problems().lines) {
    report_.problems.push_back(line + ": run 'firn repair index'");
  }
  reader_ = std::make_unique<ChunkReader>(parts_.repository, parts_.index, parts_.cache, kReaderWindowBytes);
  return begin_marking();
}

bool MaintenanceRun::is_own(const SessionId& session) const { return session == session_->id(); }

Result<MaintenanceRecords> MaintenanceRun::records() { return load_records(parts_.repository, parts_.cache); }

/// Every snapshot that counts. One that was listed and is not there must be dead by what maint/ says.
Result<> MaintenanceRun::list_live_snapshots() {
  FIRN_LET(snapshots_, list_snapshots(parts_.repository, parts_.cache, records_.view));
  if (!snapshots_.vanished.empty()) {
    FIRN_LET(const MaintenanceView now, load_maintenance(parts_.repository, parts_.cache));
    for (const format::SnapshotName& name : snapshots_.vanished) {
      if (!now.forgotten.contains(format::snapshot_id(name)) && !now.is_void(name)) {
        return fail(ErrorCode::Unavailable, format::object_name(name).str() +
                                                ": was listed, and is not there although nobody forgot it; "
                                                "nothing was dropped: run again");
      }
    }
  }
  if (parts_.options.dry_run) {
    std::erase_if(snapshots_.snapshots, [&](const SnapshotInfo& snapshot) {
      return parts_.options.as_if_forgotten.contains(snapshot.id);
    });
  }
  for (const std::string& problem : snapshots_.problems) {
    report_.problems.push_back(problem +
                               "; nothing was dropped: forget this snapshot, or restore the object");
    stopped_ = true;
  }
  report_.snapshots = snapshots_.snapshots.size();
  return {};
}

/// A marker that has seen nothing.
Result<> MaintenanceRun::begin_marking() {
  marker_.reset();
  seen_.reset();
  FIRN_TRY(parts_.state.remove(kSeenName));
  FIRN_LET(seen_, parts_.state.open(kSeenName, {.size_bytes_max = kSeenBytesMax, .durable = false}));
  marker_ = std::make_unique<Marker>(parts_.repository.services().scratch, *seen_, *reader_,
                                     parts_.options.memory_bytes / 8, parts_.stop);
  return {};
}

bool MaintenanceRun::is_dead(const SnapshotInfo& snapshot) const {
  return records_.view.forgotten.contains(snapshot.id) || records_.view.is_void(snapshot.snapshot.name);
}

Result<> MaintenanceRun::mark_snapshots() {
  parts_.progress.phase = "marking";
  parts_.progress.done = 0;
  parts_.progress.total = snapshots_.snapshots.size();
  std::vector<SnapshotInfo>& snapshots = snapshots_.snapshots;
  for (std::size_t at = 0; at < snapshots.size();) {
    auto marked = marker_->mark(snapshots[at]);
    if (marked) {
      at += 1;
      parts_.progress.done += 1;
      continue;
    }
    if (marked.error().code != ErrorCode::Corrupt && marked.error().code != ErrorCode::NotFound) {
      return marked;
    }
    // Forgotten since it was listed, and pruned by another run? The marker has been to pages whose children
    // it did not see, so it begins anew.
    FIRN_LET(records_.view, load_maintenance(parts_.repository, parts_.cache));
    if (!is_dead(snapshots[at])) {
      report_.problems.push_back(std::move(marked).error().message +
                                 "; nothing was dropped: run 'firn repair index', or forget this snapshot");
      stopped_ = true;
      return {};
    }
    snapshots.erase(snapshots.begin() + static_cast<std::ptrdiff_t>(at));
    FIRN_TRY(begin_marking());
    at = 0;
  }
  return {};
}

/// Chunks in no pack. That is nobody's loss if only snapshots need them that are dead by now.
Result<> MaintenanceRun::complain_of_missing(const std::set<ChunkId>& missing, std::uint64_t count) {
  FIRN_LET(records_.view, load_maintenance(parts_.repository, parts_.cache));
  std::erase_if(snapshots_.snapshots, [&](const SnapshotInfo& snapshot) { return is_dead(snapshot); });
  FIRN_LET(std::vector<std::string> lines, who_needs(snapshots_.snapshots, *reader_, missing, parts_.stop));
  if (lines.empty() && count == missing.size()) {
    return {};
  }
  stopped_ = true;
  lines.resize(std::min(lines.size(), kLinesMax));
  for (std::string& line : lines) {
    report_.problems.push_back(std::move(line));
  }
  report_.problems.push_back(std::to_string(count) + (count == 1 ? " chunk is" : " chunks are") +
                             " missing; nothing was dropped: run 'firn repair index', or forget these "
                             "snapshots");
  return {};
}

// ---- what A condemns

Result<> MaintenanceRun::choose() {
  FIRN_LET(records_, records());
  condemned_at_plan_ = records_.view.condemned;
  FIRN_TRY(list_live_snapshots());
  if (stopped_) {
    return {};
  }
  std::optional<SessionList> sessions;
  const auto is_abandoned = [&](const DoomedPack& pack) -> Result<bool> {
    if (!session_->index_problems().lines.empty()) {
      return false;  // it may stand in an object that does not open
    }
    if (!sessions) {
      // After the packs were listed: who put them is in here, or over, or has indexed them by now.
      FIRN_LET(sessions, list_sessions(parts_.repository, parts_.cache));
      sessions->open.erase(session_->id());
      FIRN_TRY(sync_index(parts_.repository, records_.view, parts_.index));
    }
    FIRN_LET(const bool indexed, parts_.index.contains_pack(pack.name));
    if (indexed) {
      return false;
    }
    if (sessions->open.empty()) {
      return true;
    }
    const auto trailer = read_trailer(parts_.repository, pack.name, pack.size_bytes);
    return trailer && !sessions->open.contains(trailer->session);
  };
  for (int attempt = 0; attempt < 2; ++attempt) {
    // After the snapshots: what they name was indexed before they were put.
    FIRN_TRY(sync_index(parts_.repository, records_.view, parts_.index));
    FIRN_TRY(mark_snapshots());
    if (stopped_) {
      return {};
    }
    FIRN_LET(const IdList* needed, marker_->ids());
    parts_.progress.phase = "choosing packs";
    FIRN_LET(plan_, make_plan({.repository = parts_.repository,
                               .index = parts_.index,
                               .needed = *needed,
                               .condemned = records_.view.condemned,
                               .is_abandoned = is_abandoned,
                               .max_unused = parts_.options.max_unused,
                               .repack_bytes_max = parts_.options.repack_bytes_max,
                               .memory_bytes = parts_.options.memory_bytes,
                               .stop = parts_.stop}));
    if (plan_.missing_count == 0) {
      break;
    }
  }
  report_.counts = plan_.counts;
  report_.more = plan_.more;
  if (plan_.missing_count > 0) {
    return complain_of_missing(plan_.missing, plan_.missing_count);
  }
  return {};
}

// ---- A: condemn. From here on no new view relies on these packs

Result<> MaintenanceRun::condemn() {
  parts_.progress.phase = "condemning";
  for (const auto& [name, record] : records_.condemned) {
    before_list_.insert(name);
  }
  const std::vector<PackName>& all = plan_.condemn;
  for (std::size_t at = 0; at < all.size(); at += kCondemnPacksMax) {
    const std::size_t end = std::min(all.size(), at + kCondemnPacksMax);
    const CondemnName name{.session = session_->id(), .n = static_cast<std::uint32_t>(own_condemn_.size())};
    const format::Condemn record{.proof = session_->proof(),
                                 .time = parts_.repository.services().clock.wall(),
                                 .packs = {all.begin() + static_cast<std::ptrdiff_t>(at),
                                           all.begin() + static_cast<std::ptrdiff_t>(end)}};
    FIRN_TRY(put(name, record));
    own_condemn_.push_back(name);
    before_list_.insert(name);
  }
  return {};
}

// ---- B: who may rely on what was condemned by now. After A: whoever opens later reads the condemnation

Result<> MaintenanceRun::list_open_sessions() {
  FIRN_LET(sessions_, list_sessions(parts_.repository, parts_.cache));
  if (!sessions_.open.contains(session_->id()) && parts_.steps.own_session) {
    return fail(ErrorCode::Unavailable,
                "the store's LIST does not show this run's own session: nothing was dropped");
  }
  for (const auto& [id, session] : sessions_.open) {
    if (!is_own(id)) {
      open_at_list_.insert(id);
    }
  }
  FIRN_LET(listed_, parts_.repository.store().now());
  return {};
}

// ---- C: fence what is provably dead. It is always safe, and costs the fenced one a retry

std::optional<format::FenceReason> MaintenanceRun::why_dead(const OpenSession& session,
                                                            base::WallTime now) const {
  const MaintenanceOptions& options = parts_.options;
  if (session.marker) {
    const format::SessionMarker& marker = *session.marker;
    const bool same_machine =
        !marker.machine.is_zero() && marker.machine == options.process.machine && !marker.boot.is_zero();
    if (same_machine && !options.process.boot.is_zero() && marker.boot != options.process.boot) {
      return format::FenceReason::OtherBoot;
    }
    if (same_machine && marker.boot == options.process.boot && marker.pid_namespace != 0 &&
        marker.pid_namespace == options.process.pid_namespace && marker.pid != 0 && options.process_is_gone &&
        options.process_is_gone(marker.pid, marker.process_start)) {
      return format::FenceReason::NoProcess;
    }
    if (!marker.node.empty() && options.node_is_gone && options.node_is_gone(marker.node)) {
      return format::FenceReason::NodeGone;
    }
  }
  if (since(session.last_sign, now) >= kSilentAfter) {
    return format::FenceReason::Silent;
  }
  return std::nullopt;
}

Result<> MaintenanceRun::put_fence(const SessionId& session, format::FenceReason reason) {
  const format::Fence fence{.proof = session_->proof(),
                            .session = session,
                            .reason = reason,
                            .time = parts_.repository.services().clock.wall()};
  auto fenced = put(format::FenceName{session}, fence);
  if (!fenced && fenced.error().code != ErrorCode::Exists) {
    return fenced;
  }
  // Exists: another run was first, for reasons of its own.
  records_.view.fenced.insert(session);
  report_.sessions_fenced += fenced ? 1 : 0;
  return {};
}

Result<> MaintenanceRun::fence_dead() {
  FIRN_LET(records_, records());
  if (!parts_.steps.fence) {
    return {};
  }
  FIRN_LET(const base::WallTime now, parts_.repository.store().now());
  for (const auto& [id, session] : sessions_.open) {
    if (is_own(id) || records_.view.fenced.contains(id)) {
      continue;
    }
    if (const auto reason = why_dead(session, now)) {
      FIRN_TRY(put_fence(id, *reason));
    }
  }
  return {};
}

Result<> MaintenanceRun::wait_for_live() {
  if (parts_.options.wait <= std::chrono::seconds(0)) {
    return {};
  }
  parts_.progress.phase = "waiting for live sessions";
  base::Executor& executor = parts_.repository.services().executor;
  const base::SteadyTime deadline = executor.clock().steady() + parts_.options.wait;
  // What stood still since when, by this process's own monotonic clock.
  std::map<SessionId, std::pair<base::WallTime, base::SteadyTime>> signs;
  while (true) {
    FIRN_TRY(parts_.stop.check());
    bool any_live = false;
    const base::SteadyTime now = executor.clock().steady();
    for (const SessionId& id : open_at_list_) {
      const auto session = sessions_.open.find(id);
      if (session == sessions_.open.end() || records_.view.fenced.contains(id)) {
        continue;
      }
      auto& [last_sign, since_when] = signs.try_emplace(id, session->second.last_sign, now).first->second;
      if (last_sign != session->second.last_sign) {
        last_sign = session->second.last_sign;
        since_when = now;
      }
      if (now - since_when >= kSilentAfter) {
        FIRN_TRY(put_fence(id, format::FenceReason::Silent));
      } else {
        any_live = true;
      }
    }
    if (!any_live || now >= deadline) {
      return {};
    }
    executor.sleep_for(std::min<std::chrono::nanoseconds>(kWaitEvery, deadline - now));
    FIRN_LET(sessions_, list_sessions(parts_.repository, parts_.cache));
    FIRN_TRY(fence_dead());
  }
}

// ---- D: what there is, after B and C: whatever the sessions of B committed and was acknowledged is in here

Result<> MaintenanceRun::list_snapshots_and_index() {
  parts_.progress.phase = "listing";
  // Over before the snapshots are listed: by its own word, or fenced and sealed.
  ended_ = sessions_.ended;
  for (const auto& [id, seal] : records_.view.sealed) {
    if (records_.view.fenced.contains(id)) {
      ended_.insert(id);
    }
  }
  fenced_before_list_ = records_.view.fenced;
  catalogs_ = records_.catalogs;
  if (parts_.steps.list_snapshots && parts_.steps.fence_before_list) {
    FIRN_TRY(list_live_snapshots());
  }
  if (parts_.steps.sync_index) {
    FIRN_TRY(sync_index(parts_.repository, records_.view, parts_.index));
  }
  // Last: what catalogs and records say must explain what the lists lack; and a survivor must be in none of
  // these condemn records.
  FIRN_LET(records_, records());
  FIRN_LET(auto update, parts_.index.begin_update());
  for (const PackName& pack : records_.view.condemned) {
    FIRN_TRY(update->condemn(pack));
  }
  return update->commit();
}

// ---- E: what of a fenced session was not seen by then is void for ever

Result<> MaintenanceRun::put_seal(const SessionId& session) {
  format::Seal seal{.proof = session_->proof(),
                    .session = session,
                    .time = parts_.repository.services().clock.wall(),
                    .snapshots = {}};
  for (const format::SnapshotName& name : snapshots_.listed) {
    if (name.session == session) {
      seal.snapshots.push_back(format::snapshot_id(name));
    }
  }
  std::sort(seal.snapshots.begin(), seal.snapshots.end());
  FIRN_TRY(put(format::SealName{.session = session, .run = session_->id()}, seal));
  records_.view.sealed.try_emplace(session,
                                   std::set<SnapshotId>(seal.snapshots.begin(), seal.snapshots.end()));
  return {};
}

Result<> MaintenanceRun::seal_fenced() {
  for (const SessionId& id : open_at_list_) {
    if (!fenced_before_list_.contains(id) || ended_.contains(id)) {
      continue;
    }
    if (parts_.steps.seal && !records_.view.sealed.contains(id)) {
      FIRN_TRY(put_seal(id));
    }
    ended_.insert(id);
  }
  return {};
}

// ---- F: mark, and copy out

Result<> MaintenanceRun::mark() { return parts_.steps.mark ? mark_snapshots() : Result<>(); }

bool MaintenanceRun::has_ended(const SessionId& session) const { return ended_.contains(session); }

/// May packs of this record go? Once every session of one LIST that came after it has ended.
bool MaintenanceRun::barrier_passed(const CondemnName& condemn) const {
  if (!parts_.steps.wait_for_sessions) {
    return true;
  }
  const auto all_ended = [&](const auto& sessions) {
    return std::all_of(sessions.begin(), sessions.end(), [&](const SessionId& id) { return has_ended(id); });
  };
  if (before_list_.contains(condemn) && all_ended(open_at_list_)) {
    return true;
  }
  for (const auto& [name, catalog] : records_.catalogs) {
    for (const format::Barrier& barrier : catalog.barriers) {
      if (std::binary_search(barrier.condemned.begin(), barrier.condemned.end(), condemn) &&
          all_ended(barrier.open)) {
        return true;
      }
    }
  }
  return false;
}

Result<> MaintenanceRun::find_droppable() {
  FIRN_LET(const base::WallTime now, parts_.repository.store().now());
  const std::chrono::seconds delay =
      parts_.options.delete_after.value_or(parts_.repository.store().deletion_delay());
  std::vector<bool> may_go(plan_.doomed.size());
  for (const auto& [name, record] : records_.condemned) {
    if (!barrier_passed(name)) {
      continue;
    }
    const bool ripe = delay <= std::chrono::seconds(0) || since(record.stored, now) >= delay;
    if (!ripe) {
      const base::WallTime free_from{record.stored.nanoseconds + std::chrono::nanoseconds(delay).count()};
      report_.free_from = std::max(report_.free_from.value_or(free_from), free_from);
      continue;
    }
    for (const PackName& pack : record.packs) {
      const auto doomed = std::lower_bound(plan_.doomed.begin(), plan_.doomed.end(), pack,
                                           [](const DoomedPack& d, const PackName& p) { return d.name < p; });
      if (doomed != plan_.doomed.end() && doomed->name == pack) {
        may_go[static_cast<std::size_t>(doomed - plan_.doomed.begin())] = true;
      }
    }
  }
  for (std::size_t i = 0; i < may_go.size(); ++i) {
    if (may_go[i]) {
      droppable_.push_back(plan_.doomed[i]);
    }
  }
  return {};
}

/// Which doomed packs hold something needed, as the index says, and which of them the only copy.
Result<> MaintenanceRun::find_sole_copies() {
  needed_by_index_.clear();
  std::set<PackName> sole;
  std::set<ChunkId> missing;
  std::uint64_t missing_count = 0;
  std::vector<std::pair<ChunkId, PackName>> elsewhere;  // in a condemned pack that is not among the doomed
  const auto is_doomed = [&](const PackName& pack) {
    const auto found = std::lower_bound(plan_.doomed.begin(), plan_.doomed.end(), pack,
                                        [](const DoomedPack& d, const PackName& p) { return d.name < p; });
    return found != plan_.doomed.end() && found->name == pack;
  };
  const auto miss = [&](const ChunkId& id) {
    missing_count += 1;
    if (missing.size() < kMissingMax) {
      missing.insert(id);
    }
  };
  FIRN_LET(const IdList* needed, marker_->ids());
  IdCursor cursor(*needed);
  ChunkId current;
  std::vector<PackName> condemned;
  bool live = false;
  bool any = false;
  const auto settle = [&] {
    if (any && !live) {
      bool found = false;
      for (const PackName& pack : condemned) {
        if (is_doomed(pack)) {
          sole.insert(pack);
          found = true;
        }
      }
      if (!found && elsewhere.size() < kMissingMax) {
        elsewhere.emplace_back(current, condemned.front());
      }
    }
    condemned.clear();
    live = false;
    any = false;
  };
  Result<> done;
  FIRN_TRY(parts_.index.for_each_entry([&](const ChunkId& id, const index::Location& location) {
    if (any && id != current) {
      settle();
    }
    auto hit = cursor.advance_to(id, miss);
    if (!hit) {
      done = Failure(std::move(hit).error());
      return false;
    }
    if (*hit) {
      current = id;
      any = true;
      const bool is_live = location.state == index::PackState::Live;
      live = live || is_live;
      if (!is_live) {
        condemned.push_back(location.pack);
        if (is_doomed(location.pack)) {
          needed_by_index_.insert(location.pack);
        }
      }
    }
    return true;
  }));
  FIRN_TRY(std::move(done));
  settle();
  FIRN_TRY(cursor.finish(miss));
  for (const auto& [id, pack] : elsewhere) {
    // Condemned by another run since the packs were listed, unless it is lost.
    const auto size = parts_.repository.store().head(format::object_name(pack));
    if (!size && size.error().code == ErrorCode::NotFound) {
      miss(id);
    } else if (!size) {
      return Failure(Error(size.error()));
    }
  }
  to_copy_ = droppable_;
  for (const DoomedPack& pack : plan_.doomed) {
    if (sole.contains(pack.name)) {
      to_copy_.push_back(pack);
    }
  }
  std::sort(to_copy_.begin(), to_copy_.end());
  to_copy_.erase(std::unique(to_copy_.begin(), to_copy_.end()), to_copy_.end());
  return missing_count > 0 ? complain_of_missing(missing, missing_count) : Result<>();
}

Result<> MaintenanceRun::copy_needed() {
  FIRN_TRY(find_sole_copies());
  if (stopped_) {
    return {};
  }
  FIRN_LET(const IdList* needed, marker_->ids());
  FIRN_LET(const Copied copied, copy_out({.repository = parts_.repository,
                                          .index = parts_.index,
                                          .session = *session_,
                                          .needed = *needed,
                                          .packs = to_copy_,
                                          .needed_by_index = needed_by_index_,
                                          .steps = parts_.steps,
                                          .memory_bytes = parts_.options.memory_bytes,
                                          .stop = parts_.stop,
                                          .progress = parts_.progress}));
  std::erase_if(droppable_, [&](const DoomedPack& pack) { return copied.kept.contains(pack.name); });
  report_.problems.insert(report_.problems.end(), copied.problems.begin(), copied.problems.end());
  return {};
}

// ---- G: look once more, then delete

Result<> MaintenanceRun::check_catalogs() {
  std::set<format::SnapshotName> listed(snapshots_.listed.begin(), snapshots_.listed.end());
  FIRN_LET(const std::set<format::IndexName> indexes, parts_.index.applied());
  std::set<ObjectName> gone;
  for (const auto* catalogs : {&catalogs_, &records_.catalogs}) {
    for (const auto& [name, catalog] : *catalogs) {
      for (const format::GoneObject& object : catalog.gone) {
        gone.insert(object.name);
      }
    }
  }
  const auto unexplained = [](const format::CatalogName& catalog, const ObjectName& object) {
    return fail(ErrorCode::Corrupt, object.str() + ": " + format::object_name(catalog).str() +
                                        " saw it, and now it is neither listed nor explained; nothing was "
                                        "dropped: run 'firn check'");
  };
  for (const auto& [name, catalog] : catalogs_) {
    for (const format::SnapshotName& snapshot : catalog.snapshots) {
      const bool dead =
          records_.view.forgotten.contains(format::snapshot_id(snapshot)) || records_.view.is_void(snapshot);
      if (!listed.contains(snapshot) && !dead) {
        return unexplained(name, format::object_name(snapshot));
      }
    }
    for (const format::IndexName& object : catalog.indexes) {
      if (!indexes.contains(object) && !gone.contains(format::object_name(object))) {
        return unexplained(name, format::object_name(object));
      }
    }
  }
  return {};
}

Result<> MaintenanceRun::check_before_deleting() {
  if (parts_.steps.check_own_fence) {
    FIRN_TRY(session_->check_not_fenced());
  }
  return parts_.steps.check_catalogs ? check_catalogs() : Result<>();
}

Result<> MaintenanceRun::remove_all(const std::vector<ObjectName>& names) {
  base::Executor& executor = parts_.repository.services().executor;
  std::atomic<std::size_t> next{0};
  std::atomic<std::uint64_t> removed{0};
  base::TaskGroup group(executor);
  const unsigned tasks = std::clamp<unsigned>(parts_.repository.store().parallel_requests(), 1, 16);
  for (unsigned i = 0; i < std::min<std::size_t>(tasks, names.size()); ++i) {
    group.spawn("delete", [&]() -> Result<> {
      for (std::size_t at = next++; at < names.size() && !parts_.stop.requested(); at = next++) {
        removed += parts_.repository.store().remove(names[at]).done() ? 1 : 0;
      }
      return {};
    });
  }
  FIRN_TRY(group.join());
  report_.objects_removed += removed;
  return parts_.stop.check();
}

Result<> MaintenanceRun::delete_packs() {
  parts_.progress.phase = "deleting packs";
  parts_.progress.done = 0;
  parts_.progress.total = droppable_.size();
  base::Executor& executor = parts_.repository.services().executor;
  std::atomic<std::size_t> next{0};
  base::Guarded<std::vector<DoomedPack>> done;
  base::Guarded<std::vector<std::string>> refusals;
  base::TaskGroup group(executor);
  const unsigned tasks = std::clamp<unsigned>(parts_.repository.store().parallel_requests(), 1, 16);
  for (unsigned i = 0; i < std::min<std::size_t>(tasks, droppable_.size()); ++i) {
    group.spawn("delete", [&]() -> Result<> {
      for (std::size_t at = next++; at < droppable_.size() && !parts_.stop.requested(); at = next++) {
        // Refused (object lock) or unanswered: the next run tries again.
        const auto outcome = parts_.repository.store().remove(format::object_name(droppable_[at].name));
        if (outcome.done()) {
          done.lock()->push_back(droppable_[at]);
        } else if (!outcome.unknown() && outcome.why().code == ErrorCode::Denied) {
          refusals.lock()->push_back(outcome.why().message);
        }
        parts_.progress.done += 1;
      }
      return {};
    });
  }
  FIRN_TRY(group.join());
  for (const DoomedPack& pack : *done.lock()) {
    deleted_.insert(pack.name);
    report_.packs_deleted += 1;
    report_.bytes_deleted += pack.size_bytes;
  }
  if (auto refused = refusals.lock(); !refused->empty()) {
    report_.waiting_for.push_back(
        "the store, which refuses to delete " + std::to_string(refused->size()) +
        " of these packs (object lock, or a right that is missing): " + refused->front());
  }
  if (!parts_.steps.keep_condemned) {
    for (const auto& [name, record] : records_.condemned) {
      static_cast<void>(parts_.repository.store().remove(format::object_name(name)));
    }
  }
  return parts_.stop.check();
}

// ---- H: compact, fold, leave a catalog, and only then delete what that explains

std::vector<ObjectName> MaintenanceRun::dead_snapshots() const {
  std::vector<ObjectName> names;
  for (const format::SnapshotName& name : snapshots_.listed) {
    if (records_.view.forgotten.contains(format::snapshot_id(name)) || records_.view.is_void(name)) {
      names.push_back(format::object_name(name));
    }
  }
  return names;
}

std::vector<ObjectName> MaintenanceRun::ended_markers() const {
  std::vector<ObjectName> names;
  for (const auto& [id, objects] : sessions_.objects) {
    const bool over = has_ended(id) || sessions_.leftover.contains(id) || !parts_.steps.markers_of_ended_only;
    if (over && !is_own(id)) {
      names.insert(names.end(), objects.begin(), objects.end());
    }
  }
  return names;
}

Result<> MaintenanceRun::put_catalog(std::vector<format::GoneObject> gone) {
  format::Catalog catalog{.proof = session_->proof(),
                          .sequence = 0,
                          .time = parts_.repository.services().clock.wall(),
                          .supersedes = {},
                          .snapshots = {},
                          .indexes = {},
                          .barriers = {},
                          .gone = std::move(gone),
                          .retained = {}};
  // Records none of whose packs exist need no barrier any more.
  std::set<PackName> left;
  for (const DoomedPack& pack : plan_.doomed) {
    if (!deleted_.contains(pack.name)) {
      left.insert(pack.name);
    }
  }
  const auto matters = [&](const CondemnName& name) {
    const auto record = records_.condemned.find(name);
    return !before_list_.contains(name) || record == records_.condemned.end() ||
           std::any_of(record->second.packs.begin(), record->second.packs.end(),
                       [&](const PackName& pack) { return left.contains(pack); });
  };
  const auto inherit = [&](const format::Barrier& barrier) {
    format::Barrier mine{.time = barrier.time, .condemned = {}, .open = {}};
    std::copy_if(barrier.condemned.begin(), barrier.condemned.end(), std::back_inserter(mine.condemned),
                 matters);
    std::copy_if(barrier.open.begin(), barrier.open.end(), std::back_inserter(mine.open),
                 [&](const SessionId& id) { return !has_ended(id); });
    if (!mine.condemned.empty()) {
      catalog.barriers.push_back(std::move(mine));
    }
  };
  for (const auto& [name, seen] : records_.catalogs) {
    catalog.sequence = std::max(catalog.sequence, name.sequence);
    catalog.supersedes.push_back(name);
    catalog.gone.insert(catalog.gone.end(), seen.gone.begin(), seen.gone.end());
    std::for_each(seen.barriers.begin(), seen.barriers.end(), inherit);
  }
  inherit({.time = listed_,
           .condemned = {before_list_.begin(), before_list_.end()},
           .open = {open_at_list_.begin(), open_at_list_.end()}});
  catalog.sequence += 1;
  constexpr std::size_t kBarriersMax = 64;
  if (catalog.barriers.size() > kBarriersMax) {
    catalog.barriers.erase(catalog.barriers.begin(),
                           catalog.barriers.end() - static_cast<std::ptrdiff_t>(kBarriersMax));
  }
  std::sort(catalog.gone.begin(), catalog.gone.end(),
            [](const auto& a, const auto& b) { return std::tie(a.name, b.time) < std::tie(b.name, a.time); });
  catalog.gone.erase(std::unique(catalog.gone.begin(), catalog.gone.end(),
                                 [](const auto& a, const auto& b) { return a.name == b.name; }),
                     catalog.gone.end());
  if (catalog.gone.size() > kGoneMax) {
    catalog.gone.resize(kGoneMax);
  }
  FIRN_LET(const std::set<format::IndexName> indexes, parts_.index.applied());
  catalog.indexes.assign(indexes.begin(), indexes.end());
  std::uint64_t bytes = 0;
  for (auto snapshot = snapshots_.snapshots.rbegin(); snapshot != snapshots_.snapshots.rend(); ++snapshot) {
    const format::SnapshotName& name = snapshot->snapshot.name;
    if (is_dead(*snapshot)) {
      continue;
    }
    const ObjectName object_name = format::object_name(name);
    const auto object = parts_.cache.get(object_name);
    if (!object) {
      continue;  // the header helps readers; without it they read the snapshot
    }
    bytes += object->signed_body.body.size();
    if (bytes > kCatalogSnapshotBytesMax) {
      break;
    }
    catalog.snapshots.push_back(
        {.name = object_name, .stored = snapshot->stored, .signed_body = object->signed_body});
  }
  std::sort(catalog.snapshots.begin(), catalog.snapshots.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return put(format::CatalogName{.sequence = catalog.sequence, .run = session_->id()}, catalog);
}

Result<> MaintenanceRun::tidy() {
  parts_.progress.phase = "compacting the index";
  std::set<format::IndexName> cataloged;
  std::set<ObjectName> known_gone;
  for (const auto& [name, catalog] : records_.catalogs) {
    cataloged.insert(catalog.indexes.begin(), catalog.indexes.end());
    for (const format::GoneObject& object : catalog.gone) {
      known_gone.insert(object.name);
    }
  }
  const auto is_open = [&](const SessionId& id) {
    return is_own(id) || (sessions_.open.contains(id) && !has_ended(id));
  };
  std::set<PackName> left;
  for (const DoomedPack& pack : plan_.doomed) {
    if (!deleted_.contains(pack.name)) {
      left.insert(pack.name);
    }
  }
  // Condemned before the packs were listed, and not among them; or deleted by this run.
  const auto is_gone = [&](const PackName& pack) {
    return deleted_.contains(pack) || (condemned_at_plan_.contains(pack) && !left.contains(pack));
  };
  FIRN_LET(Replaced compacted, compact_index({.repository = parts_.repository,
                                              .index = parts_.index,
                                              .session = *session_,
                                              .is_open = is_open,
                                              .is_gone = is_gone,
                                              .cataloged = cataloged,
                                              .known_gone = known_gone,
                                              .packs_indexed = plan_.packs_indexed,
                                              .packs_gone = plan_.packs_gone + deleted_.size(),
                                              .steps = parts_.steps,
                                              .stop = parts_.stop}));
  FIRN_LET(const Replaced folded,
           fold_records(parts_.repository, parts_.cache, *session_, records_, parts_.steps, parts_.stop));
  if (parts_.steps.check_own_fence) {
    FIRN_TRY(session_->check_not_fenced());
  }
  report_.index_objects_replaced = compacted.objects.size();
  FIRN_TRY(put_catalog(std::move(compacted.gone)));
  parts_.progress.phase = "tidying";
  std::vector<ObjectName> superseded;
  for (const auto& [name, catalog] : records_.catalogs) {
    superseded.push_back(format::object_name(name));
  }
  for (const auto& names :
       {superseded, compacted.objects, folded.objects, dead_snapshots(), ended_markers()}) {
    FIRN_TRY(remove_all(names));
  }
  return {};
}

// ---- reports

void MaintenanceRun::report_waiting() {
  for (const DoomedPack& pack : plan_.doomed) {
    if (!deleted_.contains(pack.name) && !stopped_) {
      report_.packs_waiting += 1;
      report_.bytes_waiting += pack.size_bytes;
    }
  }
  for (const SessionId& id : open_at_list_) {
    const auto session = sessions_.open.find(id);
    if (!has_ended(id) && session != sessions_.open.end() && report_.waiting_for.size() < kLinesMax) {
      report_.waiting_for.push_back(shown(id, session->second));
    }
  }
  if (report_.packs_waiting == 0 || !report_.waiting_for.empty()) {
    report_.free_from.reset();
  }
}

/// What C to H would do now. Nothing is written.
Result<> MaintenanceRun::foretell() {
  if (stopped_) {
    return {};
  }
  FIRN_LET(sessions_, list_sessions(parts_.repository, parts_.cache));
  FIRN_LET(const base::WallTime now, parts_.repository.store().now());
  ended_ = sessions_.ended;
  for (const auto& [id, session] : sessions_.open) {
    open_at_list_.insert(id);
    const bool fenced = records_.view.fenced.contains(id);
    const bool dead = !fenced && why_dead(session, now);
    report_.sessions_fenced += dead ? 1 : 0;
    if (fenced || dead) {
      ended_.insert(id);
    }
  }
  // The record that would be put.
  const CondemnName name{.session = session_->id(), .n = 0};
  records_.condemned[name] = CondemnRecord{.stored = now, .packs = plan_.condemn};
  for (const auto& [condemn, record] : records_.condemned) {
    before_list_.insert(condemn);
  }
  FIRN_TRY(find_droppable());
  for (const DoomedPack& pack : droppable_) {
    deleted_.insert(pack.name);
    report_.packs_deleted += 1;
    report_.bytes_deleted += pack.size_bytes;
  }
  report_waiting();
  return {};
}

Result<MaintenanceReport> maintain_with(const MaintenanceSteps& steps, const Repository& repository,
                                        index::ChunkIndex& index, ObjectCache& cache, kv::LocalKv& state,
                                        const MaintenanceOptions& options, const base::StopFlag& stop,
                                        MaintenanceProgress& progress) {
  return MaintenanceRun({.repository = repository,
                         .index = index,
                         .cache = cache,
                         .state = state,
                         .options = options,
                         .steps = steps,
                         .stop = stop,
                         .progress = progress})
      .run();
}

}  // namespace firn::repo
