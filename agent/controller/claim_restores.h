// Restores into claims that no pod of the user's mounts: a helper pod mounts the claim, and a
// PodVolumeRestore for that pod, made here, has the agent of its node do the work.
//
// Promise: the request says all the time what is going on, and ends as the work does; a claim that is to be
// made is made with the size that was asked for; the helper goes when the work has ended, whatever its end.
// What the helper looks like is PodTemplate firn-helper in firn's namespace. Not here: whether a snapshot may
// be restored there (the agent asks the Repository), requests that nobody ends (janitor.h). Threads: one
// caller.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/kube/client.h"
#include "agent/kube/requests.h"
#include "repo/base/clock.h"

namespace firn::controller {

/// A PodVolumeRestore with a claim in the place of a pod.
struct ClaimRestore {
  kube::Request request;
  kube::Json spec;
  std::string claim;
  std::string storage_class;
  std::string size;  // empty: the claim is there
  std::vector<std::string> access_modes;
};
ClaimRestore claim_restore_of(const kube::Json& object);

/// The helper's and the work's name.
std::string helper_name(const ClaimRestore& restore);

kube::Json claim_of(const ClaimRestore& restore);
/// The helper, by the template.
kube::Json helper_of(const ClaimRestore& restore, const kube::Json& pod_template);
/// The request for the helper's pod.
kube::Json work_of(const ClaimRestore& restore, const kube::Json& helper, base::WallTime now);
/// Why a helper is not running; empty: it is.
std::string waiting_text(const kube::Json& helper);
/// What the request's status takes over from the work's.
kube::Json mirrored(const ClaimRestore& restore, const kube::Json& work, base::WallTime now);

/// Looks at every such restore once; `ns` is firn's. Errors: those of the API server.
Result<> run_claim_restores(
    kube::Client& client, const base::Clock& clock, const std::string& ns,
    const std::function<void(const ClaimRestore& restore, const std::string& what)>& tell);

}  // namespace firn::controller
