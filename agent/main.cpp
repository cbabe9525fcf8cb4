// firn: makes the real world, and hands it to the command line.
//
// Set up here and nowhere else: limits (no core files, private files), signals, the allocator, the seams.
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>

#include "agent/cli/cli.h"
#include "agent/restore/linux_target_fs.h"
#include "agent/scan/filter.h"
#include "agent/scan/linux_source_fs.h"
#include "agent/service/agent.h"
#include "agent/service/controller.h"
#include "repo/base/clock.h"
#include "repo/base/executor.h"
#include "repo/base/rng.h"
#include "repo/base/stop.h"

namespace {

firn::base::StopFlag stop_flag;
constexpr int kExitInterrupted = 130;

/// The first request is for a clean end; a second one leaves at once, and nothing is lost by it.
extern "C" void on_stop_signal(int) {
  if (stop_flag.requested()) {
    ::_exit(kExitInterrupted);
  }
  stop_flag.request();
}

void set_up_signals() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  ::sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    ::sigaction(signal, &action, nullptr);
  }
  // A closed pipe is an error of write(), told like any other.
  ::signal(SIGPIPE, SIG_IGN);
}

/// Keys must not reach a core file, nor firn's own files other people.
void set_up_privacy() {
  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::prctl(PR_SET_DUMPABLE, 0);
  ::umask(077);
}

/// Few arenas and eager returns: the budget counts bytes in use, the cgroup counts what the allocator keeps.
void set_up_allocator() {
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 4 << 20);
}

firn::service::DaemonWorld daemon_world(const firn::cli::World& world) {
  return {.executor = world.executor,
          .rng = world.rng,
          .clock = world.clock,
          .stop = world.stop,
          .source = world.source,
          .target = world.target,
          .variable = world.variable,
          .out_fd = world.out_fd};
}

firn::Result<> run_agent(const firn::cli::AgentSettings& settings, const firn::cli::World& world) {
  constexpr unsigned kJobsDefault = 2;
  firn::service::AgentOptions options{
      .node = settings.node,
      .ns = settings.ns,
      .kubeconfig = settings.kubeconfig,
      .places = {.kubelet_root = settings.kubelet_root,
                 .host_root = settings.host_root,
                 .host_paths_allowed = settings.host_paths_allowed},
      .state_dir = settings.state_dir,
      .key_dir = settings.key_dir,
      .metrics_listen = settings.metrics_listen,
      .cluster = settings.cluster,
      .backups = settings.serve != "restores",
      .restores = settings.serve != "backups",
      .jobs = static_cast<unsigned>(settings.jobs.value_or(kJobsDefault)),
      .memory_bytes = std::nullopt,
  };
  if (settings.memory) {
    FIRN_LET(options.memory_bytes, firn::in("--memory", firn::scan::parse_size_bytes(*settings.memory)));
  }
  return firn::service::run_agent(options, daemon_world(world));
}

firn::Result<> run_controller(const firn::cli::ControllerSettings& settings, const firn::cli::World& world) {
  return firn::service::run_controller({.identity = settings.identity,
                                        .ns = settings.ns,
                                        .kubeconfig = settings.kubeconfig,
                                        .metrics_listen = settings.metrics_listen},
                                       daemon_world(world));
}

}  // namespace

int main(int argc, char** argv) {
  set_up_privacy();
  set_up_allocator();
  set_up_signals();
  ::tzset();
  // Names are bytes; libarchive must know that most of them are UTF-8.
  ::setlocale(LC_CTYPE, "C.UTF-8");

  const firn::base::SystemClock clock;
  firn::base::SystemRng rng;
  firn::base::ThreadExecutor executor;
  firn::scan::LinuxSourceFs source;
  firn::restore::LinuxTargetFs target;
  firn::cli::World world{
      .executor = executor,
      .rng = rng,
      .clock = clock,
      .stop = stop_flag,
      .source = source,
      .target = target,
      .variable = [](const std::string& name) -> std::optional<std::string> {
        const char* value = ::getenv(name.c_str());
        return value == nullptr ? std::nullopt : std::optional<std::string>(value);
      },
  };
  return firn::cli::run(
      std::vector<std::string>(argv, argv + argc), world,
      {.agent = [&world](const firn::cli::AgentSettings& settings) { return run_agent(settings, world); },
       .controller =
           [&world](const firn::cli::ControllerSettings& settings) {
             return run_controller(settings, world);
           }});
}
