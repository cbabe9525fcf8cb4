// firn agent, firn controller: the flags of the daemons. What they do is in agent/service. firn hold: does
// nothing.
#include <memory>

#include "agent/cli/agent_command.h"
#include "agent/cli/context.h"

namespace firn::cli {
namespace {

Result<int> run_agent_command(Context& context, AgentSettings settings, const RunAgent& run) {
  const auto fall_back = [&](std::string& value, const char* name) {
    if (value.empty()) {
      value = context.world.variable(name).value_or("");
    }
  };
  fall_back(settings.node, "NODE_NAME");
  fall_back(settings.ns, "POD_NAMESPACE");
  settings.memory = context.globals.memory;
  if (!run) {
    return fail(ErrorCode::Unsupported, "this program has no agent");
  }
  FIRN_TRY(run(settings));
  return 0;
}

Result<int> run_controller_command(Context& context, ControllerSettings settings, const RunController& run) {
  if (settings.identity.empty()) {
    settings.identity = context.world.variable("POD_NAME").value_or("");
  }
  if (settings.ns.empty()) {
    settings.ns = context.world.variable("POD_NAMESPACE").value_or("");
  }
  if (!run) {
    return fail(ErrorCode::Unsupported, "this program has no controller");
  }
  FIRN_TRY(run(settings));
  return 0;
}

}  // namespace

void add_controller(CommandSet& set, RunController run) {
  auto o = std::make_shared<ControllerSettings>();
  Command command{
      .name = "controller",
      .summary = "Look after a Kubernetes cluster's backup and restore requests",
      .text =
          "Runs once in a cluster, in a pod of a Deployment; of several, the one that holds the Lease "
          "firn-controller works. Makes the requests of BackupPolicies, fails requests whose node is gone or "
          "whose agent is silent, and deletes "
          "requests whose ttlSecondsAfterFinished is over. It never touches a snapshot.",
      .examples = {{"firn controller --identity controller-1", ""}},
      .flags = {},
      .arguments = {},
      .run = [o, run = std::move(run)](Context& context) {
        return run_controller_command(context, *o, run);
      }};
  const auto text = [&](const char* names, std::string& target, const char* value, const char* help) {
    command.flag({.names = names, .value = value, .help = help, .choices = {}, .target = &target});
  };
  text("--identity", o->identity, "NAME",
       "What it is called in the Lease; without it, the variable POD_NAME");
  text("--namespace", o->ns, "NAME", "Where the Lease is; without it, POD_NAMESPACE or the pod's own");
  text("--kubeconfig", o->kubeconfig, "FILE", "How to reach the API server from outside of a pod");
  text("--metrics-listen", o->metrics_listen, "ADDR:PORT",
       "Where /metrics, /healthz and /readyz are answered");
  set.add(std::move(command));
}

void add_hold(CommandSet& set) {
  set.add({.name = "hold",
           .summary = "Wait until told to stop, so that a pod's volumes stay mounted",
           .text =
               "Does nothing until SIGTERM. The controller of a cluster starts a pod with it that mounts the "
               "claim which a PodVolumeRestore names; the node's agent does the work.",
           .examples = {{"firn hold", ""}},
           .flags = {},
           .arguments = {},
           .run = [](Context& context) -> Result<int> {
             while (!context.world.stop.requested()) {
               context.world.executor.sleep_for(std::chrono::milliseconds(200));
             }
             return 0;
           }});
}

void add_agent(CommandSet& set, RunAgent run) {
  auto o = std::make_shared<AgentSettings>();
  Command command{
      .name = "agent",
      .summary = "Serve a Kubernetes node's backup and restore requests",
      .text =
          "Runs on each node, in a pod of a DaemonSet. Serves the PodVolumeBackup and PodVolumeRestore "
          "requests whose nodeName is this node, writes how they go into their status, and answers /metrics, "
          "/healthz and /readyz. Logs are JSON lines on standard output. docs/OPERATING.md says how to "
          "install "
          "it.",
      .examples = {{"firn agent --node-name node-1 --serve backups", ""}},
      .flags = {},
      .arguments = {},
      .run = [o, run = std::move(run)](Context& context) { return run_agent_command(context, *o, run); }};
  const auto text = [&](const char* names, std::string& target, const char* value, const char* help) {
    command.flag({.names = names, .value = value, .help = help, .choices = {}, .target = &target});
  };
  text("--node-name", o->node, "NAME", "The node it serves; without it, the variable NODE_NAME");
  text("--namespace", o->ns, "NAME",
       "Where its Repository objects are; without it, POD_NAMESPACE or the pod's own");
  text("--kubeconfig", o->kubeconfig, "FILE", "How to reach the API server from outside of a pod");
  text("--kubelet-root", o->kubelet_root, "DIR", "The kubelet's root directory, as mounted here");
  text("--host-root", o->host_root, "DIR", "Below which the paths of hostPath volumes are mounted here");
  command.flag({.names = "--allow-host-path",
                .value = "DIR",
                .help = "hostPath volumes below this directory may be backed up and restored; repeatable",
                .choices = {},
                .target = &o->host_paths_allowed});
  text("--state-dir", o->state_dir, "DIR", "For its caches; may be lost at any time");
  text("--key-dir", o->key_dir, "DIR", "Has NAME.key or NAME.password for each Repository");
  text("--metrics-listen", o->metrics_listen, "ADDR:PORT",
       "Where /metrics, /healthz and /readyz are answered");
  text("--cluster-id", o->cluster, "ID",
       "What the cluster is called in snapshots; without it, kube-system's uid");
  command.flag({.names = "--serve",
                .value = "WHAT",
                .help = "Which requests it serves",
                .choices = {"all", "backups", "restores"},
                .target = &o->serve});
  command.flag({.names = "--jobs",
                .value = "N",
                .help = "Requests worked on at once (2)",
                .choices = {},
                .target = &o->jobs});
  set.add(std::move(command));
}

}  // namespace firn::cli
