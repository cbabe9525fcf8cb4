// BackupPolicies: makes the requests that they ask for, when they are due.
//
// Promise: a run's requests have names made of the policy, the scheduled time and the volume, so that a run
// that is looked at again, by whomever, makes nothing twice. A run that is missed by more than its
// startingDeadlineSeconds is left out. What this version does not do (hooks) the policy's Ready condition
// says. Not here: retention (repositories.h). Threads: one caller.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/kube/client.h"
#include "agent/kube/objects.h"
#include "repo/base/clock.h"

namespace firn::controller {

struct Policy {
  kube::Meta meta;
  std::string schedule;
  std::string zone;
  std::chrono::seconds jitter{0};
  std::chrono::seconds starting_deadline{3600};
  bool suspended = false;
  std::map<std::string, std::string> match;  // labels that a pod must have
  std::string labels() const;                // the same as a selector
  std::vector<std::string> volumes;
  std::int64_t per_node = 4;
  std::string criticality;
  std::string repository;
  kube::Json request;  // what its requests' specs have in common
  bool has_hooks = false;
  std::vector<kube::Condition> conditions;
  std::optional<base::WallTime> last_run;
  std::int64_t active = 0;  // open requests when it was looked at last
};
Policy policy_of(const kube::Json& object);

/// The run that is to be worked on now, if there is one: the latest scheduled time that has come. Errors:
/// Invalid (the schedule or the time zone).
struct Due {
  std::optional<base::WallTime> run;
  std::optional<base::WallTime> next;
  bool missed = false;  // too late: it is left out
};
Result<Due> due(const Policy& policy, base::WallTime now);

/// A volume that the policy backs up.
struct Target {
  std::string pod;
  std::string pod_uid;
  std::string node;
  std::string volume;
  std::string claim;  // empty: none

  /// What it is called: "claim/NAME", or "POD/VOLUME".
  std::string key() const;
};
bool selects(const Policy& policy, const kube::Pod& pod);
/// Those of one pod: the named ones, or every one with a claim.
std::vector<Target> targets_of(const Policy& policy, const kube::Pod& pod);
/// A run as names and labels have it: seconds.
std::string run_text(base::WallTime run);
/// The name of a target's request in a run.
std::string request_name(const Policy& policy, base::WallTime run, const Target& target);

/// Looks at every policy once; `ns` is firn's, where Repositories are. Errors: those of the API server.
Result<> run_policies(kube::Client& client, const base::Clock& clock, const std::string& ns,
                      const std::function<void(const Policy& policy, const std::string& what)>& tell);

}  // namespace firn::controller
