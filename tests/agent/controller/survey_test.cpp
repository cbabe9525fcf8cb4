// What the survey makes of policies, their volumes and their requests.
#include "agent/controller/survey.h"

#include <gtest/gtest.h>

#include "agent/controller/names.h"
#include "agent/kube/times.h"

namespace firn::controller {
namespace {

base::WallTime at(const char* text) { return *kube::parse_time_text(text); }

Policy nightly() {
  Policy policy;
  policy.meta.name = "nightly";
  policy.meta.ns = "shop";
  policy.last_run = at("2026-11-21T02:00:00Z");
  return policy;
}

Target claimed(const char* claim) {
  return {.pod = "p", .pod_uid = "u", .node = "n", .volume = "v", .claim = claim};
}

kube::Request request(const Target& target, const char* status, const char* run = "2026-11-21T02:00:00Z") {
  kube::Request made;
  made.meta.name = "r-" + target.claim;
  made.meta.labels = {
      {kPolicyLabel, "nightly"}, {kRunLabel, run_text(at(run))}, {kTargetLabel, short_hash(target.key())}};
  made.completed = at("2026-11-21T02:10:00Z");
  kube::set(made.conditions,
            {.type = "Succeeded", .status = status, .reason = "Why", .message = "what to do", .since = {}},
            at("2026-11-21T02:10:00Z"));
  return made;
}

PolicyState state(const std::vector<Target>& targets, const std::vector<kube::Request>& requests) {
  RunTally tally;
  for (const kube::Request& one : requests) {
    add(tally, nightly(), one);
  }
  return state_of(nightly(), targets, tally);
}

TEST(Survey, AVolumeIsProtectedOnceARequestForItSucceeded) {
  const std::vector<Target> targets = {claimed("a"), claimed("b"), claimed("c")};
  const PolicyState now = state(targets, {request(targets[0], "True", "2026-11-01T02:00:00Z"),
                                          request(targets[1], "False"), request(targets[2], "Unknown")});
  EXPECT_EQ(now.selected, 3U);
  EXPECT_EQ(now.unprotected, (std::vector<std::string>{"claim/b", "claim/c"}));
}

TEST(Survey, AClaimOfTwoPodsIsOneVolumeWhateverThePodIsCalled) {
  Target moved = claimed("a");
  moved.pod = "later";
  moved.pod_uid = "u2";
  const PolicyState now = state({claimed("a"), moved}, {request(claimed("a"), "True")});
  EXPECT_EQ(now.selected, 1U);
  EXPECT_TRUE(now.unprotected.empty());
}

TEST(Survey, TheLastRunSucceedsWhenAllOfItDid) {
  const auto said = [](const std::vector<kube::Request>& requests) {
    const PolicyState now = state({}, requests);
    return now.last_run ? now.last_run->status + " " + now.last_run->reason : "nothing";
  };
  EXPECT_EQ(said({}), "nothing");
  EXPECT_EQ(said({request(claimed("a"), "False", "2026-11-20T02:00:00Z")}), "nothing") << "of an earlier run";
  EXPECT_EQ(said({request(claimed("a"), "True"), request(claimed("b"), "Unknown")}), "Unknown Running");
  EXPECT_EQ(said({request(claimed("a"), "True"), request(claimed("b"), "False")}), "False RequestsFailed");
  EXPECT_EQ(said({request(claimed("a"), "True"), request(claimed("b"), "True")}), "True Succeeded");
}

TEST(Survey, AFailureIsNamedAndASuccessHasATime) {
  const PolicyState failed = state({}, {request(claimed("a"), "False")});
  EXPECT_NE(failed.last_run->message.find("r-a: Why: what to do"), std::string::npos);
  EXPECT_FALSE(failed.last_success);
  const PolicyState good = state({}, {request(claimed("a"), "True")});
  EXPECT_EQ(kube::time_text(good.last_success.value()), "2026-11-21T02:10:00Z");
}

TEST(Survey, APolicySelectsPodsThatHaveAllItsLabels) {
  Policy policy = nightly();
  kube::Pod pod;
  EXPECT_TRUE(selects(policy, pod)) << "no labels select everything";
  policy.match = {{"app", "db"}, {"tier", "1"}};
  EXPECT_EQ(policy.labels(), "app=db,tier=1");
  pod.meta.labels = {{"app", "db"}};
  EXPECT_FALSE(selects(policy, pod));
  pod.meta.labels["tier"] = "1";
  pod.meta.labels["more"] = "x";
  EXPECT_TRUE(selects(policy, pod));
}

}  // namespace
}  // namespace firn::controller
