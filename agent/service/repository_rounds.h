// The controller's rounds over Repositories, told in its log and metrics.
//
// Threads: one caller.
#pragma once

#include <string>

#include "agent/controller/repositories.h"
#include "agent/service/log.h"
#include "agent/service/metrics.h"

namespace firn::service {

class RepositoryRounds {
 public:
  RepositoryRounds(kube::Client& client, const base::Clock& clock, const Log& log, Metrics& metrics,
                   std::string ns)
      : client_(client), clock_(clock), log_(log), metrics_(metrics), ns_(std::move(ns)) {}
  /// Errors: those of the API server.
  Result<> run();

 private:
  Result<> find_cluster();
  void tell_ended(const controller::Tended& tended, controller::Task task,
                  const controller::JobReport& report);
  void tell_state(const std::vector<controller::Tended>& all);

  kube::Client& client_;
  const base::Clock& clock_;
  const Log& log_;
  Metrics& metrics_;
  const std::string ns_;
  std::string cluster_;
};

}  // namespace firn::service
