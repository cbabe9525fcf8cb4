// The daemon that looks after all requests of the cluster: `firn controller`.
//
// Several may run; the one that holds the Lease works. Threads: run_controller() blocks its caller.
#pragma once

#include <string>

#include "agent/service/agent.h"

namespace firn::service {

struct ControllerOptions {
  std::string identity;    // of this process; the pod's name
  std::string ns;          // firn's own; empty: the pod's
  std::string kubeconfig;  // empty: the pod's service account
  std::string metrics_listen = "0.0.0.0:9810";
};

/// Returns when it was told to stop. Errors: what is wrong from the start.
Result<> run_controller(const ControllerOptions& options, const DaemonWorld& world);

}  // namespace firn::service
