#include "agent/controller/leader.h"

#include "agent/kube/objects.h"
#include "agent/kube/times.h"

namespace firn::controller {
namespace {

constexpr std::chrono::seconds kLeaseDuration{15};

}  // namespace

kube::Json Leader::spec(std::int64_t transitions) const {
  const std::string now = kube::micro_time_text(clock_.wall());
  return {{"holderIdentity", identity_},
          {"leaseDurationSeconds", kLeaseDuration.count()},
          {"renewTime", now},
          {"leaseTransitions", transitions}};
}

/// Writes us into `lease` where it is free; false where it is not.
Result<bool> Leader::take(kube::Json& lease) {
  const kube::Json& held = kube::member(lease, "spec");
  const std::string holder = kube::text_of(kube::member(held, "holderIdentity"));
  const std::string sign = holder + " " + kube::text_of(kube::member(held, "renewTime"));
  if (sign != seen_) {
    seen_ = sign;
    seen_since_ = clock_.steady();
  }
  const bool is_ours = holder == identity_;
  const bool is_free = holder.empty() || clock_.steady() - seen_since_ > kLeaseDuration;
  if (!is_ours && !is_free) {
    return false;
  }
  const std::int64_t transitions =
      kube::number_of(kube::member(held, "leaseTransitions")).value_or(0) + (is_ours ? 0 : 1);
  lease["spec"] = spec(transitions);
  return true;
}

Result<bool> Leader::try_to_lead() {
  auto lease = client_.get(place_);
  if (!lease && lease.error().code == ErrorCode::NotFound) {
    const kube::Json fresh = {{"apiVersion", "coordination.k8s.io/v1"},
                              {"kind", "Lease"},
                              {"metadata", {{"name", place_.name}, {"namespace", place_.ns}}},
                              {"spec", spec(0)}};
    leads_ = client_.create(place_, fresh).has_value();
    return leads_;
  }
  if (!lease) {
    leads_ = false;
    return Failure(std::move(lease).error());
  }
  FIRN_LET(const bool may, take(*lease));
  // Its version guards it: of two that take it at once one fails.
  leads_ = may && client_.update(place_, *lease).has_value();
  return leads_;
}

void Leader::resign() {
  if (std::exchange(leads_, false)) {
    static_cast<void>(client_.change(place_, [&](kube::Json& lease) -> Result<bool> {
      if (kube::text_of(kube::member(lease, "spec", "holderIdentity")) != identity_) {
        return false;
      }
      lease["spec"]["holderIdentity"] = "";
      return true;
    }));
  }
}

}  // namespace firn::controller
