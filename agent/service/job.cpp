#include "agent/service/job.h"

#include <algorithm>

#include "agent/service/parent_roots.h"
#include "repo/base/check.h"
#include "repo/format/capability.h"

namespace firn::service {
namespace {

constexpr std::size_t kFirstErrorsMax = 10;

std::string count_text(std::uint64_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

void remember_error(JobView& view, std::string_view path, const std::string& message) {
  auto errors = view.first_errors.lock();
  if (errors->size() < kFirstErrorsMax) {
    errors->push_back({std::string(path), message});
  }
}

class BackupTeller final : public backup::Observer {
 public:
  BackupTeller(const JobWorld& world, const kube::Request& request, JobView& view)
      : world_(world), request_(request), view_(view) {}
  void item(const backup::ItemReport&) override {}
  void problem(std::string_view path, const Error& error) override {
    remember_error(view_, path, error.message);
    world_.log.warn("not backed up, or not wholly",
                    {{"request", request_.meta.uid}, {"path", std::string(path)}, {"error", error.message}});
  }
  void changed_while_reading(std::string_view path) override {
    world_.log.warn("changed while it was read",
                    {{"request", request_.meta.uid}, {"path", std::string(path)}});
  }

 private:
  const JobWorld& world_;
  const kube::Request& request_;
  JobView& view_;
};

class RestoreTeller final : public restore::Observer {
 public:
  RestoreTeller(const JobWorld& world, const kube::Request& request, JobView& view)
      : world_(world), request_(request), view_(view) {}
  void item(restore::Action, std::string_view, std::uint64_t) override {}
  void problem(std::string_view path, const Error& error) override {
    remember_error(view_, path, error.message);
    world_.log.warn("not restored",
                    {{"request", request_.meta.uid}, {"path", std::string(path)}, {"error", error.message}});
  }
  void not_kept(std::string_view path, std::string_view what) override {
    remember_error(view_, path, "not kept: " + std::string(what));
    world_.log.warn(
        "not kept",
        {{"request", request_.meta.uid}, {"path", std::string(path)}, {"what", std::string(what)}});
  }

 private:
  const JobWorld& world_;
  const kube::Request& request_;
  JobView& view_;
};

Outcome<kube::Json> get_object(const JobWorld& world, const kube::Place& place, const char* reason,
                               const std::string& what) {
  auto object = world.client.get(place);
  if (object) {
    return *std::move(object);
  }
  if (object.error().code == ErrorCode::NotFound) {
    return refuse(reason, what + " does not exist");
  }
  return tl::unexpected(refusal_of(object.error(), "asking for " + what));
}

Outcome<kube::Repository> find_repository(const JobWorld& world, const kube::Request& request) {
  const std::string what = "Repository " + world.own_ns + "/" + request.repository;
  FIRN_GET(const kube::Json object,
           get_object(world, {kube::kRepositories, world.own_ns, request.repository, {}},
                      "RepositoryNotFound", what));
  kube::Repository repository = kube::repository_of(object);
  if (!repository.allows(request.meta.ns)) {
    return refuse("RepositoryNotAllowed", what + " may not be used from namespace " + request.meta.ns +
                                              ": its spec.allowedNamespaces does not name it");
  }
  return repository;
}

Outcome<kube::Pod> find_pod(const JobWorld& world, const kube::Request& request) {
  std::optional<kube::Pod> pod = world.pods.find(request.pod_uid);
  if (!pod) {
    // The watch may be behind the request.
    const std::string what = "pod " + request.meta.ns + "/" + request.pod_name;
    FIRN_GET(const kube::Json object,
             get_object(world, {kube::kPods, request.meta.ns, request.pod_name, {}}, "PodNotFound", what));
    pod = kube::pod_of(object);
  }
  if (pod->meta.uid != request.pod_uid || pod->meta.ns != request.meta.ns) {
    return refuse("PodNotFound", "pod " + request.meta.ns + "/" + request.pod_name + " with uid " +
                                     request.pod_uid + " does not exist; a later pod of that name does");
  }
  if (pod->node != world.node) {
    return refuse("WrongNode", "the pod runs on node " + pod->node + ", not on " + world.node);
  }
  if (pod->meta.deleting) {
    return refuse("PodDeleted", "the pod is being deleted: its volume is left alone");
  }
  return *std::move(pod);
}

Outcome<VolumeObjects> find_objects(const JobWorld& world, const kube::Request& request) {
  VolumeObjects objects;
  FIRN_GET(objects.pod, find_pod(world, request));
  objects.volume_name = request.volume;
  FIRN_GET(const kube::PodVolume* volume, find_pod_volume(objects.pod, request.volume));
  if (volume->claim.empty()) {
    return objects;
  }
  const std::string what = "claim " + request.meta.ns + "/" + volume->claim;
  FIRN_GET(const kube::Json claim,
           get_object(world, {kube::kClaims, request.meta.ns, volume->claim, {}}, "ClaimNotFound", what));
  objects.claim = kube::claim_of(claim);
  if (volume->kind == kube::PodVolume::Kind::Ephemeral &&
      objects.claim->meta.owner_uid != objects.pod.meta.uid) {
    return refuse("VolumeMismatch", what + " does not belong to the pod, though it has its name");
  }
  if (objects.claim->volume.empty()) {
    return refuse("ClaimNotBound", what + " is not bound to a volume");
  }
  FIRN_GET(const kube::Json persistent, get_object(world, {kube::kVolumes, {}, objects.claim->volume, {}},
                                                   "VolumeNotFound", "volume " + objects.claim->volume));
  objects.volume = kube::volume_of(persistent);
  return objects;
}

/// Gives the place of an active volume up, and tells who waits.
class ActiveHold {
 public:
  ActiveHold(base::Monitor<ActiveVolumes>& active, std::string key, std::shared_ptr<ActiveVolume> own)
      : active_(active), key_(std::move(key)), own_(std::move(own)) {}
  ActiveHold(const ActiveHold&) = delete;
  ActiveHold& operator=(const ActiveHold&) = delete;
  ~ActiveHold() {
    auto active = active_.lock();
    own_->is_done = true;
    active->erase(key_);
    active.notify();
  }
  void succeeded(const kube::StatusChange& result) {
    auto active = active_.lock();
    own_->succeeded = true;
    own_->result = result;
  }

 private:
  base::Monitor<ActiveVolumes>& active_;
  const std::string key_;
  // Shared with the requests that wait for it.
  std::shared_ptr<ActiveVolume> own_;
};

format::Source source_of(const JobWorld& world, const kube::Request& request, const VolumeObjects& objects) {
  format::Source source;
  source.id = format::volume_source_id(world.cluster, volume_identity(objects));
  source.cluster = world.cluster;
  source.node = world.node;
  source.ns = request.meta.ns;
  source.pod = request.pod_name;
  source.volume = request.volume;
  source.pvc_uid = objects.claim ? objects.claim->meta.uid : "";
  source.host = world.node;
  source.paths = {"/" + request.meta.ns + "/" +
                  (objects.claim ? objects.claim->meta.name : request.pod_name) + "/" + request.volume};
  source.tags = request.tags;
  source.excludes = request.excludes;
  source.program = "firn " FIRN_VERSION;
  source.request_uid = request.meta.uid;
  return source;
}

std::vector<std::pair<const char*, std::uint64_t>> stats_of(const format::Counters& counters) {
  return {{"filesNew", counters.files_new},
          {"filesChanged", counters.files_changed},
          {"filesUnmodified", counters.files_unmodified},
          {"filesSkipped", counters.files_vanished},
          {"filesChangedWhileRead", counters.files_changed_while_reading},
          {"errors", counters.errors},
          {"bytesRead", counters.total_bytes_processed},
          {"bytesAdded", counters.data_added},
          {"bytesUploaded", counters.data_added_packed}};
}

kube::StatusChange status_of(const format::Snapshot& record, const format::SnapshotId& id) {
  kube::StatusChange status;
  status.snapshot = id.hex();
  status.root = record.root.hex();
  status.sequence = static_cast<std::int64_t>(record.sequence);
  if (record.parent) {
    status.parent = record.parent->hex();
  }
  status.stats = stats_of(record.counters);
  status.notes = record.notes;
  status.progress = kube::StatusChange::Progress{.phase = "Done",
                                                 .files = record.counters.total_files_processed,
                                                 .bytes = record.counters.total_bytes_processed,
                                                 .files_total = record.counters.total_files_processed,
                                                 .bytes_total = record.counters.total_bytes_processed,
                                                 .eta_seconds = std::nullopt};
  return status;
}

JobResult backup_result(const format::Snapshot& record, const format::SnapshotId& id) {
  JobResult result{.reason = "SnapshotMade", .message = {}, .status = status_of(record, id)};
  const format::Counters& counters = record.counters;
  result.message = "snapshot " + id.hex().substr(0, 8) + ": " +
                   count_text(counters.total_files_processed, "file") + ", " +
                   std::to_string(counters.files_new + counters.files_changed) + " new or changed";
  if (counters.errors > 0) {
    result.reason = "SnapshotMadeWithErrors";
    result.message +=
        "; " + count_text(counters.errors, "entry") + " could not be read and are missing from it";
  }
  return result;
}

/// The newest snapshot whose root this node may read.
std::optional<backup::Parent> choose_parent(const JobWorld& world, Engine& engine,
                                            const format::SourceTag& tag, const repo::SnapshotList& history) {
  const auto remembered = read_parent_root(world.state_dir, engine.repository(), tag);
  for (auto info = history.snapshots.rbegin(); info != history.snapshots.rend(); ++info) {
    if (remembered && remembered->snapshot == info->id &&
        format::chunk_id(remembered->root) == info->snapshot.root) {
      return backup::Parent{.snapshot = *info, .root = remembered->root};
    }
    if (const auto root = repo::open_root(engine.repository(), *info)) {
      return backup::Parent{.snapshot = *info, .root = *root};
    }
  }
  return std::nullopt;
}

class BackupJob {
 public:
  BackupJob(const JobWorld& world, const kube::Request& request, JobView& view)
      : world_(world), request_(request), view_(view) {}

  Outcome<JobResult> run(const std::function<void(const kube::StatusChange&)>& began) {
    FIRN_GET(const kube::Repository repository, find_repository(world_, request_));
    FIRN_GET(objects_, find_objects(world_, request_));
    const std::string key = repository.meta.name + "/" + volume_identity(objects_);
    const auto own = take_place(key);
    if (!own) {
      return tl::unexpected(own.error());
    }
    if ((*own)->is_done) {
      JobResult shared{.reason = "SnapshotMade",
                       .message = "another request for the same volume made the snapshot",
                       .status = (*own)->result};
      shared.status.shared = true;
      return shared;
    }
    ActiveHold hold(world_.active, key, *own);
    FIRN_GET(volume_, open_volume(world_.places, objects_));
    FIRN_GET(auto lease, world_.engines.begin(repository));
    auto result = work(*lease, began);
    if (!result && result.error().passes) {
      // A session that failed once, or was fenced, fails all its jobs.
      lease.give_up();
    }
    if (result) {
      hold.succeeded(result->status);
    }
    return result;
  }

 private:
  /// Our own place, or one that is done and serves us too.
  Outcome<std::shared_ptr<ActiveVolume>> take_place(const std::string& key) {
    auto active = world_.active.lock();
    while (true) {
      const auto there = active->find(key);
      if (there == active->end()) {
        auto own = std::make_shared<ActiveVolume>();
        own->began = world_.clock.wall();
        own->excludes = request_.excludes;
        own->tags = request_.tags;
        (*active)[key] = own;
        return own;
      }
      // Kept alive here: its owner takes it from the table.
      const std::shared_ptr<ActiveVolume> other = there->second;
      view_.phase = "WaitingForSameVolume";
      while (!other->is_done && !view_.stop.requested()) {
        active.wait_until(world_.executor.clock().steady() + std::chrono::milliseconds(500),
                          [&](const ActiveVolumes&) { return other->is_done; });
      }
      if (view_.stop.requested()) {
        return refuse("Interrupted", "stopped while it waited for another request of the same volume");
      }
      // What was read after this request was made serves it.
      if (other->succeeded && request_.meta.created <= other->began && other->excludes == request_.excludes &&
          other->tags == request_.tags) {
        return other;
      }
    }
  }

  Outcome<JobResult> work(Engine& engine, const std::function<void(const kube::StatusChange&)>& began) {
    const repo::Repository& repository = engine.repository();
    backup::BackupOptions options;
    options.source = source_of(world_, request_, objects_);
    const auto tag = format::source_tag(repository.keys().meta(), options.source.id);
    const auto history =
        repo::list_snapshots(repository, engine.cache(), engine.session()->maintenance(), tag);
    if (!history) {
      return tl::unexpected(refusal_of(history.error(), "listing the volume's snapshots"));
    }
    for (const repo::SnapshotInfo& info : history->snapshots) {
      if (info.snapshot.source.request_uid == request_.meta.uid) {
        return backup_result(info.snapshot, info.id);
      }
    }
    const auto parent = choose_parent(world_, engine, tag, *history);
    kube::StatusChange start;
    start.session = engine.session()->id().hex();
    if (parent) {
      start.parent = parent->snapshot.id.hex();
    }
    view_.phase = "BackingUp";
    began(start);

    auto filter = scan::Filter::make({.excludes = request_.excludes,
                                      .excludes_any_case = {},
                                      .exclude_if_present = {},
                                      .exclude_larger_than_bytes = {}});
    if (!filter) {
      return refuse("InvalidExclude", filter.error().message);
    }
    options.walk.filter = *std::move(filter);
    options.walk.roots = {volume_.path_of_descriptor()};
    options.walk.tree_begins_at_root = true;
    options.walk.crossing = scan::Crossing::SameMount;
    options.walk.memory_bytes = world_.shares.walk;
    options.memory_bytes = world_.shares.work;
    options.before_commit = [&] { return before_commit(); };
    BackupTeller teller(world_, request_, view_);
    const backup::BackupContext context{*engine.session(), engine.reader(), world_.source, engine.state(),
                                        view_.stop,        view_.backup,    teller};
    const auto report = backup::run_backup(context, parent, options);
    if (refused_) {
      return tl::unexpected(*refused_);
    }
    if (!report) {
      return tl::unexpected(refusal_of(report.error(), "backing up"));
    }
    FIRN_CHECK(report->snapshot);
    write_parent_root(world_.state_dir, repository, tag, {*report->snapshot, report->root});
    return backup_result(report->record, *report->snapshot);
  }

  /// Looks at what was read before it becomes a snapshot.
  Result<> before_commit() {
    view_.phase = "Committing";
    if (auto same = still_there(world_.places, objects_, volume_); !same) {
      refused_ = same.error();
    }
    const auto errors = static_cast<std::int64_t>(view_.backup.errors.load());
    const std::int64_t errors_max =
        request_.fail_on_file_error ? 0 : request_.file_errors_max.value_or(INT64_MAX);
    if (!refused_ && errors > errors_max) {
      refused_ = Refusal{"FileErrors",
                         count_text(view_.backup.errors.load(), "entry") +
                             " could not be read, and the request allows " + std::to_string(errors_max) +
                             ": no snapshot was made",
                         false};
    }
    return refused_ ? Result<>(fail(ErrorCode::Invalid, refused_->message)) : Result<>();
  }

  const JobWorld& world_;
  const kube::Request& request_;
  JobView& view_;
  VolumeObjects objects_;
  HostVolume volume_;
  std::optional<Refusal> refused_;
};

class RestoreJob {
 public:
  RestoreJob(const JobWorld& world, const kube::Request& request, JobView& view)
      : world_(world), request_(request), view_(view) {}

  Outcome<JobResult> run(const std::function<void(const kube::StatusChange&)>& began) {
    FIRN_GET(const kube::Repository repository, find_repository(world_, request_));
    FIRN_GET(const VolumeObjects objects, find_objects(world_, request_));
    FIRN_GET(const HostVolume volume, open_volume(world_.places, objects));
    FIRN_GET(restore::RestoreOptions options, make_options(volume));
    FIRN_GET(auto lease, world_.engines.begin(repository));
    FIRN_GET(const format::ChunkSecret root, find_root(*lease, repository));
    view_.phase = "Restoring";
    began({});

    RestoreTeller teller(world_, request_, view_);
    const restore::RestoreContext context{lease->reader(), world_.target, lease->state(),
                                          view_.stop,      view_.restore, teller};
    const auto report = restore::run_restore(context, root, options);
    if (!report) {
      return tl::unexpected(refusal_of(report.error(), "restoring"));
    }
    if (auto same = still_there(world_.places, objects, volume); !same) {
      return tl::unexpected(same.error());
    }
    return conclude(*report);
  }

 private:
  Outcome<restore::RestoreOptions> make_options(const HostVolume& volume) {
    restore::RestoreOptions options;
    options.target = volume.path_of_descriptor();
    options.subpath = request_.subpath;
    while (options.subpath.starts_with('/')) {
      options.subpath.erase(0, 1);
    }
    auto selection = scan::Selection::make({.includes = request_.includes,
                                            .includes_any_case = {},
                                            .excludes = request_.excludes,
                                            .excludes_any_case = {}});
    if (!selection) {
      return refuse("InvalidPattern", selection.error().message);
    }
    options.selection = *std::move(selection);
    options.overwrite = request_.mode == kube::RestoreMode::Delta ? restore::Overwrite::IfChanged
                                                                  : restore::Overwrite::Always;
    options.remove_extra = request_.remove_extra;
    options.verify = request_.verify;
    options.root_metadata = options.subpath.empty();
    options.memory_bytes = world_.shares.work + world_.shares.packs;
    // A restore that was begun before goes on.
    if (request_.mode == kube::RestoreMode::New && request_.started_text.empty()) {
      FIRN_GET(const bool empty, is_empty(options.target));
      if (!empty) {
        return refuse(
            "VolumeNotEmpty",
            volume.path + " is not empty: use mode Overwrite or Delta to restore over what is there");
      }
    }
    return options;
  }

  /// mkfs leaves lost+found.
  Outcome<bool> is_empty(const std::string& path) {
    auto root = world_.source.open_root(path);
    bool empty = true;
    const auto listed = !root ? Failure(root.error())
                              : (*root)->list([&](std::span<const scan::ListedName> batch) -> Result<> {
                                  for (const scan::ListedName& one : batch) {
                                    empty = empty && one.name == "lost+found";
                                  }
                                  return {};
                                });
    if (!listed) {
      return tl::unexpected(refusal_of(listed.error(), "looking at the volume"));
    }
    return empty;
  }

  Outcome<format::ChunkSecret> find_root(Engine& engine, const kube::Repository& repository) {
    const repo::Repository& opened = engine.repository();
    const auto maintenance = repo::load_maintenance(opened, engine.cache());
    if (!maintenance) {
      return tl::unexpected(refusal_of(maintenance.error(), "reading the repository"));
    }
    const auto list = repo::list_snapshots(opened, engine.cache(), *maintenance);
    if (!list) {
      return tl::unexpected(refusal_of(list.error(), "listing snapshots"));
    }
    const auto info = repo::find_by_prefix(*list, request_.snapshot);
    if (!info) {
      return refuse("SnapshotNotFound", "repository " + repository.meta.name + " has no snapshot " +
                                            request_.snapshot +
                                            ": it was forgotten, or is another repository's");
    }
    const std::string& ns = (*info)->snapshot.source.ns;
    if (ns != request_.meta.ns && !repository.cross_namespace_restores) {
      return refuse("SnapshotNotAllowed",
                    "the snapshot is of namespace '" + ns +
                        "': the Repository's spec.crossNamespaceRestores does not allow "
                        "to restore it elsewhere");
    }
    const auto root = repo::open_root(opened, **info);
    if (!root && root.error().code == ErrorCode::Denied) {
      return refuse("NotReadable", "the key at hand may not read this snapshot: a reader's key is needed");
    }
    if (!root) {
      return tl::unexpected(refusal_of(root.error(), "opening the snapshot"));
    }
    world_.log.audit("a snapshot is read for a restore", {{"snapshot", (*info)->id.hex()},
                                                          {"request", request_.meta.uid},
                                                          {"namespace", request_.meta.ns},
                                                          {"key", opened.keys().kid().hex()}});
    return *root;
  }

  Outcome<JobResult> conclude(const restore::RestoreReport& report) {
    const restore::Progress& now = view_.restore;
    const std::uint64_t errors = now.errors.load();
    if (errors > 0) {
      return refuse(
          "EntriesNotRestored",
          count_text(errors, "entry") + " could not be restored: see status.firstErrors and the agent's log");
    }
    JobResult result{.reason = "Restored",
                     .message = count_text(now.files_restored.load(), "entry") + " restored, " +
                                std::to_string(now.files_skipped.load()) + " were there already",
                     .status = {}};
    if (report.not_kept > 0) {
      result.reason = "RestoredWithoutAll";
      result.message += "; of " + count_text(report.not_kept, "entry") + " something could not be set";
    }
    result.status.stats = restore_stats(report);
    return result;
  }

  std::vector<std::pair<const char*, std::uint64_t>> restore_stats(
      const restore::RestoreReport& report) const {
    const restore::Progress& now = view_.restore;
    return {{"filesRestored", now.files_restored.load()},
            {"filesSkipped", now.files_skipped.load()},
            {"filesDeleted", now.files_deleted.load()},
            {"filesVerified", report.files_verified},
            {"bytesRestored", now.bytes_restored.load()},
            {"errors", now.errors.load()},
            {"notKept", report.not_kept}};
  }

  const JobWorld& world_;
  const kube::Request& request_;
  JobView& view_;
};

}  // namespace

void Pods::put(kube::Pod pod) {
  auto pods = pods_.lock();
  const std::string uid = pod.meta.uid;
  (*pods)[uid] = std::move(pod);
}

void Pods::remove(const std::string& uid) { pods_.lock()->erase(uid); }

std::optional<kube::Pod> Pods::find(const std::string& uid) {
  auto pods = pods_.lock();
  const auto found = pods->find(uid);
  return found == pods->end() ? std::nullopt : std::optional<kube::Pod>(found->second);
}

kube::StatusChange::Progress progress_of(kube::RequestKind kind, JobView& view,
                                         std::chrono::nanoseconds elapsed) {
  kube::StatusChange::Progress now;
  now.phase = view.phase.load();
  bool total_known = true;
  if (kind == kube::RequestKind::Backup) {
    now.files = view.backup.files_done.load();
    now.bytes = view.backup.bytes_done.load();
    now.files_total = view.backup.files_found.load();
    now.bytes_total = view.backup.bytes_found.load();
    total_known = view.backup.scan_finished.load();
  } else {
    now.files = view.restore.files_restored.load() + view.restore.files_skipped.load();
    now.bytes = view.restore.bytes_restored.load() + view.restore.bytes_skipped.load();
    now.files_total = view.restore.files_total.load();
    now.bytes_total = view.restore.bytes_total.load();
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(elapsed).count();
  if (total_known && now.bytes > 0 && now.bytes_total >= now.bytes && seconds > 0) {
    const double left = static_cast<double>(now.bytes_total - now.bytes) / static_cast<double>(now.bytes);
    now.eta_seconds = static_cast<std::int64_t>(left * static_cast<double>(seconds));
  }
  return now;
}

Outcome<JobResult> run_job(const JobWorld& world, const kube::Request& request, JobView& view,
                           const std::function<void(const kube::StatusChange&)>& began) {
  return request.kind == kube::RequestKind::Backup ? BackupJob(world, request, view).run(began)
                                                   : RestoreJob(world, request, view).run(began);
}

}  // namespace firn::service
