// When a Repository's Jobs are begun, what they look like, and what their ends make of its status.
#include "agent/controller/repositories.h"

#include <gtest/gtest.h>

#include "agent/kube/times.h"

namespace firn::controller {
namespace {

using kube::Json;

base::WallTime at(const char* text) { return *kube::parse_time_text(text); }
constexpr const char* kCreated = "2026-11-20T00:00:00Z";

Json object() {
  return Json::parse(R"({
    "metadata": {"name": "main", "namespace": "firn-system", "uid": "u1", "generation": 3,
                 "creationTimestamp": "2026-11-20T00:00:00Z"},
    "spec": {"s3": {"endpoint": "https://rgw", "bucket": "b", "prefix": "c1", "pathStyle": true},
             "credentialsRef": {"name": "store"}, "allowedNamespaces": ["shop"],
             "maintenance": {"schedule": "0 3 * * *", "credentialsRef": {"name": "store-delete"}},
             "check": {"schedule": "0 5 * * *", "sample": "1/3"}}})");
}

JobReport good(const char* reason = "Verified") { return {.ok = true, .reason = reason, .message = "m"}; }
JobReport bad(const char* reason) { return {.ok = false, .reason = reason, .message = "what to do"}; }

/// As if a Job of the task had ended at `time`.
void ended(Tended& tended, Task task, const JobReport& report, const char* time) {
  TaskRecord& record = tended.record(task);
  record.job = std::string("main-") + to_string(task);
  record.started = at(time);
  record.generation = tended.repository.meta.generation;
  conclude(tended, task, report, at(time));
}

bool starts(const Tended& tended, Task task, const char* now) {
  const auto start = start_of(tended, task, at(now));
  EXPECT_TRUE(start.has_value());
  return start && start->has_value();
}

std::string condition(const Tended& tended, const char* type) {
  const kube::Condition* found = kube::find(tended.conditions, type);
  return found == nullptr ? "none" : found->status + " " + found->reason;
}

TEST(Repositories, ANewOneIsVerifiedAtOnceAndThenNowAndAgain) {
  Tended tended = tended_of(object());
  EXPECT_TRUE(starts(tended, Task::Verify, kCreated));
  EXPECT_FALSE(starts(tended, Task::Init, kCreated));
  EXPECT_FALSE(starts(tended, Task::Maintenance, "2026-11-21T04:00:00Z")) << "it is not known to be usable";
  ended(tended, Task::Verify, good(), "2026-11-20T00:00:05Z");
  EXPECT_EQ(condition(tended, "Ready"), "True Verified");
  EXPECT_FALSE(starts(tended, Task::Verify, "2026-11-20T00:10:00Z"));
  EXPECT_TRUE(starts(tended, Task::Verify, "2026-11-20T00:30:05Z"));
  tended.repository.meta.generation = 4;
  EXPECT_TRUE(starts(tended, Task::Verify, "2026-11-20T00:10:00Z")) << "what was verified is another spec";
}

TEST(Repositories, WhatIsNotThereIsMadeAndVerifiedAfterwards) {
  Tended tended = tended_of(object());
  ended(tended, Task::Verify, bad("RepositoryNotFound"), "2026-11-20T00:00:05Z");
  EXPECT_EQ(condition(tended, "Ready"), "False RepositoryNotFound");
  EXPECT_TRUE(starts(tended, Task::Init, "2026-11-20T00:00:06Z"));
  ended(tended, Task::Init, good("Made"), "2026-11-20T00:00:08Z");
  EXPECT_FALSE(starts(tended, Task::Init, "2026-11-20T01:00:00Z"));
  EXPECT_TRUE(starts(tended, Task::Verify, "2026-11-20T00:00:09Z"));
}

TEST(Repositories, WhatWasThereBeforeIsNeverMadeAnew) {
  Tended tended = tended_of(object());
  ended(tended, Task::Verify, good(), "2026-11-20T00:00:05Z");
  ended(tended, Task::Verify, bad("RepositoryNotFound"), "2026-11-20T00:40:00Z");
  EXPECT_FALSE(starts(tended, Task::Init, "2026-11-20T01:00:00Z"));
}

TEST(Repositories, NothingButAMissingRepositoryIsAReasonToMakeOne) {
  for (const char* reason : {"Unavailable", "StoreNotFound", "AccessDenied", "WrongKey", "JobNotStarted"}) {
    Tended tended = tended_of(object());
    ended(tended, Task::Verify, bad(reason), "2026-11-20T00:00:05Z");
    EXPECT_FALSE(starts(tended, Task::Init, "2026-11-20T01:00:00Z")) << reason;
  }
}

TEST(Repositories, WhatFailsIsTriedAgainEverMoreRarely) {
  Tended tended = tended_of(object());
  ended(tended, Task::Verify, bad("Unavailable"), "2026-11-20T00:00:00Z");
  EXPECT_FALSE(starts(tended, Task::Verify, "2026-11-20T00:00:14Z"));
  EXPECT_TRUE(starts(tended, Task::Verify, "2026-11-20T00:00:15Z"));
  ended(tended, Task::Verify, bad("Unavailable"), "2026-11-20T00:01:00Z");
  EXPECT_FALSE(starts(tended, Task::Verify, "2026-11-20T00:01:29Z"));
  for (int i = 0; i < 70; ++i) {
    ended(tended, Task::Verify, bad("Unavailable"), "2026-11-20T01:00:00Z");
  }
  EXPECT_FALSE(starts(tended, Task::Verify, "2026-11-20T01:09:59Z"));
  EXPECT_TRUE(starts(tended, Task::Verify, "2026-11-20T01:10:00Z"));
}

TEST(Repositories, MaintenanceRunsOnItsScheduleAndOfMissedRunsOnce) {
  Tended tended = tended_of(object());
  ended(tended, Task::Verify, good(), "2026-11-20T00:00:05Z");
  EXPECT_FALSE(starts(tended, Task::Maintenance, "2026-11-20T02:59:59Z"));
  const auto start = start_of(tended, Task::Maintenance, at("2026-11-23T04:00:00Z"));
  ASSERT_TRUE(start && *start);
  EXPECT_EQ(kube::time_text((*start)->run.value()), "2026-11-23T03:00:00Z");
  tended.record(Task::Maintenance).run = (*start)->run;
  ended(tended, Task::Maintenance, good("Succeeded"), "2026-11-23T04:10:00Z");
  EXPECT_FALSE(starts(tended, Task::Maintenance, "2026-11-24T02:59:59Z"));
  EXPECT_TRUE(starts(tended, Task::Maintenance, "2026-11-24T03:00:00Z"));
  EXPECT_EQ(kube::time_text(next_run(tended, Task::Maintenance, at("2026-11-23T04:00:00Z"))->value()),
            "2026-11-24T03:00:00Z");
}

TEST(Repositories, AMaintenanceThatFailedNeedNotWaitForItsSchedule) {
  Tended tended = tended_of(object());
  ended(tended, Task::Verify, good(), "2026-11-20T00:00:05Z");
  tended.record(Task::Maintenance).run = at("2026-11-20T03:00:00Z");
  ended(tended, Task::Maintenance, bad("Unavailable"), "2026-11-20T03:01:00Z");
  EXPECT_EQ(condition(tended, "MaintenanceSucceeded"), "False Unavailable");
  EXPECT_FALSE(starts(tended, Task::Maintenance, "2026-11-20T03:05:59Z"));
  EXPECT_TRUE(starts(tended, Task::Maintenance, "2026-11-20T03:06:00Z"));
}

TEST(Repositories, AnAnnotationAsksForARunOnce) {
  Json asked = object();
  asked["metadata"]["annotations"]["backup.firn.io/run-check"] = "now";
  Tended tended = tended_of(asked);
  ended(tended, Task::Verify, good(), "2026-11-20T00:00:05Z");
  EXPECT_TRUE(starts(tended, Task::Check, "2026-11-20T00:01:00Z"));
  tended.record(Task::Check).asked = "now";
  EXPECT_FALSE(starts(tended, Task::Check, "2026-11-20T00:01:00Z"));
}

TEST(Repositories, AScheduleThatIsNoneIsAnErrorThatNamesIt) {
  Json object_with_error = object();
  object_with_error["spec"]["maintenance"]["schedule"] = "daily at 3";
  Tended tended = tended_of(object_with_error);
  const auto start = start_of(tended, Task::Maintenance, at(kCreated));
  ASSERT_FALSE(start);
  EXPECT_NE(start.error().message.find("daily at 3"), std::string::npos);
}

TEST(Repositories, ChecksGoThroughTheParts) {
  Tended tended = tended_of(object());
  ended(tended, Task::Verify, good(), "2026-11-20T00:00:05Z");
  std::vector<std::int64_t> parts;
  for (const bool ok : {true, false, true, true, true}) {
    const auto start = start_of(tended, Task::Check, at("2026-11-20T06:00:00Z"));
    ASSERT_TRUE(start && *start);
    parts.push_back((*start)->part);
    tended.record(Task::Check).part = (*start)->part;
    ended(tended, Task::Check, ok ? good("Succeeded") : bad("Unavailable"), "2026-11-20T05:00:00Z");
    tended.record(Task::Check).run.reset();
  }
  EXPECT_EQ(parts, (std::vector<std::int64_t>{1, 2, 2, 3, 1}));
}

TEST(Repositories, AStatusSaysAllThatIsKnownAndIsReadBackTheSame) {
  Tended tended = tended_of(object());
  JobReport verified = good();
  verified.facts = {{"repositoryID", "ab"}, {"snapshots", 7}, {"credentialsValid", true}};
  ended(tended, Task::Verify, verified, "2026-11-20T00:00:05Z");
  JobReport maintained = good("Succeeded");
  maintained.facts = {{"sizeBytes", 1000}, {"reclaimableBytes", 10}, {"forgotten", 2}, {"bytesFreed", 5}};
  ended(tended, Task::Maintenance, maintained, "2026-11-20T03:00:05Z");
  JobReport checked = bad("DamageFound");
  checked.facts = {{"errors", 4}};
  ended(tended, Task::Check, checked, "2026-11-20T05:00:05Z");
  const Json status = status_of(tended);
  EXPECT_EQ(status["repositoryID"], "ab");
  EXPECT_EQ(status["snapshots"], 7);
  EXPECT_EQ(status["sizeBytes"], 1000);
  EXPECT_EQ(status["lastForgotten"], 2);
  EXPECT_EQ(status["checkErrors"], 4);
  EXPECT_EQ(status["lastMaintenanceTime"], "2026-11-20T03:00:05Z");
  EXPECT_FALSE(status.contains("lastCheckTime")) << "it did not succeed";
  EXPECT_EQ(condition(tended, "CredentialsValid"), "True LetIn");
  Json written = object();
  written["status"] = status;
  EXPECT_EQ(status_of(tended_of(written)), status);
}

TEST(Repositories, AJobThatCouldNotRunSaysNothingAboutTheRepository) {
  Tended tended = tended_of(object());
  ended(tended, Task::Verify, bad("JobNotStarted"), "2026-11-20T00:00:05Z");
  EXPECT_EQ(condition(tended, "Ready"), "Unknown JobNotStarted");
  ended(tended, Task::Verify, bad("CredentialsMissing"), "2026-11-20T00:00:05Z");
  EXPECT_EQ(condition(tended, "Ready"), "False CredentialsMissing");
  EXPECT_EQ(condition(tended, "CredentialsValid"), "False CredentialsMissing");
}

Json job_for(Task task, std::vector<std::string> retain = {}) {
  const Json pod_template = Json::parse(R"({"spec": {"containers": [{"name": "firn", "image": "i"}]}})");
  return job_of(
      tended_of(object()), task, {.run = {}, .part = 2, .asked = {}},
      {.ns = "firn-system", .cluster = "c", .pod_template = pod_template, .retain = std::move(retain)});
}

std::string args_of(const Json& job) {
  std::string text;
  for (const Json& word : job["spec"]["template"]["spec"]["containers"][0]["args"]) {
    text += word.get<std::string>() + " ";
  }
  return text;
}

TEST(RepositoryJobs, EachTaskHasASecretAndCredentialsOfItsOwn) {
  struct Case {
    Task task;
    const char* secret;
    const char* credentials;
  };
  for (const Case& one : {Case{Task::Init, "firn-admin-keys", "store-delete"},
                          Case{Task::Verify, "firn-maintainer-keys", "store-delete"},
                          Case{Task::Maintenance, "firn-maintainer-keys", "store-delete"},
                          Case{Task::Check, "firn-check-keys", "store"}}) {
    const Json spec = job_for(one.task)["spec"]["template"]["spec"];
    ASSERT_EQ(spec["volumes"].size(), 1U);
    EXPECT_EQ(spec["volumes"][0]["secret"]["secretName"], one.secret);
    // Other repositories' keys are not mounted.
    EXPECT_EQ(spec["volumes"][0]["secret"]["items"][0]["key"], "main.key");
    ASSERT_EQ(spec["containers"][0]["envFrom"].size(), 1U);
    EXPECT_EQ(spec["containers"][0]["envFrom"][0]["secretRef"]["name"], one.credentials);
    EXPECT_EQ(spec["restartPolicy"], "Never");
  }
}

TEST(RepositoryJobs, SayWhatIsToBeDone) {
  EXPECT_NE(args_of(job_for(Task::Verify)).find("--repo s3:https://rgw/b/c1 "), std::string::npos);
  EXPECT_NE(args_of(job_for(Task::Verify)).find("-o s3.path-style=true "), std::string::npos);
  EXPECT_NE(args_of(job_for(Task::Check)).find("--read-data-subset 2/3 "), std::string::npos);
  EXPECT_NE(
      args_of(job_for(Task::Maintenance, {"shop/p:last=1"})).find("--cluster-id c --retain shop/p:last=1 "),
      std::string::npos);
  EXPECT_EQ(args_of(job_for(Task::Verify, {"shop/p:last=1"})).find("--retain"), std::string::npos);
}

TEST(RepositoryJobs, TheSameStartHasTheSameNameAndTheNextOneAnother) {
  Tended tended = tended_of(object());
  const auto name = [&](const Start& start) {
    return kube::meta_of(job_of(tended, Task::Check, start, {})).name;
  };
  const std::string first = name({});
  EXPECT_EQ(first, name({}));
  EXPECT_TRUE(first.starts_with("main-check-"));
  EXPECT_NE(first, name({.run = {}, .part = 0, .asked = "now"}));
  tended.record(Task::Check).job = first;
  EXPECT_NE(first, name({}));
}

Json pod(const char* created, const Json& state, const char* phase = "Succeeded") {
  return {{"metadata", {{"name", "p"}, {"namespace", "firn-system"}, {"creationTimestamp", created}}},
          {"status",
           {{"phase", phase}, {"containerStatuses", Json::array({{{"name", "firn"}, {"state", state}}})}}}};
}

TEST(RepositoryJobs, TheNewestPodsReportCounts) {
  const Json older = pod("2026-11-20T00:00:00Z", {{"terminated", {{"exitCode", 1}, {"message", "x"}}}});
  const Json newer =
      pod("2026-11-20T00:00:01Z",
          {{"terminated",
            {{"exitCode", 0},
             {"message", R"({"ok": true, "reason": "Verified", "message": "m", "snapshots": 3})"}}}});
  const JobReport report = report_of(job_for(Task::Verify), {newer, older});
  EXPECT_TRUE(report.ok);
  EXPECT_EQ(report.reason, "Verified");
  EXPECT_EQ(report.facts["snapshots"], 3);
}

TEST(RepositoryJobs, WithoutAReportTheReasonIsWhatIsKnown) {
  const Json job = job_for(Task::Verify);
  const auto reason = [&](const Json& terminated) {
    return report_of(job, {pod(kCreated, {{"terminated", terminated}})}).reason;
  };
  EXPECT_EQ(reason({{"exitCode", 137}, {"reason", "OOMKilled"}}), "OutOfMemory");
  EXPECT_EQ(reason({{"exitCode", 2}, {"message", "not json"}}), "JobFailed");
  EXPECT_EQ(reason({{"exitCode", 0}, {"message", R"({"ok": true, "reason": "no reason"})"}}), "JobFailed");
  EXPECT_EQ(report_of(job, {}).reason, "JobGone");
  Json late = job;
  late["status"]["conditions"] = Json::array(
      {{{"type", "Failed"}, {"status", "True"}, {"reason", "DeadlineExceeded"}, {"message", "m"}}});
  EXPECT_EQ(report_of(late, {}).reason, "JobFailed");
  EXPECT_NE(report_of(late, {}).message.find("DeadlineExceeded"), std::string::npos);
}

TEST(RepositoryJobs, APodThatDoesNotStartSaysWhy) {
  const auto stuck = [](const Json& state, const char* phase) {
    const auto report = stuck_report({pod(kCreated, state, phase)});
    return report ? report->reason + " " + report->message : "";
  };
  EXPECT_EQ(stuck({{"running", Json::object()}}, "Running"), "");
  EXPECT_TRUE(stuck({{"waiting", {{"reason", "ErrImageNeverPull"}, {"message", "no image"}}}}, "Pending")
                  .starts_with("JobNotStarted ErrImageNeverPull: no image"));
  EXPECT_TRUE(
      stuck({{"waiting", {{"reason", "CreateContainerConfigError"}, {"message", "secret \"s\" not found"}}}},
            "Pending")
          .starts_with("CredentialsMissing secret \"s\" not found"));
  EXPECT_EQ(stuck_report({})->reason, "JobNotStarted");
}

TEST(RepositoryJobs, PoliciesKeepWhatTheySayWhereTheRepositoryAllowsThem) {
  const auto policy = [](const char* ns, const char* repository, const Json& retention) {
    Json made = {{"metadata", {{"name", "p"}, {"namespace", ns}}},
                 {"spec", {{"repositoryRef", {{"name", repository}}}}}};
    if (!retention.is_null()) {
      made["spec"]["retention"] = retention;
    }
    return made;
  };
  const auto rules =
      retention_rules(tended_of(object()),
                      {policy("shop", "main", {{"keepLast", 3}, {"keepDaily", 7}}),
                       policy("shop", "other", {{"keepLast", 1}}), policy("evil", "main", {{"keepLast", 1}}),
                       policy("shop", "main", nullptr), policy("shop", "main", {{"keepLast", 0}})});
  EXPECT_EQ(rules, (std::vector<std::string>{"shop/p:last=3,daily=7"}));
}

}  // namespace
}  // namespace firn::controller
