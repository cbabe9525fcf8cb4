#include "agent/service/survey.h"

namespace firn::service {
namespace {

constexpr std::chrono::seconds kEvery{60};
constexpr std::size_t kNamesTold = 20;

std::string names_text(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kNamesTold; ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  return names.size() > kNamesTold ? text + " and " + std::to_string(names.size() - kNamesTold) + " more"
                                   : text;
}

}  // namespace

void Survey::tell(const controller::Unprotected& unprotected) {
  std::set<Metrics::Labels> there;
  for (const auto& [ns, claims] : unprotected) {
    const Metrics::Labels labels = {{"namespace", ns}};
    there.insert(labels);
    metrics_.set("firn_unprotected_pvcs", "Bound claims that no policy has a snapshot of.",
                 static_cast<double>(claims.size()), labels);
    const auto before = told_.find(ns);
    if (before == told_.end() || before->second != claims) {
      log_.warn("claims without a snapshot", {{"namespace", ns}, {"claims", names_text(claims)}});
    }
  }
  metrics_.keep_only("firn_unprotected_pvcs", there);
  told_ = unprotected;
}

Result<> Survey::run_when_due(base::SteadyTime now) {
  if (ran_at_ != base::SteadyTime{} && now - ran_at_ < kEvery) {
    return {};
  }
  ran_at_ = now;
  FIRN_LET(const controller::Unprotected unprotected, controller::survey(client_, clock_));
  tell(unprotected);
  return {};
}

}  // namespace firn::service
