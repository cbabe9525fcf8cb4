// The daemon on a node: follows the requests for its node and serves them.
//
// Promise: a request ends in Succeeded True or False with a reason, whatever happens to the agent, the API
// server or the store: what a killed agent left is taken up by the next one, and every request has a
// deadline. On stop no new request is begun, running ones are stopped and stay unended, for the next agent to
// go on with. Not here: one request's work (job.h). Threads: run_agent() blocks its caller; it makes its own
// tasks.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "agent/kube/config.h"
#include "agent/restore/target_fs.h"
#include "agent/scan/source_fs.h"
#include "agent/service/volume.h"
#include "repo/base/clock.h"
#include "repo/base/executor.h"
#include "repo/base/result.h"
#include "repo/base/rng.h"
#include "repo/base/stop.h"

namespace firn::service {

struct AgentOptions {
  std::string node;
  std::string ns;          // firn's own; empty: the pod's
  std::string kubeconfig;  // empty: the pod's service account
  HostPlaces places;
  std::string state_dir = "/var/lib/firn";
  std::string key_dir = "/etc/firn/keys";
  std::string metrics_listen = "0.0.0.0:9808";
  std::string cluster;  // its identity; empty: the uid of namespace kube-system
  bool backups = true;
  bool restores = true;
  unsigned jobs = 2;  // at once
  std::optional<std::uint64_t> memory_bytes;
};

struct DaemonWorld {
  base::Executor& executor;
  base::Rng& rng;
  const base::Clock& clock;
  const base::StopFlag& stop;
  scan::SourceFs& source;
  restore::TargetFs& target;
  kube::Variables variable;
  int out_fd = 1;
};

/// Returns when it was told to stop. Errors: what is wrong from the start (no node name, no configuration, an
/// address in use).
Result<> run_agent(const AgentOptions& options, const DaemonWorld& world);

}  // namespace firn::service
