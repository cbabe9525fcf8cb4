// When policies run, and what their requests are called.
#include <gtest/gtest.h>

#include "agent/controller/cron.h"
#include "agent/controller/policy.h"
#include "agent/kube/times.h"

namespace firn::controller {
namespace {

base::WallTime at(const char* text) { return *kube::parse_time_text(text); }

std::string next(const char* schedule, const char* zone, const char* time) {
  const auto cron = parse_cron(schedule);
  const auto found = cron ? next_time(*cron, zone, at(time)) : Failure(cron.error());
  return !found ? found.error().message : *found ? kube::time_text(**found) : "never";
}

TEST(Cron, SaysTheNextTime) {
  struct Case {
    const char* schedule;
    const char* zone;
    const char* after;
    const char* wanted;
  };
  for (const Case& one : {
           Case{"30 2 * * *", "UTC", "2026-11-21T02:29:59Z", "2026-11-21T02:30:00Z"},
           Case{"30 2 * * *", "UTC", "2026-11-21T02:30:00Z", "2026-11-22T02:30:00Z"},
           Case{"*/15 * * * *", "", "2026-11-21T23:50:00Z", "2026-11-22T00:00:00Z"},
           Case{"5-10/5,50 1,3 * * *", "UTC", "2026-11-21T01:10:00Z", "2026-11-21T01:50:00Z"},
           Case{"0 0 1 * *", "UTC", "2026-11-21T00:00:00Z", "2026-12-01T00:00:00Z"},
           Case{"0 0 29 2 *", "UTC", "2026-11-21T00:00:00Z", "2028-02-29T00:00:00Z"},
           Case{"0 0 31 2 *", "UTC", "2026-11-21T00:00:00Z", "never"},
           // 2026-11-21 is a Saturday. Both days given: either suffices.
           Case{"0 0 * * 0", "UTC", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"},
           Case{"0 0 * * 7", "UTC", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"},
           Case{"0 0 24 * 3", "UTC", "2026-11-21T00:00:00Z", "2026-11-24T00:00:00Z"},
           // In Berlin 02:30 does not exist on 2026-03-29, and exists twice on 2026-10-25.
           Case{"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"},
           Case{"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
           Case{"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
       }) {
    EXPECT_EQ(next(one.schedule, one.zone, one.after), one.wanted) << one.schedule << " " << one.after;
  }
}

TEST(Cron, RefusesWhatIsNoSchedule) {
  for (const char* bad :
       {"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
        "5-1 * * * *", "*/0 * * * *", "a * * * *", "1, * * * *", "-1 * * * *"}) {
    const auto cron = parse_cron(bad);
    ASSERT_FALSE(cron) << bad;
    EXPECT_EQ(cron.error().code, ErrorCode::Invalid);
  }
  EXPECT_NE(next("* * * * *", "Nowhere/Town", "2026-11-21T00:00:00Z").find("Nowhere/Town"),
            std::string::npos);
}

Policy daily() {
  Policy policy;
  policy.meta.name = "p";
  policy.meta.created = at("2026-11-01T00:00:00Z");
  policy.schedule = "0 2 * * *";
  return policy;
}

TEST(Policy, TheLatestTimeThatHasComeIsDueUntilItWasRun) {
  Policy policy = daily();
  policy.last_run = at("2026-11-20T02:00:00Z");
  auto when = due(policy, at("2026-11-21T01:59:59Z"));
  ASSERT_TRUE(when);
  EXPECT_FALSE(when->run);
  EXPECT_EQ(kube::time_text(*when->next), "2026-11-21T02:00:00Z");
  when = due(policy, at("2026-11-21T02:00:00Z"));
  EXPECT_EQ(kube::time_text(when->run.value()), "2026-11-21T02:00:00Z");
  EXPECT_FALSE(when->missed);
  policy.last_run = when->run;
  EXPECT_FALSE(due(policy, at("2026-11-21T02:00:01Z"))->run);
}

TEST(Policy, ARunThatIsTooLateIsMissedAndOfSeveralTheLatestCounts) {
  Policy policy = daily();
  const auto when = due(policy, at("2026-11-21T03:00:01Z"));
  EXPECT_EQ(kube::time_text(when->run.value()), "2026-11-21T02:00:00Z");
  EXPECT_TRUE(when->missed);
  EXPECT_FALSE(due(policy, at("2026-11-21T03:00:00Z"))->missed);
}

TEST(Policy, ChoosesTheNamedVolumesOrThoseWithClaims) {
  Policy policy = daily();
  kube::Pod pod;
  pod.meta.uid = "u";
  pod.node = "n";
  for (const char* name : {"claimed", "scratch"}) {
    pod.volumes.emplace_back();
    pod.volumes.back().name = name;
  }
  pod.volumes[0].claim = "c";
  ASSERT_EQ(targets_of(policy, pod).size(), 1U);
  EXPECT_EQ(targets_of(policy, pod)[0].volume, "claimed");
  policy.volumes = {"scratch"};
  EXPECT_EQ(targets_of(policy, pod)[0].volume, "scratch");
  pod.meta.deleting = true;
  EXPECT_TRUE(targets_of(policy, pod).empty());
}

TEST(Policy, ARequestIsCalledTheSameWhoeverMakesItAndAnotherRunOrVolumeIsNot) {
  const Policy policy = daily();
  const Target target{.pod = "a", .pod_uid = "u", .node = "n", .volume = "v", .claim = {}};
  Target other = target;
  other.volume = "w";
  const base::WallTime run = at("2026-11-21T02:00:00Z");
  EXPECT_EQ(request_name(policy, run, target), request_name(policy, run, target));
  EXPECT_NE(request_name(policy, run, target), request_name(policy, run, other));
  EXPECT_NE(request_name(policy, run, target), request_name(policy, at("2026-11-22T02:00:00Z"), target));
  EXPECT_TRUE(request_name(policy, run, target).starts_with("p-1795"));
}

}  // namespace
}  // namespace firn::controller
