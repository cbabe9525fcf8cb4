#include "agent/controller/policy.h"

#include <algorithm>
#include <map>
#include <set>

#include "agent/controller/cron.h"
#include "agent/kube/requests.h"
#include "agent/kube/times.h"

namespace firn::controller {
namespace {

using std::chrono::seconds;

constexpr const char* kPolicyLabel = "backup.firn.io/policy";
constexpr std::size_t kNameBytesMax = 200;
// More scheduled times than this between two looks are as good as one.
constexpr int kStepsMax = 100'000;
constexpr std::int64_t kPriorityHigh = 100;

/// FNV-1a: the same for the same volume, whichever process asks.
std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 14695981039346656037ULL;
  for (const char c : text) {
    value = (value ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  return value;
}

std::string hex(std::uint64_t value) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out(10, '0');
  for (char& digit : out) {
    digit = kDigits[value & 15];
    value >>= 4;
  }
  return out;
}

base::WallTime after(base::WallTime time, seconds duration) {
  return {time.nanoseconds + std::chrono::nanoseconds(duration).count()};
}

std::string unix_text(base::WallTime time) { return std::to_string(time.nanoseconds / 1'000'000'000); }

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
            {"labels", {{kPolicyLabel, policy.meta.name}}}}},
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

/// Makes what is missing of a run and may be made now. True when nothing is missing any more.
Result<bool> work_on(kube::Client& client, const Policy& policy, base::WallTime run, base::WallTime now,
                     Made& made, std::size_t& selected) {
  std::vector<Target> targets;
  FIRN_TRY(client.list({.resource = kube::kPods,
                        .ns = policy.meta.ns,
                        .fields = "status.phase=Running",
                        .labels = policy.labels},
                       [&](const kube::Json& object) -> Result<> {
                         const auto more = targets_of(policy, kube::pod_of(object));
                         targets.insert(targets.end(), more.begin(), more.end());
                         return {};
                       }));
  selected = targets.size();
  bool complete = true;
  for (const Target& target : targets) {
    const std::string name = request_name(policy, run, target);
    if (made.names.contains(name)) {
      continue;
    }
    const auto share = static_cast<std::int64_t>(hash(target.pod + "/" + target.volume) % 1'000'003);
    const seconds wait(policy.jitter.count() == 0 ? 0 : share % (policy.jitter.count() + 1));
    std::int64_t& open = made.open_by_node[target.node];
    if (now < after(run, wait) || open >= policy.per_node) {
      complete = false;
      continue;
    }
    const auto created =
        client.create({kube::kBackups, policy.meta.ns, name, {}}, request_json(policy, run, target));
    if (!created && created.error().code != ErrorCode::Exists) {
      return Failure(created.error());
    }
    open += 1;
    made.open += 1;
  }
  return complete;
}

struct State {
  std::optional<base::WallTime> last_run;
  std::optional<base::WallTime> next_run;
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

Result<> run_policy(kube::Client& client, const Policy& policy, base::WallTime now,
                    const std::function<void(const Policy&, const std::string&)>& tell) {
  State state;
  if (policy.has_hooks) {
    return write_status(
        client, policy, state,
        {.type = {},
         .status = "False",
         .reason = "HooksNotSupported",
         .message = "this version runs no hooks: nothing is backed up until they are taken out",
         .since = {}},
        now);
  }
  const auto when = due(policy, now);
  if (!when) {
    return write_status(client, policy, state,
                        {.type = {},
                         .status = "False",
                         .reason = "InvalidSchedule",
                         .message = when.error().message,
                         .since = {}},
                        now);
  }
  state.next_run = when->next;
  FIRN_LET(Made made, made_requests(client, policy));
  kube::Condition ready{
      .type = {}, .status = "True", .reason = "Scheduled", .message = "runs as scheduled", .since = {}};
  if (policy.suspended) {
    ready.reason = "Suspended";
    ready.message = "spec.suspend is set: no new run is begun";
  } else if (when->run && when->missed) {
    state.last_run = when->run;
    ready.reason = "RunMissed";
    ready.message =
        "the run of " + kube::time_text(*when->run) + " was missed by more than startingDeadlineSeconds";
    tell(policy, ready.message);
  } else if (when->run) {
    std::size_t selected = 0;
    FIRN_LET(const bool complete, work_on(client, policy, *when->run, now, made, selected));
    state.selected = selected;
    if (complete) {
      state.last_run = when->run;
      tell(policy, "the run of " + kube::time_text(*when->run) + " has all its " + std::to_string(selected) +
                       " requests");
    }
  }
  if (policy.has_retention) {
    ready.message += "; retention is not applied by this version: use 'firn forget'";
  }
  state.active = made.open;
  return write_status(client, policy, state, std::move(ready), now);
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
      policy.labels += (policy.labels.empty() ? "" : ",") + label.key() + "=" + kube::text_of(label.value());
    }
  }
  policy.volumes = kube::texts_of(kube::member(spec, "volumes"));
  policy.per_node = kube::number_of(kube::member(spec, "concurrencyPerNode")).value_or(4);
  policy.criticality = kube::text_of(kube::member(spec, "criticality"));
  policy.request = kube::Json::object();
  for (const char* name : {"repositoryRef", "excludes", "deadlineSeconds"}) {
    if (const kube::Json& value = kube::member(spec, name); !value.is_null()) {
      policy.request[name] = value;
    }
  }
  policy.request["ttlSecondsAfterFinished"] =
      kube::number_of(kube::member(spec, "requestTTLSeconds")).value_or(86400);
  policy.has_hooks = !kube::member(spec, "hooks").is_null();
  policy.has_retention = !kube::member(spec, "retention").is_null();
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

std::vector<Target> targets_of(const Policy& policy, const kube::Pod& pod) {
  std::vector<Target> targets;
  if (pod.meta.deleting || pod.node.empty()) {
    return targets;
  }
  for (const kube::PodVolume& volume : pod.volumes) {
    const bool named =
        std::find(policy.volumes.begin(), policy.volumes.end(), volume.name) != policy.volumes.end();
    if (named || (policy.volumes.empty() && !volume.claim.empty() && !volume.block)) {
      targets.push_back(
          {.pod = pod.meta.name, .pod_uid = pod.meta.uid, .node = pod.node, .volume = volume.name});
    }
  }
  return targets;
}

std::string request_name(const Policy& policy, base::WallTime run, const Target& target) {
  return policy.meta.name.substr(0, kNameBytesMax) + "-" + unix_text(run) + "-" +
         hex(hash(target.pod_uid + "/" + target.volume));
}

Result<> run_policies(kube::Client& client, const base::Clock& clock,
                      const std::function<void(const Policy& policy, const std::string& what)>& tell) {
  std::vector<Policy> policies;
  FIRN_TRY(client.list({.resource = kube::kPolicies, .ns = {}, .fields = {}, .labels = {}},
                       [&](const kube::Json& object) -> Result<> {
                         policies.push_back(policy_of(object));
                         return {};
                       }));
  for (const Policy& policy : policies) {
    FIRN_TRY(in("policy " + policy.meta.ns + "/" + policy.meta.name,
                run_policy(client, policy, clock.wall(), tell)));
  }
  return {};
}

}  // namespace firn::controller
