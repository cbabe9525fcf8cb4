#include "agent/service/agent.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "agent/kube/client.h"
#include "agent/kube/requests.h"
#include "agent/kube/watch.h"
#include "agent/service/engine.h"
#include "agent/service/job.h"
#include "agent/service/log.h"
#include "agent/service/metrics.h"
#include "agent/service/queue.h"
#include "repo/base/cgroup_limits.h"
#include "repo/base/task_group.h"

namespace firn::service {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kTick{1};
constexpr seconds kHeartbeatEvery{10};
// The pod's grace period is longer.
constexpr seconds kDrainMax{20};
constexpr seconds kSettlePause{2};
constexpr int kTriesMax = 3;
constexpr seconds kFirstRetryPause{5};
constexpr std::uint64_t kMemoryBytesMin = 64ULL << 20;
constexpr std::uint64_t kMemoryBytesMax = 256ULL << 20;

/// Why a running job was told to stop.
enum class Why : std::uint8_t { Nothing, Cancelled, Deadline, PodGone, RequestGone, Draining };

struct Job {
  kube::Request request;
  JobView view;
  base::SteadyTime began;
  std::atomic<Why> why{Why::Nothing};
  std::atomic<bool> is_running{false};  // it has said so; heartbeats follow
  base::SteadyTime beat;

  void stop(Why reason) {
    Why nothing = Why::Nothing;
    why.compare_exchange_strong(nothing, reason);
    view.stop.request();
  }
};

struct Entry {
  kube::Request request;
  std::shared_ptr<Job> job;  // while it runs; shared with its worker and the heartbeat
};

struct Work {
  std::map<std::string, Entry> entries;  // by uid: everything that has not ended
  Queue queue;
  std::vector<std::string> to_accept;
  std::vector<std::shared_ptr<Job>> to_end;  // cancelled, or too late, before they were begun
  /// Ended by us, until the watch has told it too: an older state of theirs may still be on its way.
  std::set<std::string> ended;
  bool closed = false;
};

double unix_seconds(base::WallTime time) { return static_cast<double>(time.nanoseconds) / 1e9; }

base::WallTime after(base::WallTime time, seconds duration) {
  return {time.nanoseconds + std::chrono::nanoseconds(duration).count()};
}

class Agent {
 public:
  Agent(const AgentOptions& options, const DaemonWorld& world, kube::ClusterConfig config,
        std::uint64_t memory_bytes)
      : options_(options),
        world_(world),
        log_(world.clock, world.out_fd, "firn-agent"),
        watch_client_(world.executor, world.rng, world.stop, config),
        client_(world.executor, world.rng, hard_stop_, config),
        own_ns_(options.ns.empty() ? config.ns : options.ns),
        shares_(share_memory(memory_bytes, options.jobs)),
        engines_(world.executor, world.rng, world.clock, hard_stop_,
                 {.state_dir = options.state_dir,
                  .key_root = options.key_dir,
                  .node = options.node,
                  .shares = shares_,
                  .variables = world.variable,
                  .writes = options.backups}),
        active_(world.executor),
        work_(world.executor),
        watches_complete_(0) {
    metrics_.memory_budget(static_cast<double>(memory_bytes));
  }

  Result<> run() {
    FIRN_LET(const auto status, StatusServer::start(world_.executor, hard_stop_, options_.metrics_listen,
                                                    metrics_, [this] { return is_ready(); }));
    const bool found = find_cluster();
    if (found) {
      log_.info("serving", {{"node", options_.node}, {"cluster", cluster_}, {"namespace", own_ns_}});
      serve();
    }
    engines_.tend(true);
    hard_stop_.request();
    log_.info("stopped");
    return {};
  }

 private:
  class PodFollower;
  class RequestFollower;

  bool is_ready() const { return watches_complete_.load() >= watches_wanted() && !world_.stop.requested(); }
  int watches_wanted() const { return 1 + (options_.backups ? 1 : 0) + (options_.restores ? 1 : 0); }

  /// Waits for the API server, as long as it takes. False on stop.
  bool find_cluster() {
    cluster_ = options_.cluster;
    while (cluster_.empty()) {
      const auto system = watch_client_.get({kube::kNamespaces, {}, "kube-system", {}});
      if (system) {
        cluster_ = kube::meta_of(*system).uid;
      } else {
        log_.warn("cannot ask for the cluster's identity", {{"error", system.error().message}});
        if (!watch_client_.pause(seconds(5))) {
          return false;
        }
      }
    }
    return true;
  }

  void serve();
  void request_seen(kube::Request request);
  void request_gone(const std::string& uid);
  void pod_gone(const std::string& uid);
  void keep_books();
  void accept(const kube::Request& request);
  void forget(const Job& job);
  void work_on_requests();
  void run_one(const std::shared_ptr<Job>& job, const JobWorld& job_world);
  Outcome<JobResult> try_job(Job& job, const JobWorld& job_world);
  void tick();
  void look_at_deadlines(base::WallTime now);
  void send_heartbeats();
  Refusal why_stopped(const Job& job, const Refusal& refusal) const;
  void conclude(Job& job, const Outcome<JobResult>& outcome);
  void say_ended(const kube::Request& request, kube::StatusChange status, bool succeeded,
                 const std::string& reason, const std::string& message);
  void say_running(Job& job, kube::StatusChange status);
  void count(const Job& job, const Outcome<JobResult>& outcome);
  std::vector<kube::Condition> conditions(const kube::Request& request, const char* running,
                                          const char* succeeded, const std::string& reason,
                                          const std::string& message) const;
  void tell_event(const kube::Request& request, bool warning, const std::string& reason,
                  const std::string& message);
  /// Until it is written, refused for good, or there is no time left.
  bool write_status(const kube::Request& request, const kube::StatusChange& status);

  const AgentOptions& options_;
  const DaemonWorld& world_;
  const Log log_;
  // Ends what must outlive the stop of the process: last status writes, sessions.
  base::StopFlag hard_stop_;
  kube::Client watch_client_;
  kube::Client client_;
  const std::string own_ns_;
  const Shares shares_;
  std::string cluster_;
  Metrics metrics_;
  Engines engines_;
  Pods pods_;
  base::Monitor<ActiveVolumes> active_;
  base::Monitor<Work> work_;
  std::atomic<int> watches_complete_;
};

class Agent::PodFollower final : public kube::Follower {
 public:
  explicit PodFollower(Agent& agent) : agent_(agent) {}
  void there(const kube::Json& object) override {
    kube::Pod pod = kube::pod_of(object);
    const std::string uid = pod.meta.uid;
    const bool leaves = pod.meta.deleting;
    agent_.pods_.put(std::move(pod));
    if (leaves) {
      agent_.pod_gone(uid);
    }
  }
  void gone(const std::string& uid) override {
    agent_.pods_.remove(uid);
    agent_.pod_gone(uid);
  }
  void complete() override {
    if (!std::exchange(was_complete_, true)) {
      ++agent_.watches_complete_;
    }
  }
  void problem(const Error& error) override {
    agent_.log_.warn("the watch of pods is tried again", {{"error", error.message}});
  }

 private:
  Agent& agent_;
  bool was_complete_ = false;
};

class Agent::RequestFollower final : public kube::Follower {
 public:
  RequestFollower(Agent& agent, kube::RequestKind kind) : agent_(agent), kind_(kind) {}
  void there(const kube::Json& object) override { agent_.request_seen(kube::request_of(kind_, object)); }
  void gone(const std::string& uid) override { agent_.request_gone(uid); }
  void complete() override {
    if (!std::exchange(was_complete_, true)) {
      ++agent_.watches_complete_;
    }
  }
  void problem(const Error& error) override {
    agent_.log_.warn("the watch of requests is tried again", {{"error", error.message}});
  }

 private:
  Agent& agent_;
  const kube::RequestKind kind_;
  bool was_complete_ = false;
};

void Agent::serve() {
  base::TaskGroup tasks(world_.executor);
  const auto follow = [&](const char* name, kube::Resource resource, const char* field, auto make_follower) {
    tasks.spawn(name, [this, resource, field, make_follower]() -> Result<> {
      auto follower = make_follower();
      kube::Watch watch(
          watch_client_,
          {.resource = resource, .ns = {}, .fields = field + ("=" + options_.node), .labels = {}}, follower);
      watch.run();
      return {};
    });
  };
  follow("watch-pods", kube::kPods, "spec.nodeName", [this] { return PodFollower(*this); });
  if (options_.backups) {
    follow("watch-backups", kube::kBackups, "spec.nodeName",
           [this] { return RequestFollower(*this, kube::RequestKind::Backup); });
  }
  if (options_.restores) {
    follow("watch-restores", kube::kRestores, "spec.nodeName",
           [this] { return RequestFollower(*this, kube::RequestKind::Restore); });
  }
  for (unsigned i = 0; i < options_.jobs; ++i) {
    tasks.spawn("job", [this]() -> Result<> {
      work_on_requests();
      return {};
    });
  }
  tasks.spawn("books", [this]() -> Result<> {
    keep_books();
    return {};
  });
  tasks.spawn("tick", [this]() -> Result<> {
    tick();
    return {};
  });
  static_cast<void>(tasks.join());
}

void Agent::request_seen(kube::Request request) {
  auto work = work_.lock();
  const std::string uid = request.meta.uid;
  const auto there = work->entries.find(uid);
  if (request.ended()) {
    work->ended.erase(uid);
    if (there != work->entries.end() && !there->second.job) {
      work->queue.remove(uid);
      work->entries.erase(there);
    }
    return;
  }
  if (there != work->entries.end()) {
    // Only `cancel` can have changed.
    there->second.request.cancel = request.cancel;
    there->second.request.meta = request.meta;
    if (request.cancel && there->second.job) {
      there->second.job->stop(Why::Cancelled);
    }
    return;
  }
  if (work->closed || work->ended.contains(uid)) {
    return;
  }
  work->queue.put(
      {.uid = uid, .ns = request.meta.ns, .priority = request.priority, .created = request.meta.created});
  if (kube::find(request.conditions, "Accepted") == nullptr) {
    work->to_accept.push_back(uid);
  }
  work->entries[uid] = Entry{.request = std::move(request), .job = nullptr};
  work.notify();
}

void Agent::request_gone(const std::string& uid) {
  auto work = work_.lock();
  work->ended.erase(uid);
  const auto there = work->entries.find(uid);
  if (there == work->entries.end()) {
    return;
  }
  if (there->second.job) {
    there->second.job->stop(Why::RequestGone);
  } else {
    work->queue.remove(uid);
    work->entries.erase(there);
  }
}

void Agent::pod_gone(const std::string& uid) {
  auto work = work_.lock();
  for (const auto& [request_uid, entry] : work->entries) {
    if (entry.job && entry.job->request.pod_uid == uid) {
      entry.job->stop(Why::PodGone);
    }
  }
}

/// Says of each new request that it is known, and ends those that were over before they were begun: neither
/// waits for a worker.
void Agent::keep_books() {
  while (true) {
    std::optional<kube::Request> request;
    std::shared_ptr<Job> over;
    {
      auto work = work_.lock();
      work.wait([](const Work& w) { return w.closed || !w.to_accept.empty() || !w.to_end.empty(); });
      if (work->closed) {
        return;
      }
      if (!work->to_end.empty()) {
        over = work->to_end.back();
        work->to_end.pop_back();
      } else {
        const auto entry = work->entries.find(work->to_accept.front());
        work->to_accept.erase(work->to_accept.begin());
        if (entry != work->entries.end() && !entry->second.job) {
          request = entry->second.request;
        }
      }
    }
    if (over) {
      const Outcome<JobResult> outcome = tl::unexpected(why_stopped(*over, {"Interrupted", "stopped", true}));
      count(*over, outcome);
      conclude(*over, outcome);
      forget(*over);
    } else if (request) {
      accept(*request);
    }
  }
}

void Agent::accept(const kube::Request& request) {
  kube::StatusChange status;
  status.accepted = world_.clock.wall();
  status.conditions = conditions(request, "False", "Unknown", "Queued", "waits for its turn on the node");
  // With the version that was seen: whoever wrote since, a worker too, knows more.
  const auto said = client_.patch(request.status_place(), kube::status_patch(status, request.meta.version));
  if (!said && said.error().code != ErrorCode::Changed && said.error().code != ErrorCode::NotFound) {
    log_.warn("cannot say that a request is accepted",
              {{"request", request.meta.uid}, {"error", said.error().message}});
  }
}

void Agent::work_on_requests() {
  const JobWorld job_world{.executor = world_.executor,
                           .rng = world_.rng,
                           .clock = world_.clock,
                           .source = world_.source,
                           .target = world_.target,
                           .client = client_,
                           .engines = engines_,
                           .pods = pods_,
                           .active = active_,
                           .log = log_,
                           .places = options_.places,
                           .node = options_.node,
                           .cluster = cluster_,
                           .own_ns = own_ns_,
                           .state_dir = options_.state_dir,
                           .shares = shares_};
  while (true) {
    auto job = std::make_shared<Job>();
    {
      auto work = work_.lock();
      work.wait([](const Work& w) { return w.closed || w.queue.size() > 0; });
      if (work->closed) {
        return;
      }
      Entry& entry = work->entries.at(*work->queue.take());
      job->request = entry.request;
      job->began = world_.executor.clock().steady();
      entry.job = job;
    }
    run_one(job, job_world);
    forget(*job);
  }
}

void Agent::forget(const Job& job) {
  auto work = work_.lock();
  const std::string& uid = job.request.meta.uid;
  work->entries.erase(uid);
  if (job.why.load() != Why::RequestGone) {
    work->ended.insert(uid);
  }
  work.notify();
}

void Agent::run_one(const std::shared_ptr<Job>& job, const JobWorld& job_world) {
  const kube::Request& request = job->request;
  if (request.cancel) {
    job->stop(Why::Cancelled);
  } else if (after(request.meta.created, request.deadline) < world_.clock.wall()) {
    job->stop(Why::Deadline);
  }
  const auto outcome = try_job(*job, job_world);
  job->is_running = false;
  count(*job, outcome);
  conclude(*job, outcome);
}

Outcome<JobResult> Agent::try_job(Job& job, const JobWorld& job_world) {
  seconds delay = kFirstRetryPause;
  for (int tries = 1;; ++tries) {
    if (job.view.stop.requested()) {
      return tl::unexpected(why_stopped(job, {"Interrupted", "stopped", true}));
    }
    auto outcome = run_job(job_world, job.request, job.view,
                           [&](const kube::StatusChange& status) { say_running(job, status); });
    if (outcome) {
      return outcome;
    }
    if (job.view.stop.requested()) {
      return tl::unexpected(why_stopped(job, outcome.error()));
    }
    if (!outcome.error().passes || tries == kTriesMax) {
      return outcome;
    }
    log_.warn("a request is tried again", {{"request", job.request.meta.uid},
                                           {"reason", outcome.error().reason},
                                           {"error", outcome.error().message}});
    const auto until = world_.executor.clock().steady() + delay;
    while (!job.view.stop.requested() && world_.executor.clock().steady() < until) {
      world_.executor.sleep_for(milliseconds(200));
    }
    delay *= 2;
  }
}

Refusal Agent::why_stopped(const Job& job, const Refusal& refusal) const {
  switch (job.why.load()) {
    case Why::Cancelled:
      return {"Cancelled", "cancelled as asked; what was stored is used by the next backup", false};
    case Why::Deadline:
      return {"DeadlineExceeded",
              "not done within spec.deadlineSeconds (" + std::to_string(job.request.deadline.count()) +
                  " s from its creation)",
              false};
    case Why::PodGone:
      return {"PodDeleted", "the pod is being deleted: its volume was let go", false};
    case Why::RequestGone:
      return {"RequestDeleted", "the request was deleted", false};
    case Why::Draining:
    case Why::Nothing:
      break;
  }
  return refusal;
}

std::vector<kube::Condition> Agent::conditions(const kube::Request& request, const char* running,
                                               const char* succeeded, const std::string& reason,
                                               const std::string& message) const {
  std::vector<kube::Condition> all = request.conditions;
  const auto now = world_.clock.wall();
  const auto set = [&](const char* type, const char* status, const std::string& why,
                       const std::string& text) {
    kube::set(all,
              {.type = type,
               .status = status,
               .reason = why,
               .message = text,
               .since = {},
               .generation = request.meta.generation},
              now);
  };
  set("Accepted", "True", "Accepted", "the agent on node " + options_.node + " has it");
  set("Running", running, reason, message);
  set("Succeeded", succeeded, reason, message);
  return all;
}

void Agent::say_running(Job& job, kube::StatusChange status) {
  const auto now = world_.clock.wall();
  status.conditions = conditions(job.request, "True", "Unknown", "Running", "being worked on");
  job.request.conditions = status.conditions;
  status.started = now;
  status.heartbeat = now;
  status.progress = progress_of(job.request.kind, job.view, {});
  // A restore that is begun must find this when it begins again, so it is waited for.
  static_cast<void>(write_status(job.request, status));
  job.beat = world_.executor.clock().steady();
  job.is_running = true;
  log_.info("running", {{"request", job.request.meta.uid},
                        {"namespace", job.request.meta.ns},
                        {"name", job.request.meta.name},
                        {"kind", job.request.kind_name()},
                        {"pod", job.request.pod_name},
                        {"volume", job.request.volume},
                        {"session", status.session.value_or("")}});
}

bool Agent::write_status(const kube::Request& request, const kube::StatusChange& status) {
  while (true) {
    const auto written = client_.patch(request.status_place(), kube::status_patch(status));
    if (written) {
      return true;
    }
    const ErrorCode code = written.error().code;
    if (code == ErrorCode::NotFound || code == ErrorCode::Cancelled) {
      return false;
    }
    log_.error("a status cannot be written",
               {{"request", request.meta.uid}, {"error", written.error().message}});
    // What is refused stays refused; what has no answer is asked again.
    if (code != ErrorCode::Unavailable && code != ErrorCode::Changed) {
      return false;
    }
    if (!client_.pause(client_.jittered(kSettlePause))) {
      return false;
    }
  }
}

void Agent::say_ended(const kube::Request& request, kube::StatusChange status, bool succeeded,
                      const std::string& reason, const std::string& message) {
  const auto now = world_.clock.wall();
  status.conditions = conditions(request, "False", succeeded ? "True" : "False", reason, message);
  status.completed = now;
  status.heartbeat = now;
  write_status(request, status);
  tell_event(request, !succeeded, reason, message);
}

void Agent::conclude(Job& job, const Outcome<JobResult>& outcome) {
  const kube::Request& request = job.request;
  kube::StatusChange status = outcome ? outcome->status : kube::StatusChange{};
  status.first_errors = *job.view.first_errors.lock();
  if (!status.progress) {
    status.progress = progress_of(request.kind, job.view, world_.executor.clock().steady() - job.began);
    status.progress->phase = outcome ? "Done" : "Failed";
    status.progress->eta_seconds = std::nullopt;
  }
  const Log::Fields fields = {{"request", request.meta.uid},
                              {"namespace", request.meta.ns},
                              {"name", request.meta.name},
                              {"kind", request.kind_name()},
                              {"reason", outcome ? outcome->reason : outcome.error().reason},
                              {"detail", outcome ? outcome->message : outcome.error().message},
                              {"snapshot", status.snapshot.value_or("")}};
  if (job.why.load() == Why::Draining && !outcome) {
    // The next agent goes on with it.
    log_.info("left for the next agent", fields);
    status.conditions = conditions(request, "False", "Unknown", "AgentStopping",
                                   "the agent is stopping; the next one goes on with it");
    write_status(request, status);
    return;
  }
  if (outcome) {
    log_.info("succeeded", fields);
    say_ended(request, std::move(status), true, outcome->reason, outcome->message);
  } else {
    log_.error("failed", fields);
    say_ended(request, std::move(status), false, outcome.error().reason, outcome.error().message);
  }
}

void Agent::count(const Job& job, const Outcome<JobResult>& outcome) {
  const std::string result = outcome ? "success" : "failure";
  const std::string reason = outcome ? outcome->reason : outcome.error().reason;
  if (job.request.kind == kube::RequestKind::Restore) {
    metrics_.restore_ended(result, reason);
    return;
  }
  metrics_.backup_ended(result, reason);
  if (!outcome || outcome->status.shared) {
    return;
  }
  metrics_.backup_seconds(
      std::chrono::duration<double>(world_.executor.clock().steady() - job.began).count());
  metrics_.backup_succeeded(job.request.meta.ns, job.request.pod_name + "/" + job.request.volume,
                            unix_seconds(world_.clock.wall()));
  double read = 0;
  double added = 0;
  for (const auto& [name, number] : outcome->status.stats) {
    const std::string_view what = name;
    const auto value = static_cast<double>(number);
    read = what == "bytesRead" ? value : read;
    added = what == "bytesAdded" ? value : added;
    if (what == "bytesUploaded") {
      metrics_.backup_bytes("uploaded", value);
    } else if (what == "filesNew") {
      metrics_.backup_files("new", value);
    } else if (what == "filesChanged") {
      metrics_.backup_files("changed", value);
    } else if (what == "filesUnmodified") {
      metrics_.backup_files("unmodified", value);
    } else if (what == "errors") {
      metrics_.backup_files("failed", value);
    }
  }
  metrics_.backup_bytes("read", read);
  metrics_.backup_bytes("deduplicated", std::max(read - added, 0.0));
}

void Agent::tell_event(const kube::Request& request, bool warning, const std::string& reason,
                       const std::string& message) {
  const auto now = world_.clock.wall();
  const std::string name = request.meta.name.substr(0, 200) + "." + request.meta.uid.substr(0, 8) + "." +
                           std::to_string(now.nanoseconds / 1'000'000);
  const kube::Json event = kube::event_json(request.meta,
                                            {.kind = request.kind_name(),
                                             .api_version = kube::kApiVersion,
                                             .warning = warning,
                                             .reason = reason,
                                             .message = message,
                                             .component = "firn-agent",
                                             .host = options_.node},
                                            now, name);
  // For people only: nothing hangs on it.
  static_cast<void>(client_.create({kube::kEvents, request.meta.ns, name, {}}, event));
}

void Agent::tick() {
  const auto& clock = world_.executor.clock();
  base::SteadyTime drain_until{};
  while (true) {
    {
      auto work = work_.lock();
      if (world_.stop.requested() && !work->closed) {
        drain_until = clock.steady() + kDrainMax;
        work->closed = true;
        for (const auto& [uid, entry] : work->entries) {
          if (entry.job) {
            entry.job->stop(Why::Draining);
          }
        }
        work.notify();
      }
      const auto running = std::count_if(work->entries.begin(), work->entries.end(),
                                         [](const auto& one) { return one.second.job != nullptr; });
      metrics_.queue_length(static_cast<double>(work->queue.size()));
      metrics_.running(static_cast<double>(running));
      if (work->closed && running == static_cast<std::ptrdiff_t>(work->to_end.size())) {
        return;
      }
      if (work->closed && clock.steady() > drain_until) {
        hard_stop_.request();
      }
    }
    look_at_deadlines(world_.clock.wall());
    send_heartbeats();
    engines_.tend();
    world_.executor.sleep_for(world_.stop.requested() ? milliseconds(100) : milliseconds(kTick));
  }
}

void Agent::look_at_deadlines(base::WallTime now) {
  auto work = work_.lock();
  for (auto& [uid, entry] : work->entries) {
    const bool late = after(entry.request.meta.created, entry.request.deadline) < now;
    if (entry.job && late) {
      entry.job->stop(Why::Deadline);
    } else if (!entry.job && (late || entry.request.cancel)) {
      work->queue.remove(uid);
      entry.job = std::make_shared<Job>();
      entry.job->request = entry.request;
      entry.job->began = world_.executor.clock().steady();
      entry.job->stop(late ? Why::Deadline : Why::Cancelled);
      work->to_end.push_back(entry.job);
      work.notify();
    }
  }
}

void Agent::send_heartbeats() {
  std::vector<std::shared_ptr<Job>> due;
  const auto now = world_.executor.clock().steady();
  {
    auto work = work_.lock();
    for (const auto& [uid, entry] : work->entries) {
      if (entry.job && entry.job->is_running && now - entry.job->beat >= kHeartbeatEvery) {
        entry.job->beat = now;
        due.push_back(entry.job);
      }
    }
  }
  for (const auto& job : due) {
    kube::StatusChange status;
    status.heartbeat = world_.clock.wall();
    status.progress = progress_of(job->request.kind, job->view, now - job->began);
    status.first_errors = *job->view.first_errors.lock();
    const auto sent = client_.patch(job->request.status_place(), kube::status_patch(status));
    if (!sent && sent.error().code == ErrorCode::NotFound) {
      job->stop(Why::RequestGone);
    }
  }
}

}  // namespace

Result<> run_agent(const AgentOptions& options, const DaemonWorld& world) {
  if (options.node.empty()) {
    return fail(ErrorCode::Invalid, "which node is this? --node-name, or the variable NODE_NAME");
  }
  if (options.jobs == 0 || options.jobs > 64) {
    return fail(ErrorCode::Invalid, "--jobs: 1 to 64");
  }
  FIRN_LET(const kube::ClusterConfig config, kube::find_config(world.variable, options.kubeconfig));
  std::uint64_t memory_bytes = options.memory_bytes.value_or(kMemoryBytesMax);
  if (!options.memory_bytes) {
    if (const auto limit = base::own_cgroup_limits().memory_bytes) {
      memory_bytes = std::clamp(*limit / 2, kMemoryBytesMin, kMemoryBytesMax);
    }
  }
  if (memory_bytes < kMemoryBytesMin) {
    return fail(ErrorCode::Invalid, "--memory: at least 64M are needed");
  }
  Agent agent(options, world, config, memory_bytes);
  return agent.run();
}

}  // namespace firn::service
