#include "agent/service/repository_rounds.h"

#include <array>

#include "agent/kube/times.h"

namespace firn::service {
namespace {

struct Gauge {
  const char* fact;
  const char* name;
  const char* help;
  bool is_time;
};
constexpr std::array kGauges{
    Gauge{"sizeBytes", "firn_repository_size_bytes", "Bytes that the repository stores.", false},
    Gauge{"reclaimableBytes", "firn_repository_reclaimable_bytes", "Bytes that nobody needs.", false},
    Gauge{"snapshots", "firn_repository_snapshots", "Snapshots in the repository.", false},
    Gauge{"checkErrors", "firn_repository_check_errors", "Errors that the last check found.", false},
    Gauge{"lastVerifyTime", "firn_repository_last_verify_timestamp_seconds",
          "When the repository was last found usable.", true},
    Gauge{"lastMaintenanceTime", "firn_repository_last_maintenance_timestamp_seconds",
          "When maintenance last succeeded.", true},
    Gauge{"lastCheckTime", "firn_repository_last_check_timestamp_seconds", "When a check last succeeded.",
          true}};

std::optional<double> value_of(const kube::Json& facts, const Gauge& gauge) {
  const kube::Json& value = kube::member(facts, gauge.fact);
  if (!gauge.is_time) {
    const auto number = kube::number_of(value);
    return number ? std::optional(static_cast<double>(*number)) : std::nullopt;
  }
  const auto time = kube::parse_time_text(kube::text_of(value));
  return time ? std::optional(static_cast<double>(time->nanoseconds) / 1e9) : std::nullopt;
}

}  // namespace

Result<> RepositoryRounds::find_cluster() {
  if (cluster_.empty()) {
    FIRN_LET(const kube::Json system, client_.get({kube::kNamespaces, {}, "kube-system", {}}));
    cluster_ = kube::meta_of(system).uid;
  }
  return {};
}

void RepositoryRounds::tell_ended(const controller::Tended& tended, controller::Task task,
                                  const controller::JobReport& report) {
  const char* what = controller::to_string(task);
  const Log::Fields fields = {{"repository", tended.repository.meta.name},
                              {"task", what},
                              {"job", tended.record(task).job},
                              {"reason", report.reason},
                              {"detail", report.message}};
  if (report.ok) {
    log_.info("a repository was tended", fields);
  } else {
    log_.error("a repository could not be tended", fields);
  }
  metrics_.count("firn_repository_tasks_total", "Jobs that looked after a repository.",
                 {{"repository", tended.repository.meta.name},
                  {"task", what},
                  {"result", report.ok ? "success" : "failure"},
                  {"reason", report.reason}});
}

void RepositoryRounds::tell_state(const std::vector<controller::Tended>& all) {
  std::set<Metrics::Labels> there;
  for (const controller::Tended& tended : all) {
    const Metrics::Labels labels = {{"repository", tended.repository.meta.name}};
    there.insert(labels);
    const kube::Condition* ready = kube::find(tended.conditions, "Ready");
    metrics_.set("firn_repository_ready", "1 while requests can use the repository.",
                 ready != nullptr && ready->status == "True" ? 1 : 0, labels);
    for (const Gauge& gauge : kGauges) {
      if (const auto value = value_of(tended.facts, gauge)) {
        metrics_.set(gauge.name, gauge.help, *value, labels);
      }
    }
  }
  metrics_.keep_only("firn_repository_ready", there);
  for (const Gauge& gauge : kGauges) {
    metrics_.keep_only(gauge.name, there);
  }
}

Result<> RepositoryRounds::run() {
  FIRN_TRY(in("the cluster's identity", find_cluster()));
  FIRN_LET(const auto all,
           controller::tend_repositories(
               client_, clock_, ns_, cluster_,
               [&](const auto& tended, auto task, const auto& report) { tell_ended(tended, task, report); }));
  tell_state(all);
  return {};
}

}  // namespace firn::service
