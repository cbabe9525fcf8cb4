// The command lines of the daemons. The daemons themselves are agent/service, which the program's main hands
// in: neither of the two folders knows the other.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/cli/flags.h"

namespace firn::cli {

/// The flags of `firn agent`, as they were written.
struct AgentSettings {
  std::string node;
  std::string ns;
  std::string kubeconfig;
  std::string kubelet_root = "/var/lib/kubelet";
  std::string host_root;
  std::vector<std::string> host_paths_allowed;
  std::string state_dir = "/var/lib/firn";
  std::string key_dir = "/etc/firn/keys";
  std::string metrics_listen = "0.0.0.0:9808";
  std::string cluster;
  std::string serve = "all";
  std::optional<std::uint64_t> jobs;
  std::optional<std::string> memory;
};

/// Runs the daemon until it is told to stop.
using RunAgent = std::function<Result<>(const AgentSettings& settings)>;

void add_agent(CommandSet& set, RunAgent run);

/// The flags of `firn controller`.
struct ControllerSettings {
  std::string identity;
  std::string ns;
  std::string kubeconfig;
  std::string metrics_listen = "0.0.0.0:9810";
};
using RunController = std::function<Result<>(const ControllerSettings& settings)>;

void add_controller(CommandSet& set, RunController run);

/// `firn hold`: keeps a helper pod alive, so that its volumes stay mounted.
void add_hold(CommandSet& set);

/// What the program has; a command whose daemon is missing says so.
struct Daemons {
  RunAgent agent;
  RunController controller;
};

}  // namespace firn::cli
