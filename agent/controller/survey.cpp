#include "agent/controller/survey.h"

#include <algorithm>

#include "agent/controller/names.h"
#include "agent/kube/times.h"

namespace firn::controller {
namespace {

constexpr std::size_t kNamesMax = 50;
constexpr const char* kExclude = "backup.firn.io/exclude";

std::string label_of(const kube::Meta& meta, const char* name) {
  const auto found = meta.labels.find(name);
  return found == meta.labels.end() ? "" : found->second;
}

bool has_succeeded(const kube::Request& request) {
  const kube::Condition* said = kube::find(request.conditions, "Succeeded");
  return said != nullptr && said->status == "True";
}

struct ClaimSeen {
  std::string ns;
  std::string name;
};

/// Everything that the survey needs to know at once.
struct Seen {
  std::vector<Policy> policies;
  std::vector<std::vector<Target>> targets;  // of each policy
  std::vector<RunTally> tallies;             // of each policy
  std::vector<ClaimSeen> claims;             // bound, and not excluded
};

Result<> see_pods(kube::Client& client, Seen& seen) {
  return client
      .list({.resource = kube::kPods, .ns = {}, .fields = "status.phase=Running", .labels = {}},
            [&](const kube::Json& object) -> Result<> {
              const kube::Pod pod = kube::pod_of(object);
              for (std::size_t i = 0; i < seen.policies.size(); ++i) {
                if (seen.policies[i].meta.ns == pod.meta.ns && selects(seen.policies[i], pod)) {
                  const auto more = targets_of(seen.policies[i], pod);
                  seen.targets[i].insert(seen.targets[i].end(), more.begin(), more.end());
                }
              }
              return {};
            })
      .map([](const std::string&) {});
}

Result<> see_requests(kube::Client& client, Seen& seen) {
  return client
      .list({.resource = kube::kBackups, .ns = {}, .fields = {}, .labels = kPolicyLabel},
            [&](const kube::Json& object) -> Result<> {
              const kube::Request request = kube::request_of(kube::RequestKind::Backup, object);
              for (std::size_t i = 0; i < seen.policies.size(); ++i) {
                const Policy& policy = seen.policies[i];
                if (policy.meta.ns == request.meta.ns &&
                    policy.meta.name == label_of(request.meta, kPolicyLabel)) {
                  add(seen.tallies[i], policy, request);
                }
              }
              return {};
            })
      .map([](const std::string&) {});
}

Result<> see_claims(kube::Client& client, Seen& seen) {
  return client
      .list({.resource = kube::kClaims, .ns = {}, .fields = {}, .labels = {}},
            [&](const kube::Json& object) -> Result<> {
              const kube::Claim claim = kube::claim_of(object);
              const bool excluded =
                  kube::text_of(kube::member(object, "metadata", "annotations", kExclude)) == "true";
              if (!claim.volume.empty() && !excluded && !claim.meta.deleting) {
                seen.claims.push_back({claim.meta.ns, claim.meta.name});
              }
              return {};
            })
      .map([](const std::string&) {});
}

bool is_protected(const Seen& seen, const ClaimSeen& claim) {
  const Target target{.pod = {}, .pod_uid = {}, .node = {}, .volume = {}, .claim = claim.name};
  for (std::size_t i = 0; i < seen.policies.size(); ++i) {
    if (seen.policies[i].meta.ns == claim.ns && !seen.policies[i].suspended &&
        seen.tallies[i].protected_targets.contains(short_hash(target.key()))) {
      return true;
    }
  }
  return false;
}

Result<> write_state(kube::Client& client, const Policy& policy, const PolicyState& state,
                     base::WallTime now) {
  kube::Json status = {{"selected", state.selected}, {"unprotected", state.unprotected.size()}};
  status["unprotectedVolumes"] = kube::Json::array();
  for (const std::string& name : state.unprotected) {
    if (status["unprotectedVolumes"].size() < kNamesMax) {
      status["unprotectedVolumes"].push_back(name);
    }
  }
  if (state.last_run) {
    std::vector<kube::Condition> conditions = policy.conditions;
    kube::set(conditions, *state.last_run, now);
    status["conditions"] = kube::to_json(conditions);
  }
  if (state.last_success) {
    status["lastSuccessTime"] = kube::time_text(*state.last_success);
  }
  const auto patched = client.patch({kube::kPolicies, policy.meta.ns, policy.meta.name, "status"},
                                    kube::Json{{"status", std::move(status)}});
  return patched || patched.error().code == ErrorCode::NotFound ? Result<>() : Failure(patched.error());
}

}  // namespace

void add(RunTally& tally, const Policy& policy, const kube::Request& request) {
  const bool succeeded = has_succeeded(request);
  if (succeeded) {
    tally.protected_targets.insert(label_of(request.meta, kTargetLabel));
  }
  if (!policy.last_run || label_of(request.meta, kRunLabel) != run_text(*policy.last_run)) {
    return;
  }
  tally.made += 1;
  if (!request.ended()) {
    tally.unended += 1;
    return;
  }
  if (request.completed && (!tally.completed || *tally.completed < *request.completed)) {
    tally.completed = request.completed;
  }
  if (succeeded) {
    return;
  }
  tally.failed += 1;
  const kube::Condition* said = kube::find(request.conditions, "Succeeded");
  if (tally.first_failure.empty() && said != nullptr) {
    tally.first_failure = request.meta.name + ": " + said->reason + ": " + said->message;
  }
}

PolicyState state_of(const Policy& policy, const std::vector<Target>& targets, const RunTally& tally) {
  PolicyState state;
  std::set<std::string> names;
  std::set<std::string> all;
  for (const Target& target : targets) {
    all.insert(target.key());
    if (!tally.protected_targets.contains(short_hash(target.key()))) {
      names.insert(target.key());
    }
  }
  state.selected = all.size();
  state.unprotected.assign(names.begin(), names.end());
  if (!policy.last_run || tally.made == 0) {
    return state;
  }
  kube::Condition said{.type = "LastRunSucceeded",
                       .status = "True",
                       .reason = "Succeeded",
                       .message = std::to_string(tally.made) + " requests succeeded",
                       .since = {},
                       .generation = policy.meta.generation};
  if (tally.failed > 0) {
    said.status = "False";
    said.reason = "RequestsFailed";
    said.message = std::to_string(tally.failed) + " of " + std::to_string(tally.made) +
                   " requests failed, as " + tally.first_failure;
  } else if (tally.unended > 0) {
    said.status = "Unknown";
    said.reason = "Running";
    said.message =
        std::to_string(tally.unended) + " of " + std::to_string(tally.made) + " requests have not ended";
  } else {
    state.last_success = tally.completed;
  }
  said.message = said.message.substr(0, 2000);
  state.last_run = std::move(said);
  return state;
}

Result<Unprotected> survey(kube::Client& client, const base::Clock& clock) {
  Seen seen;
  FIRN_TRY(client.list({.resource = kube::kPolicies, .ns = {}, .fields = {}, .labels = {}},
                       [&](const kube::Json& object) -> Result<> {
                         seen.policies.push_back(policy_of(object));
                         return {};
                       }));
  seen.targets.resize(seen.policies.size());
  seen.tallies.resize(seen.policies.size());
  FIRN_TRY(in("listing pods", see_pods(client, seen)));
  FIRN_TRY(in("listing requests", see_requests(client, seen)));
  FIRN_TRY(in("listing claims", see_claims(client, seen)));
  for (std::size_t i = 0; i < seen.policies.size(); ++i) {
    FIRN_TRY(write_state(client, seen.policies[i],
                         state_of(seen.policies[i], seen.targets[i], seen.tallies[i]), clock.wall()));
  }
  Unprotected out;
  for (const ClaimSeen& claim : seen.claims) {
    if (!is_protected(seen, claim)) {
      out[claim.ns].push_back(claim.name);
    }
  }
  return out;
}

}  // namespace firn::controller
