// The controller's survey of what is protected, told in its log and metrics.
//
// Threads: one caller.
#pragma once

#include <string>

#include "agent/controller/survey.h"
#include "agent/service/log.h"
#include "agent/service/metrics.h"

namespace firn::service {

class Survey {
 public:
  Survey(kube::Client& client, const base::Clock& clock, const Log& log, Metrics& metrics)
      : client_(client), clock_(clock), log_(log), metrics_(metrics) {}
  /// Once a minute. Errors: those of the API server.
  Result<> run_when_due(base::SteadyTime now);

 private:
  void tell(const controller::Unprotected& unprotected);

  kube::Client& client_;
  const base::Clock& clock_;
  const Log& log_;
  Metrics& metrics_;
  base::SteadyTime ran_at_{};
  controller::Unprotected told_;
};

}  // namespace firn::service
