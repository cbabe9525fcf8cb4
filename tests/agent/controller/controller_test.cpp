// What the controller decides about requests that others left.
#include <gtest/gtest.h>

#include <algorithm>

#include "agent/controller/janitor.h"
#include "agent/controller/names.h"

namespace firn::controller {
namespace {

using std::chrono::seconds;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr base::WallTime kNow{1'000'000 * kSecond};

base::WallTime ago(std::int64_t age_seconds) { return {kNow.nanoseconds - age_seconds * kSecond}; }

kube::Request request(std::int64_t age_seconds) {
  kube::Request made;
  made.node = "n1";
  made.meta.created = ago(age_seconds);
  made.deadline = seconds(3600);
  return made;
}

void say(kube::Request& request, const char* type, const char* status) {
  kube::set(request.conditions, {.type = type, .status = status, .reason = "R", .message = {}, .since = {}},
            kNow);
}

std::string outcome(const kube::Request& request) {
  const Verdict verdict = judge(request, {"n1", "n2"}, kNow);
  return verdict.act == Verdict::Act::Keep ? "kept" : verdict.reason;
}

TEST(Janitor, WhatIsWorkedOnOrWaitsIsLeftAlone) {
  kube::Request waiting = request(3000);
  EXPECT_EQ(outcome(waiting), "kept");
  kube::Request working = request(3000);
  say(working, "Running", "True");
  working.heartbeat = ago(200);
  EXPECT_EQ(outcome(working), "kept");
  // Its agent stopped in order; the next one goes on with it.
  say(working, "Running", "False");
  working.heartbeat = ago(2000);
  EXPECT_EQ(outcome(working), "kept");
}

TEST(Janitor, AnAgentThatIsSilentTooLongLosesItsRequest) {
  kube::Request working = request(3000);
  say(working, "Running", "True");
  working.heartbeat = ago(301);
  EXPECT_EQ(outcome(working), "AgentLost");
}

TEST(Janitor, ARequestForANodeThatIsNotThereFailsOnceTheNodeHadTimeToAppear) {
  kube::Request lost = request(30);
  lost.node = "gone";
  EXPECT_EQ(outcome(lost), "kept");
  lost.meta.created = ago(61);
  EXPECT_EQ(outcome(lost), "NodeGone");
}

TEST(Janitor, ADeadlineIsKeptWithoutAnAgentToo) {
  EXPECT_EQ(outcome(request(3659)), "kept");
  EXPECT_EQ(outcome(request(3661)), "DeadlineExceeded");
}

TEST(Janitor, WhatHasEndedGoesOnlyWhenItSaysSo) {
  kube::Request ended = request(90'000);
  say(ended, "Succeeded", "False");
  ended.node = "gone";
  ended.completed = ago(500);
  EXPECT_EQ(outcome(ended), "kept");
  ended.ttl = seconds(600);
  EXPECT_EQ(outcome(ended), "kept");
  ended.ttl = seconds(400);
  EXPECT_EQ(judge(ended, {}, kNow).act, Verdict::Act::Delete);
  ended.completed.reset();
  EXPECT_EQ(outcome(ended), "kept");
}

kube::Request success(const char* uid, const char* target, std::int64_t completed_ago) {
  kube::Request made = request(completed_ago);
  say(made, "Succeeded", "True");
  made.meta.uid = uid;
  made.meta.labels = {{kPolicyLabel, "p"}, {kTargetLabel, target}};
  made.completed = ago(completed_ago);
  made.ttl = seconds(100);
  return made;
}

std::vector<std::string> deleted(const std::vector<kube::Request>& requests) {
  Actions actions;
  for (const kube::Request& one : requests) {
    actions.add({one, judge(one, {"n1"}, kNow)});
  }
  std::vector<std::string> uids;
  for (const Action& action : actions.take(kNow)) {
    uids.push_back(action.request.meta.uid);
  }
  std::sort(uids.begin(), uids.end());
  return uids;
}

TEST(Janitor, TheNewestSuccessOfAPolicysVolumeOutlivesItsTime) {
  EXPECT_EQ(deleted({success("old", "v", 500), success("new", "v", 400), success("other", "w", 900)}),
            (std::vector<std::string>{"old"}));
  EXPECT_EQ(deleted({success("new", "v", 400), success("old", "v", 500)}), (std::vector<std::string>{"old"}));
  kube::Request by_hand = success("hand", "v", 400);
  by_hand.meta.labels.clear();
  EXPECT_EQ(deleted({by_hand}), (std::vector<std::string>{"hand"}));
  // Two weeks later nobody needs to know.
  EXPECT_EQ(deleted({success("ancient", "v", 15L * 24 * 3600)}), (std::vector<std::string>{"ancient"}));
}

}  // namespace
}  // namespace firn::controller
