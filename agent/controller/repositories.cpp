#include "agent/controller/repositories.h"

#include <algorithm>
#include <map>

#include "agent/controller/cron.h"
#include "agent/controller/names.h"
#include "agent/controller/repository_state.h"
#include "agent/kube/requests.h"
#include "agent/kube/times.h"

namespace firn::controller {
namespace {

using std::chrono::seconds;

constexpr kube::Resource kPodTemplates{"/api/v1", "podtemplates"};
constexpr const char* kTemplateName = "firn-job";
constexpr seconds kVerifyEvery{30 * 60};
constexpr seconds kVerifyRetryFirst{15};
constexpr seconds kVerifyRetryMax{600};
constexpr seconds kWorkRetryFirst{300};
constexpr seconds kWorkRetryMax{6 * 3600};
// Images are pulled and volumes mounted within this.
constexpr seconds kStartMax{45};
// A schedule that was never met goes no further back.
constexpr seconds kLookBackMax{40L * 24 * 3600};
constexpr int kStepsMax = 100'000;

base::WallTime after(base::WallTime time, seconds duration) {
  return {time.nanoseconds + std::chrono::nanoseconds(duration).count()};
}

seconds retry_pause(std::int64_t failures, seconds first, seconds max) {
  const auto doublings = std::clamp<std::int64_t>(failures - 1, 0, 16);
  return std::min(max, seconds(first.count() << doublings));
}

const std::string& schedule_of(const Tended& tended, Task task) {
  return task == Task::Maintenance ? tended.repository.maintenance_schedule
                                   : tended.repository.check_schedule;
}

bool is_ready(const Tended& tended) {
  const kube::Condition* ready = kube::find(tended.conditions, "Ready");
  return ready != nullptr && ready->status == "True";
}

/// The latest scheduled time that has come since the last one that was served.
Result<std::optional<base::WallTime>> run_due(const Tended& tended, Task task, base::WallTime now) {
  const std::string& schedule = schedule_of(tended, task);
  std::optional<base::WallTime> due;
  if (schedule.empty()) {
    return due;
  }
  FIRN_LET(const Cron cron, parse_cron(schedule));
  base::WallTime from =
      std::max(tended.record(task).run.value_or(tended.repository.meta.created), after(now, -kLookBackMax));
  for (int step = 0; step < kStepsMax; ++step) {
    FIRN_LET(const auto next, next_time(cron, tended.zone, from));
    if (!next || *next > now) {
      break;
    }
    due = next;
    from = *next;
  }
  return due;
}

bool verify_is_due(const Tended& tended, base::WallTime now) {
  const TaskRecord& last = tended.record(Task::Verify);
  const TaskRecord& init = tended.record(Task::Init);
  if (last.job.empty() || last.generation != tended.repository.meta.generation) {
    return true;
  }
  if (init.ok && init.ended && last.started && *init.ended > *last.started) {
    return true;
  }
  const seconds pause =
      last.ok ? kVerifyEvery : retry_pause(last.failures, kVerifyRetryFirst, kVerifyRetryMax);
  return last.ended && now >= after(*last.ended, pause);
}

/// Only where there never was one: what is lost is not replaced by something empty.
bool init_is_due(const Tended& tended, base::WallTime now) {
  const TaskRecord& verify = tended.record(Task::Verify);
  const TaskRecord& last = tended.record(Task::Init);
  if (!verify.ended || verify.reason != "RepositoryNotFound" || last.ok ||
      !kube::member(tended.facts, "lastVerifyTime").is_null()) {
    return false;
  }
  return last.job.empty() || last.generation != tended.repository.meta.generation ||
         (last.ended &&
          now >= after(*last.ended, retry_pause(last.failures, kVerifyRetryFirst, kVerifyRetryMax)));
}

/// "1/7" of a check: the part after the one that was read last, or that one again where it failed.
std::int64_t part_of(const Tended& tended) {
  const std::string& sample = tended.repository.check_sample;
  const auto slash = sample.find('/');
  const std::int64_t parts =
      slash == std::string::npos ? 0 : std::strtoll(sample.c_str() + slash + 1, nullptr, 10);
  if (parts <= 0) {
    return 0;
  }
  const TaskRecord& last = tended.record(Task::Check);
  return (last.ok || last.part == 0 ? last.part : last.part - 1) % parts + 1;
}

bool has_ended(const kube::Json& job) {
  const auto conditions = kube::conditions_of(job);
  return std::any_of(conditions.begin(), conditions.end(), [](const kube::Condition& one) {
    return (one.type == "Complete" || one.type == "Failed") && one.status == "True";
  });
}

/// One round over all Repositories.
class Round {
 public:
  Round(kube::Client& client, const base::Clock& clock, const std::string& ns, const std::string& cluster,
        const TellTask& tell)
      : client_(client), clock_(clock), ns_(ns), cluster_(cluster), tell_(tell) {}

  Result<> list_jobs() {
    FIRN_TRY(client_.list({.resource = kube::kJobs, .ns = ns_, .fields = {}, .labels = kTaskLabel},
                          [&](const kube::Json& job) -> Result<> {
                            const kube::Meta meta = kube::meta_of(job);
                            const auto label = meta.labels.find(kRepositoryLabel);
                            if (label != meta.labels.end()) {
                              jobs_[label->second].push_back(job);
                            }
                            return {};
                          }));
    return {};
  }

  Result<> tend(Tended& tended) {
    for (const Task task : kTasks) {
      FIRN_TRY(in(to_string(task), follow(tended, task)));
    }
    for (const Task task : kTasks) {
      FIRN_TRY(in(to_string(task), begin_if_due(tended, task)));
    }
    return {};
  }

 private:
  /// The task's newest Job, or null.
  const kube::Json* job(const Tended& tended, Task task) const {
    const kube::Json* newest = nullptr;
    const auto jobs = jobs_.find(tended.repository.meta.uid);
    if (jobs == jobs_.end()) {
      return nullptr;
    }
    for (const kube::Json& one : jobs->second) {
      const kube::Meta meta = kube::meta_of(one);
      if (meta.labels.at(kTaskLabel) == to_string(task) &&
          (newest == nullptr || kube::meta_of(*newest).created < meta.created)) {
        newest = &one;
      }
    }
    return newest;
  }

  Result<std::vector<kube::Json>> pods_of(const std::string& job) {
    std::vector<kube::Json> pods;
    FIRN_TRY(client_.list({.resource = kube::kPods, .ns = ns_, .fields = {}, .labels = "job-name=" + job},
                          [&](const kube::Json& pod) -> Result<> {
                            pods.push_back(pod);
                            return {};
                          }));
    return pods;
  }

  /// Looks at how the task's Job goes.
  Result<> follow(Tended& tended, Task task) {
    TaskRecord& record = tended.record(task);
    const kube::Json* found = job(tended, task);
    const base::WallTime now = clock_.wall();
    if (found != nullptr) {
      const kube::Meta meta = kube::meta_of(*found);
      const bool is_new = meta.name != record.job && (!record.started || meta.created >= *record.started);
      if (is_new) {
        // A leader before us began it, and could not write it down.
        record.job = meta.name;
        record.started = meta.created;
        record.ended.reset();
        record.reason.clear();
      }
    }
    if (record.job.empty() || record.ended) {
      return {};
    }
    if (found == nullptr || kube::meta_of(*found).name != record.job) {
      end(tended, task, {.ok = false, .reason = "JobGone", .message = "its Job was deleted before it ended"},
          now);
      return {};
    }
    if (has_ended(*found)) {
      FIRN_LET(const auto pods, pods_of(record.job));
      const JobReport report = report_of(*found, pods);
      end(tended, task, report, now);
      if (report.ok && (task == Task::Verify || task == Task::Init)) {
        // Nobody reads its log.
        FIRN_TRY(client_.remove({kube::kJobs, ns_, record.job, {}}, kube::meta_of(*found).uid));
      }
      return {};
    }
    if (record.started && now > after(*record.started, kStartMax)) {
      FIRN_LET(const auto pods, pods_of(record.job));
      if (const auto stuck = stuck_report(pods)) {
        say_result(tended, task, *stuck, now);
        if (record.reason != stuck->reason) {
          record.reason = stuck->reason;
          tell(tended, task, *stuck, true);
        }
      }
    }
    return {};
  }

  void end(Tended& tended, Task task, const JobReport& report, base::WallTime now) {
    const kube::Condition* ready = kube::find(tended.conditions, "Ready");
    const std::string before = ready == nullptr ? "" : ready->status + ready->reason;
    conclude(tended, task, report, now);
    const kube::Condition* is_now = kube::find(tended.conditions, "Ready");
    const bool is_news = task == Task::Maintenance || task == Task::Check ||
                         (is_now != nullptr && before != is_now->status + is_now->reason);
    tell(tended, task, report, is_news);
  }

  void tell(const Tended& tended, Task task, const JobReport& report, bool is_news) {
    tell_(tended, task, report);
    if (!is_news) {
      return;
    }
    const kube::Meta& meta = tended.repository.meta;
    const base::WallTime now = clock_.wall();
    const std::string name =
        meta.name.substr(0, 200) + "." + to_string(task) + "." + std::to_string(now.nanoseconds / 1'000'000);
    const kube::Json event =
        kube::event_json(meta,
                         {.kind = "Repository",
                          .api_version = kube::kApiVersion,
                          .warning = !report.ok,
                          .reason = report.reason,
                          .message = std::string(to_string(task)) + ": " + report.message,
                          .component = "firn-controller",
                          .host = {}},
                         now, name);
    // For people only: nothing hangs on it.
    static_cast<void>(client_.create({kube::kEvents, meta.ns, name, {}}, event));
  }

  Result<> begin_if_due(Tended& tended, Task task) {
    TaskRecord& record = tended.record(task);
    if (!record.job.empty() && !record.ended) {
      return {};
    }
    const base::WallTime now = clock_.wall();
    const auto start = start_of(tended, task, now);
    if (!start) {
      say_result(tended, task, {.ok = false, .reason = "InvalidSchedule", .message = start.error().message},
                 now);
      return {};
    }
    if (const auto next = next_run(tended, task, now); next && *next) {
      tended.facts[task == Task::Check ? "nextCheckTime" : "nextMaintenanceTime"] = kube::time_text(**next);
    } else if (task == Task::Check || task == Task::Maintenance) {
      tended.facts.erase(task == Task::Check ? "nextCheckTime" : "nextMaintenanceTime");
    }
    if (!*start) {
      return {};
    }
    return begin(tended, task, **start, now);
  }

  Result<> begin(Tended& tended, Task task, const Start& start, base::WallTime now) {
    JobContext context{.ns = ns_, .cluster = cluster_, .pod_template = {}, .retain = {}};
    const auto found = client_.get({kPodTemplates, ns_, kTemplateName, {}});
    if (!found && found.error().code == ErrorCode::NotFound) {
      say_result(tended, task,
                 {.ok = false,
                  .reason = "JobNotStarted",
                  .message = "there is no PodTemplate firn-job in firn's namespace: apply deploy/base again"},
                 now);
      return {};
    }
    if (!found) {
      return Failure(found.error());
    }
    context.pod_template = kube::member(*found, "template");
    if (task == Task::Maintenance) {
      FIRN_LET(context.retain, policies_rules(tended));
    }
    const kube::Json job = job_of(tended, task, start, context);
    const std::string name = kube::meta_of(job).name;
    const auto created = client_.create({kube::kJobs, ns_, name, {}}, job);
    if (!created && created.error().code == ErrorCode::Invalid) {
      say_result(tended, task, {.ok = false, .reason = "JobNotStarted", .message = created.error().message},
                 now);
      return {};
    }
    if (!created && created.error().code != ErrorCode::Exists) {
      return Failure(created.error());
    }
    TaskRecord& record = tended.record(task);
    record.job = name;
    record.started = now;
    record.ended.reset();
    record.reason.clear();
    record.run = start.run ? start.run : record.run;
    record.part = start.part;
    record.asked = start.asked;
    record.failures = record.generation == tended.repository.meta.generation ? record.failures : 0;
    record.generation = tended.repository.meta.generation;
    if (task == Task::Verify && kube::find(tended.conditions, "Ready") == nullptr) {
      say_result(tended, task, {.ok = false, .reason = "Verifying", .message = "it is being looked at"}, now);
    }
    return {};
  }

  Result<std::vector<std::string>> policies_rules(const Tended& tended) {
    if (!policies_) {
      policies_.emplace();
      FIRN_TRY(client_.list({.resource = kube::kPolicies, .ns = {}, .fields = {}, .labels = {}},
                            [&](const kube::Json& policy) -> Result<> {
                              policies_->push_back(policy);
                              return {};
                            }));
    }
    return retention_rules(tended, *policies_);
  }

  kube::Client& client_;
  const base::Clock& clock_;
  const std::string& ns_;
  const std::string& cluster_;
  const TellTask& tell_;
  std::map<std::string, std::vector<kube::Json>> jobs_;  // by the Repository's uid
  std::optional<std::vector<kube::Json>> policies_;
};

/// What changed of a status, as a merge patch; what is gone is null.
kube::Json changes(const kube::Json& before, const kube::Json& now) {
  kube::Json patch = kube::Json::object();
  for (const auto& one : now.items()) {
    if (kube::member(before, one.key().c_str()) != one.value()) {
      patch[one.key()] = one.value();
    }
  }
  if (before.is_object()) {
    for (const auto& one : before.items()) {
      if (!now.contains(one.key())) {
        patch[one.key()] = nullptr;
      }
    }
  }
  return patch;
}

}  // namespace

Result<std::optional<Start>> start_of(const Tended& tended, Task task, base::WallTime now) {
  const TaskRecord& last = tended.record(task);
  const std::string& asked = tended.asked[static_cast<std::size_t>(task)];
  Start start{.run = last.run, .part = task == Task::Check ? part_of(tended) : 0, .asked = asked};
  const bool is_asked = !asked.empty() && asked != last.asked;
  if (task == Task::Init || task == Task::Verify) {
    const bool due = task == Task::Init ? init_is_due(tended, now) : verify_is_due(tended, now) || is_asked;
    return due ? std::optional(start) : std::nullopt;
  }
  FIRN_LET(const auto run, run_due(tended, task, now));
  const bool again = last.failures > 0 && last.ended &&
                     now >= after(*last.ended, retry_pause(last.failures, kWorkRetryFirst, kWorkRetryMax));
  if (!is_ready(tended) || (!run && !again && !is_asked)) {
    return std::nullopt;
  }
  start.run = run ? run : start.run;
  return start;
}

Result<std::optional<base::WallTime>> next_run(const Tended& tended, Task task, base::WallTime now) {
  if (task == Task::Init || task == Task::Verify || schedule_of(tended, task).empty()) {
    return std::nullopt;
  }
  FIRN_LET(const Cron cron, parse_cron(schedule_of(tended, task)));
  return next_time(cron, tended.zone, now);
}

Result<std::vector<Tended>> tend_repositories(kube::Client& client, const base::Clock& clock,
                                              const std::string& ns, const std::string& cluster,
                                              const TellTask& tell) {
  std::vector<Tended> all;
  std::vector<kube::Json> before;
  FIRN_TRY(client.list({.resource = kube::kRepositories, .ns = ns, .fields = {}, .labels = {}},
                       [&](const kube::Json& object) -> Result<> {
                         all.push_back(tended_of(object));
                         before.push_back(kube::member(object, "status"));
                         return {};
                       }));
  Round round(client, clock, ns, cluster, tell);
  FIRN_TRY(round.list_jobs());
  // One that cannot be looked after does not hold up the others.
  Result<> outcome;
  for (std::size_t i = 0; i < all.size(); ++i) {
    Tended& tended = all[i];
    const kube::Meta& meta = tended.repository.meta;
    if (meta.deleting) {
      continue;
    }
    Result<> done = in("Repository " + meta.name, round.tend(tended));
    // What was found and begun is written down, whatever came after it.
    if (kube::Json patch = changes(before[i], status_of(tended)); !patch.empty()) {
      const auto written = client.patch({kube::kRepositories, ns, meta.name, "status"},
                                        kube::Json{{"status", std::move(patch)}});
      if (done && !written && written.error().code != ErrorCode::NotFound) {
        done = Failure(written.error());
      }
    }
    if (!done && outcome) {
      outcome = std::move(done);
    }
  }
  if (!outcome) {
    return Failure(std::move(outcome).error());
  }
  return all;
}

}  // namespace firn::controller
