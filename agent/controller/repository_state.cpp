// What is known of a Repository: read from its status, changed by what a Job found, and written back.
#include "agent/controller/repository_state.h"

#include <algorithm>
#include <array>

#include "agent/kube/times.h"

namespace firn::controller {
namespace {

constexpr std::size_t kMessageBytesMax = 2000;
constexpr const char* kAnnotationBegin = "backup.firn.io/run-";
/// Of the report, into the status.
constexpr std::array kFactsKept{"repositoryID", "snapshots", "sizeBytes", "reclaimableBytes"};

std::optional<base::WallTime> time_at(const kube::Json& object, const char* name) {
  return kube::parse_time_text(kube::text_of(kube::member(object, name)));
}

TaskRecord record_of(const kube::Json& json) {
  return {.job = kube::text_of(kube::member(json, "job")),
          .run = time_at(json, "runTime"),
          .started = time_at(json, "startTime"),
          .ended = time_at(json, "endTime"),
          .ok = kube::bool_of(kube::member(json, "succeeded")),
          .reason = kube::text_of(kube::member(json, "reason")),
          .failures = kube::number_of(kube::member(json, "failures")).value_or(0),
          .part = kube::number_of(kube::member(json, "part")).value_or(0),
          .generation = kube::number_of(kube::member(json, "generation")).value_or(0),
          .asked = kube::text_of(kube::member(json, "asked"))};
}

kube::Json to_json(Task task, const TaskRecord& record) {
  kube::Json json = {{"task", to_string(task)},
                     {"job", record.job},
                     {"succeeded", record.ok},
                     {"failures", record.failures},
                     {"generation", record.generation}};
  const auto put_time = [&](const char* name, const std::optional<base::WallTime>& time) {
    if (time) {
      json[name] = kube::time_text(*time);
    }
  };
  put_time("runTime", record.run);
  put_time("startTime", record.started);
  put_time("endTime", record.ended);
  if (!record.reason.empty()) {
    json["reason"] = record.reason;
  }
  if (record.part > 0) {
    json["part"] = record.part;
  }
  if (!record.asked.empty()) {
    json["asked"] = record.asked;
  }
  return json;
}

void say(Tended& tended, const char* type, const char* status, const std::string& reason,
         const std::string& message, base::WallTime now) {
  kube::set(tended.conditions,
            {.type = type,
             .status = status,
             .reason = reason.empty() ? "Unknown" : reason,
             .message = message.substr(0, kMessageBytesMax),
             .since = {},
             .generation = tended.repository.meta.generation},
            now);
}

/// The Job itself went wrong: what it should have found out is not known.
bool says_nothing(const JobReport& report) {
  static constexpr std::array kReasons{"Verifying", "JobNotStarted", "JobGone",
                                       "JobFailed", "OutOfMemory",   "Interrupted"};
  return std::find(kReasons.begin(), kReasons.end(), report.reason) != kReasons.end();
}

}  // namespace

const char* to_string(Task task) {
  static constexpr std::array kNames{"init", "verify", "maintenance", "check"};
  return kNames[static_cast<std::size_t>(task)];
}

Tended tended_of(const kube::Json& object) {
  Tended out;
  const kube::Json& spec = kube::member(object, "spec");
  const kube::Json& status = kube::member(object, "status");
  out.repository = kube::repository_of(object);
  out.maintenance_credentials = kube::text_of(kube::member(spec, "maintenance", "credentialsRef", "name"));
  out.zone = kube::text_of(kube::member(spec, "timeZone"));
  out.conditions = out.repository.conditions;
  const kube::Json& annotations = kube::member(object, "metadata", "annotations");
  for (const Task task : kTasks) {
    const std::string name = std::string(kAnnotationBegin) + to_string(task);
    out.asked[static_cast<std::size_t>(task)] = kube::text_of(kube::member(annotations, name.c_str()));
  }
  if (const kube::Json& records = kube::member(status, "tasks"); records.is_array()) {
    for (const kube::Json& json : records) {
      for (const Task task : kTasks) {
        if (kube::text_of(kube::member(json, "task")) == to_string(task)) {
          out.record(task) = record_of(json);
        }
      }
    }
  }
  if (status.is_object()) {
    out.facts = status;
    out.facts.erase("conditions");
    out.facts.erase("tasks");
  }
  return out;
}

kube::Json status_of(const Tended& tended) {
  kube::Json status = tended.facts;
  status["conditions"] = kube::to_json(tended.conditions);
  status["tasks"] = kube::Json::array();
  for (const Task task : kTasks) {
    if (!tended.record(task).job.empty()) {
      status["tasks"].push_back(to_json(task, tended.record(task)));
    }
  }
  return status;
}

void say_result(Tended& tended, Task task, const JobReport& report, base::WallTime now) {
  const char* status = report.ok ? "True" : says_nothing(report) ? "Unknown" : "False";
  switch (task) {
    case Task::Init:
      if (!report.ok) {
        say(tended, "Ready", status, report.reason, report.message, now);
      }
      return;
    case Task::Verify: {
      say(tended, "Ready", status, report.reason, report.message, now);
      const kube::Json& valid = kube::member(report.facts, "credentialsValid");
      if (valid.is_boolean()) {
        const bool good = kube::bool_of(valid);
        say(tended, "CredentialsValid", good ? "True" : "False", good ? "LetIn" : report.reason,
            good ? "the store lets us in" : report.message, now);
      } else {
        const bool missing = report.reason == "CredentialsMissing";
        say(tended, "CredentialsValid", missing ? "False" : "Unknown", report.reason, report.message, now);
      }
      return;
    }
    case Task::Maintenance:
      // What did not run did not succeed.
      say(tended, "MaintenanceSucceeded", report.ok ? "True" : "False", report.reason, report.message, now);
      return;
    case Task::Check:
      say(tended, "CheckSucceeded", report.ok ? "True" : "False", report.reason, report.message, now);
      return;
  }
}

void conclude(Tended& tended, Task task, const JobReport& report, base::WallTime now) {
  TaskRecord& record = tended.record(task);
  record.ended = now;
  record.ok = report.ok;
  record.reason = report.reason;
  record.failures = report.ok ? 0 : record.failures + 1;
  say_result(tended, task, report, now);
  for (const char* name : kFactsKept) {
    if (const kube::Json& value = kube::member(report.facts, name); !value.is_null()) {
      tended.facts[name] = value;
    }
  }
  if (task == Task::Maintenance) {
    for (const auto& [from, to] :
         {std::pair{"forgotten", "lastForgotten"}, {"bytesFreed", "lastBytesFreed"}}) {
      if (const kube::Json& value = kube::member(report.facts, from); !value.is_null()) {
        tended.facts[to] = value;
      }
    }
  }
  if (const kube::Json& errors = kube::member(report.facts, "errors");
      task == Task::Check && !errors.is_null()) {
    tended.facts["checkErrors"] = errors;
  }
  if (report.ok && task != Task::Init) {
    static constexpr std::array kTimes{"", "lastVerifyTime", "lastMaintenanceTime", "lastCheckTime"};
    tended.facts[kTimes[static_cast<std::size_t>(task)]] = kube::time_text(now);
  }
}

}  // namespace firn::controller
