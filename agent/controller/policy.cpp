#include "agent/controller/policy.h"

#include <algorithm>
#include <map>
#include <set>

#include "agent/controller/cron.h"
#include "agent/controller/names.h"
#include "agent/kube/requests.h"
#include "agent/kube/times.h"

namespace firn::controller {
namespace {

using std::chrono::seconds;

constexpr std::size_t kNameBytesMax = 200;
// More scheduled times than this between two looks are as good as one.
constexpr int kStepsMax = 100'000;
constexpr std::int64_t kPriorityHigh = 100;

base::WallTime after(base::WallTime time, seconds duration) {
  return {time.nanoseconds + std::chrono::nanoseconds(duration).count()};
}

kube::Json request_json(const Policy& policy, base::WallTime run, const Target& target) {
  kube::Json spec = policy.request;
  spec["nodeName"] = target.node;
  spec["pod"] = {{"name", target.pod}, {"uid", target.pod_uid}};
  spec["volume"] = target.volume;
  spec["priority"] = policy.criticality == "High"  ? kPriorityHigh
                     : policy.criticality == "Low" ? -kPriorityHigh
                                                   : 0;
  return {{"apiVersion", kube::kApiVersion},
          {"kind", "PodVolumeBackup"},
          {"metadata",
           {{"name", request_name(policy, run, target)},
            {"namespace", policy.meta.ns},
            {"labels",
             {{kPolicyLabel, policy.meta.name},
              {kRunLabel, run_text(run)},
              {kTargetLabel, short_hash(target.key())}}}}},
          {"spec", std::move(spec)}};
}

/// What is known of a policy's requests.
struct Made {
  std::set<std::string> names;
  std::map<std::string, std::int64_t> open_by_node;
  std::int64_t open = 0;
};

Result<Made> made_requests(kube::Client& client, const Policy& policy) {
  Made made;
  FIRN_TRY(client.list({.resource = kube::kBackups,
                        .ns = policy.meta.ns,
                        .fields = {},
                        .labels = std::string(kPolicyLabel) + "=" + policy.meta.name},
                       [&](const kube::Json& object) -> Result<> {
                         const kube::Request request = kube::request_of(kube::RequestKind::Backup, object);
                         made.names.insert(request.meta.name);
                         if (!request.ended()) {
                           made.open_by_node[request.node] += 1;
                           made.open += 1;
                         }
                         return {};
                       }));
  return made;
}

/// What is open in a Repository, and how much may be.
struct Load {
  std::int64_t open = 0;
  std::int64_t open_max = INT64_MAX;
};

struct Progress {
  std::size_t selected = 0;
  std::size_t missing = 0;  // requests that are still to be made
};

/// Makes what is missing of a run and may be made now.
Result<Progress> work_on(kube::Client& client, const Policy& policy, base::WallTime run, base::WallTime now,
                         Made& made, Load& load) {
  std::vector<Target> targets;
  FIRN_TRY(client.list({.resource = kube::kPods,
                        .ns = policy.meta.ns,
                        .fields = "status.phase=Running",
                        .labels = policy.labels()},
                       [&](const kube::Json& object) -> Result<> {
                         const auto more = targets_of(policy, kube::pod_of(object));
                         targets.insert(targets.end(), more.begin(), more.end());
                         return {};
                       }));
  Progress progress{.selected = targets.size(), .missing = 0};
  for (const Target& target : targets) {
    const std::string name = request_name(policy, run, target);
    if (made.names.contains(name)) {
      continue;
    }
    const auto share = static_cast<std::int64_t>(hash(target.pod + "/" + target.volume) % 1'000'003);
    const seconds wait(policy.jitter.count() == 0 ? 0 : share % (policy.jitter.count() + 1));
    std::int64_t& open = made.open_by_node[target.node];
    if (now < after(run, wait) || open >= policy.per_node || load.open >= load.open_max) {
      progress.missing += 1;
      continue;
    }
    const auto created =
        client.create({kube::kBackups, policy.meta.ns, name, {}}, request_json(policy, run, target));
    if (!created && created.error().code != ErrorCode::Exists) {
      return Failure(created.error());
    }
    open += 1;
    made.open += 1;
    load.open += 1;
  }
  return progress;
}

struct State {
  std::optional<base::WallTime> last_run;
  std::optional<base::WallTime> next_run;
  std::optional<base::WallTime> missed;
  std::optional<std::size_t> selected;
  std::int64_t active = 0;
};

Result<> write_status(kube::Client& client, const Policy& policy, const State& state, kube::Condition ready,
                      base::WallTime now) {
  std::vector<kube::Condition> conditions = policy.conditions;
  ready.type = "Ready";
  ready.generation = policy.meta.generation;
  kube::set(conditions, std::move(ready), now);
  kube::Json status = {{"conditions", kube::to_json(conditions)}, {"active", state.active}};
  if (state.last_run) {
    status["lastRunTime"] = kube::time_text(*state.last_run);
  }
  if (state.next_run) {
    status["nextRunTime"] = kube::time_text(*state.next_run);
  }
  if (state.missed) {
    status["lastMissedRunTime"] = kube::time_text(*state.missed);
  }
  if (state.selected) {
    status["selected"] = *state.selected;
  }
  const auto patched = client.patch({kube::kPolicies, policy.meta.ns, policy.meta.name, "status"},
                                    kube::Json{{"status", std::move(status)}});
  if (!patched && patched.error().code != ErrorCode::NotFound) {
    return Failure(patched.error());
  }
  return {};
}

/// A policy in a round: what was decided and found before anything is made.
struct Turn {
  Policy policy;
  std::optional<Due> due;
  Made made;
  std::optional<kube::Condition> refused;
};

kube::Condition ready(const char* status, const char* reason, std::string message) {
  return {.type = {}, .status = status, .reason = reason, .message = std::move(message), .since = {}};
}

Result<Turn> look(kube::Client& client, Policy policy, base::WallTime now) {
  Turn turn{.policy = std::move(policy), .due = {}, .made = {}, .refused = {}};
  if (turn.policy.has_hooks) {
    turn.refused = ready("False", "HooksNotSupported",
                         "this version runs no hooks: nothing is backed up until they are taken out");
    return turn;
  }
  const auto when = due(turn.policy, now);
  if (!when) {
    turn.refused = ready("False", "InvalidSchedule", when.error().message);
    return turn;
  }
  turn.due = *when;
  // Nothing to do and nothing open: most policies, most of the time.
  if (when->run || turn.policy.active > 0) {
    FIRN_LET(turn.made, made_requests(client, turn.policy));
  }
  return turn;
}

Result<> run_policy(kube::Client& client, Turn& turn, base::WallTime now, Load& load,
                    const std::function<void(const Policy&, const std::string&)>& tell) {
  const Policy& policy = turn.policy;
  State state;
  if (turn.refused) {
    return write_status(client, policy, state, *turn.refused, now);
  }
  const Due& when = *turn.due;
  state.next_run = when.next;
  kube::Condition said = ready("True", "Scheduled", "runs as scheduled");
  if (policy.suspended) {
    said = ready("True", "Suspended", "spec.suspend is set: no new run is begun");
  } else if (when.run && when.missed) {
    state.last_run = when.run;
    state.missed = when.run;
    tell(policy, "the run of " + kube::time_text(*when.run) +
                     " was not made, or not wholly, within startingDeadlineSeconds: the rest is left out");
  } else if (when.run) {
    FIRN_LET(const Progress progress, work_on(client, policy, *when.run, now, turn.made, load));
    state.selected = progress.selected;
    if (progress.missing == 0) {
      state.last_run = when.run;
      tell(policy, "the run of " + kube::time_text(*when.run) + " has all its " +
                       std::to_string(progress.selected) + " requests");
    } else {
      said.message = "the run of " + kube::time_text(*when.run) + " is being made; " +
                     std::to_string(progress.missing) +
                     " requests wait for their time or for open ones to end";
    }
  }
  state.active = turn.made.open;
  return write_status(client, policy, state, std::move(said), now);
}

/// What Repositories allow; those without a limit are left out.
Result<std::map<std::string, Load>> loads(kube::Client& client, const std::string& ns) {
  std::map<std::string, Load> out;
  FIRN_TRY(client.list({.resource = kube::kRepositories, .ns = ns, .fields = {}, .labels = {}},
                       [&](const kube::Json& object) -> Result<> {
                         if (const auto max = kube::number_of(kube::member(object, "spec", "concurrency"))) {
                           out[kube::meta_of(object).name].open_max = *max;
                         }
                         return {};
                       }));
  return out;
}

}  // namespace

Policy policy_of(const kube::Json& object) {
  const kube::Json& spec = kube::member(object, "spec");
  Policy policy;
  policy.meta = kube::meta_of(object);
  policy.schedule = kube::text_of(kube::member(spec, "schedule"));
  policy.zone = kube::text_of(kube::member(spec, "timeZone"));
  policy.jitter = seconds(kube::number_of(kube::member(spec, "jitterSeconds")).value_or(0));
  policy.starting_deadline =
      seconds(kube::number_of(kube::member(spec, "startingDeadlineSeconds")).value_or(3600));
  policy.suspended = kube::bool_of(kube::member(spec, "suspend"));
  if (const kube::Json& labels = kube::member(spec, "selector", "matchLabels"); labels.is_object()) {
    for (const auto& label : labels.items()) {
      policy.match[label.key()] = kube::text_of(label.value());
    }
  }
  policy.repository = kube::text_of(kube::member(spec, "repositoryRef", "name"));
  policy.active = kube::number_of(kube::member(object, "status", "active")).value_or(0);
  policy.volumes = kube::texts_of(kube::member(spec, "volumes"));
  policy.per_node = kube::number_of(kube::member(spec, "concurrencyPerNode")).value_or(4);
  policy.criticality = kube::text_of(kube::member(spec, "criticality"));
  policy.request = kube::Json::object();
  for (const char* name : {"repositoryRef", "excludes", "deadlineSeconds"}) {
    if (const kube::Json& value = kube::member(spec, name); !value.is_null()) {
      policy.request[name] = value;
    }
  }
  // What maintenance knows the policy's snapshots by.
  policy.request["tags"] = kube::Json::array({policy_tag(policy.meta.name)});
  policy.request["ttlSecondsAfterFinished"] =
      kube::number_of(kube::member(spec, "requestTTLSeconds")).value_or(86400);
  policy.has_hooks = !kube::member(spec, "hooks").is_null();
  policy.conditions = kube::conditions_of(object);
  policy.last_run = kube::parse_time_text(kube::text_of(kube::member(object, "status", "lastRunTime")));
  return policy;
}

Result<Due> due(const Policy& policy, base::WallTime now) {
  FIRN_LET(const Cron cron, parse_cron(policy.schedule));
  Due out;
  base::WallTime from = policy.last_run.value_or(policy.meta.created);
  // Times that are too old to be begun need not be stepped through.
  from = std::max(from, after(now, -2 * policy.starting_deadline - std::chrono::hours(24)));
  for (int step = 0; step < kStepsMax; ++step) {
    FIRN_LET(out.next, next_time(cron, policy.zone, from));
    if (!out.next || *out.next > now) {
      break;
    }
    out.run = out.next;
    from = *out.next;
  }
  out.missed = out.run && after(*out.run, policy.starting_deadline) < now;
  return out;
}

std::string Policy::labels() const {
  std::string out;
  for (const auto& [name, value] : match) {
    out += (out.empty() ? "" : ",") + name + "=" + value;
  }
  return out;
}

std::string Target::key() const { return claim.empty() ? pod + "/" + volume : "claim/" + claim; }

bool selects(const Policy& policy, const kube::Pod& pod) {
  return std::all_of(policy.match.begin(), policy.match.end(), [&](const auto& wanted) {
    const auto label = pod.meta.labels.find(wanted.first);
    return label != pod.meta.labels.end() && label->second == wanted.second;
  });
}

std::string run_text(base::WallTime run) { return std::to_string(run.nanoseconds / 1'000'000'000); }

std::vector<Target> targets_of(const Policy& policy, const kube::Pod& pod) {
  std::vector<Target> targets;
  if (pod.meta.deleting || pod.node.empty()) {
    return targets;
  }
  for (const kube::PodVolume& volume : pod.volumes) {
    const bool named =
        std::find(policy.volumes.begin(), policy.volumes.end(), volume.name) != policy.volumes.end();
    if (named || (policy.volumes.empty() && !volume.claim.empty() && !volume.block)) {
      targets.push_back({.pod = pod.meta.name,
                         .pod_uid = pod.meta.uid,
                         .node = pod.node,
                         .volume = volume.name,
                         .claim = volume.claim});
    }
  }
  return targets;
}

std::string request_name(const Policy& policy, base::WallTime run, const Target& target) {
  return policy.meta.name.substr(0, kNameBytesMax) + "-" + run_text(run) + "-" +
         short_hash(target.pod_uid + "/" + target.volume);
}

Result<> run_policies(kube::Client& client, const base::Clock& clock, const std::string& ns,
                      const std::function<void(const Policy& policy, const std::string& what)>& tell) {
  std::vector<Policy> policies;
  FIRN_TRY(client.list({.resource = kube::kPolicies, .ns = {}, .fields = {}, .labels = {}},
                       [&](const kube::Json& object) -> Result<> {
                         policies.push_back(policy_of(object));
                         return {};
                       }));
  if (policies.empty()) {
    return {};
  }
  FIRN_LET(auto repositories, loads(client, ns));
  std::vector<Turn> turns;
  for (Policy& policy : policies) {
    const std::string name = policy.meta.ns + "/" + policy.meta.name;
    FIRN_LET(Turn turn, in("policy " + name, look(client, std::move(policy), clock.wall())));
    repositories[turn.policy.repository].open += turn.made.open;
    turns.push_back(std::move(turn));
  }
  for (Turn& turn : turns) {
    FIRN_TRY(in("policy " + turn.policy.meta.ns + "/" + turn.policy.meta.name,
                run_policy(client, turn, clock.wall(), repositories[turn.policy.repository], tell)));
  }
  return {};
}

}  // namespace firn::controller
