// Which of several controllers works: the one that holds a Lease.
//
// Promise: at most one believes that it leads, as long as clocks run about equally fast; when the leader is
// gone another one leads within some 20 s. What leaders do must be harmless when done twice all the same:
// nothing here can stop a leader that is paused. Threads: one caller.
#pragma once

#include <string>

#include "agent/kube/client.h"
#include "repo/base/clock.h"

namespace firn::controller {

class Leader {
 public:
  Leader(kube::Client& client, const base::Clock& clock, std::string ns, std::string name,
         std::string identity)
      : client_(client),
        clock_(clock),
        place_{kube::kLeases, std::move(ns), std::move(name), {}},
        identity_(std::move(identity)) {}

  /// Takes the Lease, or keeps it, where that is possible. Called every few seconds.
  Result<bool> try_to_lead();
  /// Gives the Lease up, so that another need not wait.
  void resign();
  bool leads() const { return leads_; }

 private:
  Result<bool> take(kube::Json& lease);
  kube::Json spec(std::int64_t transitions) const;

  kube::Client& client_;
  const base::Clock& clock_;
  const kube::Place place_;
  const std::string identity_;
  bool leads_ = false;
  // The other one's last sign of life, and when we saw it first: its clock does not matter.
  std::string seen_;
  base::SteadyTime seen_since_;
};

}  // namespace firn::controller
