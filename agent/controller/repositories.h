// Repositories: made where they are missing, verified, freed of what nobody needs, and checked, by Jobs.
//
// Promise: each task is a Job of its own with one Secret of its own; the controller sees none of them. What a
// Job found is in the Repository's status, with a reason and what to do, also when the Job could not run at
// all; what failed is tried again, ever more rarely. A Job that a former leader began is gone on with, and
// none is begun twice. How a Job's pod looks (image, rights, resources) is PodTemplate firn-job in firn's
// namespace; what runs in it is `firn tend`. Not here: what a task does. Threads: one caller.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/kube/client.h"
#include "agent/kube/objects.h"
#include "repo/base/clock.h"

namespace firn::controller {

enum class Task : std::uint8_t { Init, Verify, Maintenance, Check };
inline constexpr std::array<Task, 4> kTasks{Task::Init, Task::Verify, Task::Maintenance, Task::Check};
/// "init", "verify", "maintenance", "check".
const char* to_string(Task task);

/// What is known of a task's last Job; it stands in status.tasks.
struct TaskRecord {
  std::string job;                    // empty: there was none yet
  std::optional<base::WallTime> run;  // the scheduled time that it was for
  std::optional<base::WallTime> started;
  std::optional<base::WallTime> ended;  // empty while it runs
  bool ok = false;
  std::string reason;
  std::int64_t failures = 0;    // one after the other, up to now
  std::int64_t part = 0;        // of a check that reads a part each time
  std::int64_t generation = 0;  // of the Repository when it was begun
  std::string asked;            // the annotation's value that it served
};

/// A Repository as the controller looks after it.
struct Tended {
  kube::Repository repository;
  std::string maintenance_credentials;           // of the store; empty: the Repository's
  std::string zone;                              // of the schedules
  std::array<std::string, kTasks.size()> asked;  // by annotation
  std::array<TaskRecord, kTasks.size()> tasks;
  std::vector<kube::Condition> conditions;
  kube::Json facts = kube::Json::object();  // of the status: sizes, counts, times

  TaskRecord& record(Task task) { return tasks[static_cast<std::size_t>(task)]; }
  const TaskRecord& record(Task task) const { return tasks[static_cast<std::size_t>(task)]; }
};
Tended tended_of(const kube::Json& object);

/// A Job that is to be begun.
struct Start {
  std::optional<base::WallTime> run;
  std::int64_t part = 0;
  std::string asked;
};
/// Whether the task's next Job is to be begun now. Errors: Invalid (the schedule or its time zone).
Result<std::optional<Start>> start_of(const Tended& tended, Task task, base::WallTime now);
/// The next scheduled time of maintenance or check; empty where there is none. Errors: Invalid.
Result<std::optional<base::WallTime>> next_run(const Tended& tended, Task task, base::WallTime now);

/// How a Job ended, as it says itself or as its pod shows it.
struct JobReport {
  bool ok = false;
  std::string reason;
  std::string message;
  kube::Json facts = kube::Json::object();
};
/// From the Job's pods; the newest counts.
JobReport report_of(const kube::Json& job, const std::vector<kube::Json>& pods);
/// Why a pod of a Job that runs for some time does not get going; empty: it does.
std::optional<JobReport> stuck_report(const std::vector<kube::Json>& pods);

/// Puts a Job's end into records, conditions and facts.
void conclude(Tended& tended, Task task, const JobReport& report, base::WallTime now);

/// What a maintenance run keeps: "shop/nightly:last=3,daily=7" of each policy that names this Repository.
std::vector<std::string> retention_rules(const Tended& tended, const std::vector<kube::Json>& policies);

struct JobContext {
  std::string ns;
  std::string cluster;
  kube::Json pod_template;
  std::vector<std::string> retain;
};
/// The Job of a task, whole. The same Start gives the same name, whoever begins it.
kube::Json job_of(const Tended& tended, Task task, const Start& start, const JobContext& context);

/// Told of each Job that ended, and of each that cannot begin.
using TellTask = std::function<void(const Tended& tended, Task task, const JobReport& report)>;

/// The status as it is to be written.
kube::Json status_of(const Tended& tended);

/// Looks at every Repository of firn's namespace once; gives them as they are now. Errors: those of the API
/// server; what was done stays done.
Result<std::vector<Tended>> tend_repositories(kube::Client& client, const base::Clock& clock,
                                              const std::string& ns, const std::string& cluster,
                                              const TellTask& tell);

}  // namespace firn::controller
