// How well everything is protected: what the policies' last runs came to, which chosen volumes have no
// snapshot yet, and which claims of the cluster nobody backs up.
//
// Promise: a volume counts as protected when a request of a policy for it has succeeded; the newest such
// request is kept by the janitor for that. Memory is a few words for each request, claim and pod. Not here:
// making requests (policy.h). Threads: one caller.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/controller/policy.h"
#include "agent/kube/client.h"
#include "agent/kube/requests.h"
#include "repo/base/clock.h"

namespace firn::controller {

/// What is known of the requests of one policy.
struct RunTally {
  std::set<std::string> protected_targets;
  // Of the requests of the last run:
  std::size_t made = 0;
  std::size_t unended = 0;
  std::size_t failed = 0;
  std::string first_failure;                // "NAME: Reason: message"
  std::optional<base::WallTime> completed;  // the last of them
};
/// Adds a request of the policy.
void add(RunTally& tally, const Policy& policy, const kube::Request& request);

/// What the policy's status shall say of it.
struct PolicyState {
  std::size_t selected = 0;
  std::vector<std::string> unprotected;     // names
  std::optional<kube::Condition> last_run;  // LastRunSucceeded
  std::optional<base::WallTime> last_success;
};
PolicyState state_of(const Policy& policy, const std::vector<Target>& targets, const RunTally& tally);

/// "namespace" to the names of its claims that no snapshot protects.
using Unprotected = std::map<std::string, std::vector<std::string>>;

/// Looks at everything once, and writes what it found into the policies' status. Errors: those of the API
/// server.
Result<Unprotected> survey(kube::Client& client, const base::Clock& clock);

}  // namespace firn::controller
