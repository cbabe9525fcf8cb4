#include "agent/service/controller.h"

#include <algorithm>

#include "agent/controller/claim_restores.h"
#include "agent/controller/janitor.h"
#include "agent/controller/leader.h"
#include "agent/controller/policy.h"
#include "agent/service/log.h"
#include "agent/service/metrics.h"
#include "agent/service/repository_rounds.h"
#include "agent/service/survey.h"

namespace firn::service {
namespace {

using std::chrono::seconds;

constexpr seconds kRenewEvery{4};
constexpr seconds kSweepEvery{20};
constexpr const char* kLease = "firn-controller";

void tell_swept(const Log& log, const kube::Request& request, const controller::Verdict& verdict) {
  const Log::Fields fields = {{"request", request.meta.uid}, {"namespace", request.meta.ns},
                              {"name", request.meta.name},   {"kind", request.kind_name()},
                              {"reason", verdict.reason},    {"detail", verdict.message}};
  if (verdict.act == controller::Verdict::Act::Delete) {
    log.audit("a request that ended long ago was deleted; its snapshot stays", fields);
  } else {
    log.error("a request that nobody would have ended was failed", fields);
  }
}

}  // namespace

Result<> run_controller(const ControllerOptions& options, const DaemonWorld& world) {
  if (options.identity.empty()) {
    return fail(ErrorCode::Invalid, "who is this? --identity, or the variable POD_NAME");
  }
  FIRN_LET(const kube::ClusterConfig config, kube::find_config(world.variable, options.kubeconfig));
  const Log log(world.clock, world.out_fd, "firn-controller");
  base::StopFlag hard_stop;
  kube::Client client(world.executor, world.rng, world.stop, config);
  kube::Client last_client(world.executor, world.rng, hard_stop, config);
  controller::Leader leader(client, world.clock, options.ns.empty() ? config.ns : options.ns, kLease,
                            options.identity);
  Metrics metrics;
  std::atomic<bool> reached{false};
  FIRN_LET(auto status, StatusServer::start(world.executor, world.stop, options.metrics_listen, metrics,
                                            [&] { return reached.load(); }));
  const std::string ns = options.ns.empty() ? config.ns : options.ns;
  RepositoryRounds repositories(client, world.clock, log, metrics, ns);
  Survey survey(client, world.clock, log, metrics);
  base::SteadyTime swept_at{};
  bool led = false;
  while (!world.stop.requested()) {
    const auto leads = leader.try_to_lead();
    if (!leads && !world.stop.requested()) {
      log.warn("cannot ask for the lease", {{"error", leads.error().message}});
    }
    reached = leads.has_value();
    if (leads && *leads != led) {
      led = *leads;
      log.info(led ? "leading" : "no longer leading", {{"identity", options.identity}});
    }
    metrics.set("firn_controller_leads", "1 while this process is the one that works.", led ? 1 : 0);
    const auto now = world.executor.clock().steady();
    if (leads && *leads && (swept_at == base::SteadyTime{} || now - swept_at > kSweepEvery)) {
      swept_at = now;
      const auto swept = controller::sweep(
          client, world.clock,
          [&](const auto& request, const auto& verdict) { tell_swept(log, request, verdict); });
      if (swept) {
        metrics.set("firn_requests", "Requests that there are.", static_cast<double>(swept->seen));
        metrics.set("firn_requests_unended", "Requests that have not ended.",
                    static_cast<double>(swept->unended));
      } else if (!world.stop.requested()) {
        log.warn("looking over the requests failed; it is tried again", {{"error", swept.error().message}});
      }
    }
    if (leads && *leads) {
      if (const auto tended = repositories.run(); !tended && !world.stop.requested()) {
        log.warn("looking after the repositories failed; it is tried again",
                 {{"error", tended.error().message}});
      }
      if (const auto seen = survey.run_when_due(now); !seen && !world.stop.requested()) {
        log.warn("surveying what is protected failed; it is tried again", {{"error", seen.error().message}});
      }
      const auto restored =
          controller::run_claim_restores(client, world.clock, ns, [&](const auto& restore, const auto& what) {
            log.info("restore into a claim", {{"namespace", restore.request.meta.ns},
                                              {"name", restore.request.meta.name},
                                              {"claim", restore.claim},
                                              {"detail", what}});
          });
      if (!restored && !world.stop.requested()) {
        log.warn("looking after restores into claims failed; it is tried again",
                 {{"error", restored.error().message}});
      }
      const auto run =
          controller::run_policies(client, world.clock, ns, [&](const auto& policy, const auto& what) {
            log.info("policy", {{"namespace", policy.meta.ns}, {"name", policy.meta.name}, {"detail", what}});
          });
      if (!run && !world.stop.requested()) {
        log.warn("looking over the policies failed; it is tried again", {{"error", run.error().message}});
      }
    }
    static_cast<void>(client.pause(kRenewEvery));
  }
  if (led) {
    controller::Leader last(last_client, world.clock, options.ns.empty() ? config.ns : options.ns, kLease,
                            options.identity);
    static_cast<void>(last.try_to_lead());
    last.resign();
  }
  hard_stop.request();
  log.info("stopped");
  return {};
}

}  // namespace firn::service
