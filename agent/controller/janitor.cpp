#include "agent/controller/janitor.h"

#include <utility>

#include "agent/controller/names.h"

namespace firn::controller {
namespace {

using std::chrono::seconds;

// Agents say every ten seconds that they are at work; a node that is cut off may come back within this.
constexpr seconds kHeartbeatMax{300};
// Agents end what is late by themselves; this is for those that have none.
constexpr seconds kDeadlineGrace{60};
// A new node may have pods before we have seen it.
constexpr seconds kNodeGrace{60};
// Of one sweep; the rest is met by the next one.
constexpr std::size_t kActionsMax = 1000;

// A success is worth knowing of so long after its request's own time.
constexpr seconds kSuccessKept{14L * 24 * 3600};

bool is_older(base::WallTime time, seconds age, base::WallTime now) {
  return now.nanoseconds - time.nanoseconds > std::chrono::nanoseconds(age).count();
}

/// Empty for a request that no policy made.
std::string key_of(const kube::Request& request) {
  const auto policy = request.meta.labels.find(kPolicyLabel);
  const auto target = request.meta.labels.find(kTargetLabel);
  return policy == request.meta.labels.end() || target == request.meta.labels.end()
             ? ""
             : request.meta.ns + "/" + policy->second + "/" + target->second;
}

Result<std::set<std::string>> node_names(kube::Client& client) {
  std::set<std::string> names;
  FIRN_TRY(client.list({.resource = kube::kNodes, .ns = {}, .fields = {}, .labels = {}},
                       [&](const kube::Json& node) -> Result<> {
                         names.insert(kube::meta_of(node).name);
                         return {};
                       }));
  return names;
}

kube::Json failure(const kube::Request& request, const Verdict& verdict, base::WallTime now) {
  kube::StatusChange status;
  status.conditions = request.conditions;
  for (const auto& [type, value] : {std::pair{"Running", "False"}, {"Succeeded", "False"}}) {
    kube::set(status.conditions,
              {.type = type,
               .status = value,
               .reason = verdict.reason,
               .message = verdict.message,
               .since = {},
               .generation = request.meta.generation},
              now);
  }
  status.completed = now;
  // With the version that was judged: an agent that lives has written since.
  return kube::status_patch(status, request.meta.version);
}

/// False when somebody else was faster.
Result<bool> act(kube::Client& client, const Action& action, base::WallTime now) {
  if (action.verdict.act == Verdict::Act::Delete) {
    FIRN_TRY(client.remove(action.request.place(), action.request.meta.uid));
    return true;
  }
  const auto patched =
      client.patch(action.request.status_place(), failure(action.request, action.verdict, now));
  if (patched) {
    return true;
  }
  const ErrorCode code = patched.error().code;
  if (code == ErrorCode::Changed || code == ErrorCode::NotFound) {
    return false;
  }
  return Failure(patched.error());
}

}  // namespace

Verdict judge(const kube::Request& request, const std::set<std::string>& nodes, base::WallTime now) {
  if (request.ended()) {
    const bool over = request.ttl && request.completed && is_older(*request.completed, *request.ttl, now);
    return over ? Verdict{Verdict::Act::Delete, "Expired", "its ttlSecondsAfterFinished is over"} : Verdict{};
  }
  // A restore into a claim names no node: the request for its helper does.
  if (!request.node.empty() && !nodes.contains(request.node) &&
      is_older(request.meta.created, kNodeGrace, now)) {
    return {Verdict::Act::Fail, "NodeGone",
            "there is no node " + request.node +
                " in this cluster: make a request for the node that the pod runs on"};
  }
  const kube::Condition* running = kube::find(request.conditions, "Running");
  if (running != nullptr && running->status == "True" && request.heartbeat &&
      is_older(*request.heartbeat, kHeartbeatMax, now)) {
    return {Verdict::Act::Fail, "AgentLost",
            "the agent on node " + request.node + " has not been heard of for " +
                std::to_string(kHeartbeatMax.count()) + " s; what it stored is used by the next request"};
  }
  if (is_older(request.meta.created, request.deadline + kDeadlineGrace, now)) {
    return {Verdict::Act::Fail, "DeadlineExceeded",
            "not done within spec.deadlineSeconds, and no agent on node " + request.node +
                " ended it: is one running there?"};
  }
  return {};
}

void Actions::choose(Action action) {
  if (action.verdict.act != Verdict::Act::Keep && chosen_.size() < kActionsMax) {
    chosen_.push_back(std::move(action));
  }
}

void Actions::add(Action action) {
  const std::string key = key_of(action.request);
  const kube::Condition* said = kube::find(action.request.conditions, "Succeeded");
  if (key.empty() || said == nullptr || said->status != "True" || !action.request.completed) {
    choose(std::move(action));
    return;
  }
  const auto held = newest_.find(key);
  if (held == newest_.end()) {
    newest_.emplace(key, std::move(action));
    return;
  }
  if (*held->second.request.completed < *action.request.completed) {
    std::swap(held->second, action);
  }
  choose(std::move(action));
}

std::vector<Action> Actions::take(base::WallTime now) {
  for (auto& [key, held] : newest_) {
    if (is_older(*held.request.completed, held.request.ttl.value_or(seconds(0)) + kSuccessKept, now)) {
      choose(std::move(held));
    }
  }
  newest_.clear();
  return std::exchange(chosen_, {});
}

Result<Swept> sweep(kube::Client& client, const base::Clock& clock, const Tell& tell) {
  FIRN_LET(const std::set<std::string> nodes, in("listing nodes", node_names(client)));
  Swept swept;
  Actions actions;
  const base::WallTime now = clock.wall();
  for (const auto& [kind, resource] : {std::pair{kube::RequestKind::Backup, kube::kBackups},
                                       {kube::RequestKind::Restore, kube::kRestores}}) {
    const kube::RequestKind this_kind = kind;
    FIRN_TRY(in("listing requests", client.list({.resource = resource, .ns = {}, .fields = {}, .labels = {}},
                                                [&](const kube::Json& object) -> Result<> {
                                                  kube::Request request = kube::request_of(this_kind, object);
                                                  Verdict verdict = judge(request, nodes, now);
                                                  swept.seen += 1;
                                                  swept.unended += request.ended() ? 0 : 1;
                                                  actions.add({std::move(request), std::move(verdict)});
                                                  return {};
                                                })));
  }
  for (const Action& action : actions.take(now)) {
    FIRN_LET(const bool done, act(client, action, now));
    if (done) {
      tell(action.request, action.verdict);
      (action.verdict.act == Verdict::Act::Delete ? swept.deleted : swept.failed) += 1;
    }
  }
  return swept;
}

}  // namespace firn::controller
