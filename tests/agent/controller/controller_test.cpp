// What the controller decides about requests that others left.
#include <gtest/gtest.h>

#include "agent/controller/janitor.h"

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

}  // namespace
}  // namespace firn::controller
