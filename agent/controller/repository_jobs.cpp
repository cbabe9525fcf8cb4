// The Jobs that look after a Repository: how one is written, and what one that ended has to say.
#include <algorithm>
#include <array>

#include "agent/controller/names.h"
#include "agent/controller/repositories.h"
#include "agent/kube/requests.h"
#include "agent/kube/times.h"

namespace firn::controller {
namespace {

constexpr std::size_t kNameBytesMax = 30;
constexpr std::size_t kMessageBytesMax = 1500;
constexpr const char* kKeyDir = "/etc/firn/keys";
constexpr const char* kAuthorityDir = "/etc/firn/authority";
constexpr const char* kContainer = "firn";
// Those that only look are short; the others end when they are done, or were forgotten by everybody.
constexpr std::int64_t kLookSecondsMax = 600;
constexpr std::int64_t kWorkSecondsMax = 24L * 3600;
constexpr std::int64_t kLookKeptSeconds = 3600;
constexpr std::int64_t kWorkKeptSeconds = 3L * 24 * 3600;

const char* secret_of(Task task) {
  static constexpr std::array kSecrets{"firn-admin-keys", "firn-maintainer-keys", "firn-maintainer-keys",
                                       "firn-check-keys"};
  return kSecrets[static_cast<std::size_t>(task)];
}

bool is_short(Task task) { return task == Task::Init || task == Task::Verify; }

/// "1/7" with the part in its place; everything else as it is.
std::string subset_of(const std::string& sample, std::int64_t part) {
  const auto slash = sample.find('/');
  return slash == std::string::npos ? sample : std::to_string(part) + sample.substr(slash);
}

std::vector<std::string> arguments(const Tended& tended, Task task, const Start& start,
                                   const JobContext& context) {
  const kube::Repository& repository = tended.repository;
  std::vector<std::string> args = {
      "tend",         "--task",    to_string(task), "--name",   repository.meta.name,  "--repo",
      repository.url, "--key-dir", kKeyDir,         "--report", "/dev/termination-log"};
  for (const auto& [key, value] : repository.options) {
    args.insert(args.end(), {"-o", key + "=" + value});
  }
  if (!repository.ca_config_map.empty()) {
    args.insert(args.end(), {"--cacert", std::string(kAuthorityDir) + "/ca.crt"});
  }
  if (task == Task::Check && !repository.check_sample.empty()) {
    args.insert(args.end(), {"--read-data-subset", subset_of(repository.check_sample, start.part)});
  }
  if (task == Task::Maintenance && !context.retain.empty()) {
    args.insert(args.end(), {"--cluster-id", context.cluster});
    for (const std::string& rule : context.retain) {
      args.insert(args.end(), {"--retain", rule});
    }
  }
  return args;
}

void add(kube::Json& list, kube::Json value) {
  if (!list.is_array()) {
    list = kube::Json::array();
  }
  list.push_back(std::move(value));
}

/// The pod as the template has it, with the task's program, key, authority and credentials.
kube::Json pod_of(const Tended& tended, Task task, const Start& start, const JobContext& context) {
  const kube::Repository& repository = tended.repository;
  kube::Json pod = context.pod_template;
  kube::Json& spec = pod["spec"];
  spec["restartPolicy"] = "Never";
  kube::Json keys = kube::Json::array();
  for (const char* ending : {".key", ".password", ".ca.crt"}) {
    keys.push_back({{"key", repository.meta.name + ending}, {"path", repository.meta.name + ending}});
  }
  // Optional: the program says better than the kubelet what is missing.
  add(spec["volumes"],
      {{"name", "keys"},
       {"secret",
        {{"secretName", secret_of(task)}, {"optional", true}, {"defaultMode", 0400}, {"items", keys}}}});
  if (!repository.ca_config_map.empty()) {
    add(spec["volumes"], {{"name", "authority"},
                          {"configMap",
                           {{"name", repository.ca_config_map},
                            {"items", kube::Json::array({{{"key", "ca.crt"}, {"path", "ca.crt"}}})}}}});
  }
  const std::string& credentials = !tended.maintenance_credentials.empty() && task != Task::Check
                                       ? tended.maintenance_credentials
                                       : repository.credentials_secret;
  for (kube::Json& container : spec["containers"]) {
    if (kube::text_of(kube::member(container, "name")) != kContainer) {
      continue;
    }
    container["args"] = arguments(tended, task, start, context);
    container["terminationMessagePath"] = "/dev/termination-log";
    add(container["volumeMounts"], {{"name", "keys"}, {"mountPath", kKeyDir}, {"readOnly", true}});
    if (!repository.ca_config_map.empty()) {
      add(container["volumeMounts"],
          {{"name", "authority"}, {"mountPath", kAuthorityDir}, {"readOnly", true}});
    }
    if (!credentials.empty()) {
      add(container["envFrom"], {{"secretRef", {{"name", credentials}}}});
    }
  }
  return pod;
}

/// The state of the program's container, or null.
const kube::Json& state_of(const kube::Json& pod) {
  static const kube::Json nothing;
  if (const kube::Json& list = kube::member(pod, "status", "containerStatuses"); list.is_array()) {
    for (const kube::Json& one : list) {
      if (kube::text_of(kube::member(one, "name")) == kContainer) {
        return kube::member(one, "state");
      }
    }
  }
  return nothing;
}

const kube::Json* newest(const std::vector<kube::Json>& pods) {
  const auto found = std::max_element(pods.begin(), pods.end(), [](const kube::Json& a, const kube::Json& b) {
    return kube::meta_of(a).created < kube::meta_of(b).created;
  });
  return found == pods.end() ? nullptr : &*found;
}

JobReport failure(std::string reason, std::string message) {
  return {.ok = false, .reason = std::move(reason), .message = std::move(message)};
}

/// A word that a condition's reason may be.
bool is_reason(const std::string& text) {
  return !text.empty() && text.front() >= 'A' && text.front() <= 'Z' &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) != 0; });
}

}  // namespace

kube::Json job_of(const Tended& tended, Task task, const Start& start, const JobContext& context) {
  const kube::Meta& meta = tended.repository.meta;
  const TaskRecord& last = tended.record(task);
  // Who begins the same Job again gives it the same name.
  const std::string key = meta.uid + "/" + to_string(task) + "/" + last.job + "/" +
                          std::to_string(meta.generation) + "/" + start.asked;
  const std::string name = meta.name.substr(0, kNameBytesMax) + "-" + to_string(task) + "-" + short_hash(key);
  const kube::Json labels = {{"app.kubernetes.io/name", "firn-job"},
                             {"app.kubernetes.io/part-of", "firn"},
                             {kRepositoryLabel, meta.uid},
                             {kTaskLabel, to_string(task)}};
  kube::Json pod = pod_of(tended, task, start, context);
  pod["metadata"]["labels"].update(labels);
  return {{"apiVersion", "batch/v1"},
          {"kind", "Job"},
          {"metadata",
           {{"name", name},
            {"namespace", context.ns},
            {"labels", labels},
            {"ownerReferences", kube::Json::array({{{"apiVersion", kube::kApiVersion},
                                                    {"kind", "Repository"},
                                                    {"name", meta.name},
                                                    {"uid", meta.uid},
                                                    {"controller", true}}})}}},
          {"spec",
           {{"backoffLimit", 0},
            {"activeDeadlineSeconds", is_short(task) ? kLookSecondsMax : kWorkSecondsMax},
            {"ttlSecondsAfterFinished", is_short(task) ? kLookKeptSeconds : kWorkKeptSeconds},
            {"template", std::move(pod)}}}};
}

JobReport report_of(const kube::Json& job, const std::vector<kube::Json>& pods) {
  const kube::Meta meta = kube::meta_of(job);
  const std::string log = "see kubectl logs -n " + meta.ns + " job/" + meta.name;
  const kube::Json* pod = newest(pods);
  const kube::Json& ended =
      pod == nullptr ? kube::member(job, "") : kube::member(state_of(*pod), "terminated");
  if (const auto said = kube::parse_json(kube::text_of(kube::member(ended, "message")))) {
    JobReport report{.ok = kube::bool_of(kube::member(*said, "ok")),
                     .reason = kube::text_of(kube::member(*said, "reason")),
                     .message = kube::text_of(kube::member(*said, "message")).substr(0, kMessageBytesMax),
                     .facts = *said};
    if (is_reason(report.reason)) {
      return report;
    }
  }
  if (kube::text_of(kube::member(ended, "reason")) == "OOMKilled") {
    return failure("OutOfMemory",
                   "the Job needed more memory than it may have: raise the limit in PodTemplate firn-job");
  }
  if (const auto code = kube::number_of(kube::member(ended, "exitCode"))) {
    return failure("JobFailed",
                   "the Job ended with exit code " + std::to_string(*code) + " and no report; " + log);
  }
  for (const kube::Condition& condition : kube::conditions_of(job)) {
    if (condition.type == "Failed" && condition.status == "True") {
      return failure("JobFailed", "the Job failed: " + condition.reason + ": " + condition.message);
    }
  }
  return failure("JobGone", "the Job's pod is gone, and with it what it found");
}

std::optional<JobReport> stuck_report(const std::vector<kube::Json>& pods) {
  const kube::Json* pod = newest(pods);
  if (pod == nullptr) {
    return failure("JobNotStarted",
                   "the Job has no pod: do quotas or policies of the namespace keep it from having one?");
  }
  const kube::Json& waiting = kube::member(state_of(*pod), "waiting");
  const std::string phase = kube::text_of(kube::member(*pod, "status", "phase"));
  if (phase != "Pending") {
    return std::nullopt;
  }
  const std::string reason = kube::text_of(kube::member(waiting, "reason"));
  const std::string message = kube::text_of(kube::member(waiting, "message"));
  if (reason == "CreateContainerConfigError") {
    return failure("CredentialsMissing", message + ": the Repository's credentialsRef names it");
  }
  if (!reason.empty()) {
    return failure("JobNotStarted", reason + (message.empty() ? "" : ": " + message) +
                                        "; see kubectl describe -n " + kube::meta_of(*pod).ns + " pod/" +
                                        kube::meta_of(*pod).name);
  }
  for (const kube::Condition& condition : kube::conditions_of(*pod)) {
    if (condition.type == "PodScheduled" && condition.status == "False") {
      return failure("JobNotStarted", "no node takes the Job's pod: " + condition.message);
    }
  }
  return failure("JobNotStarted", "the Job's pod is still waiting; see kubectl describe -n " +
                                      kube::meta_of(*pod).ns + " pod/" + kube::meta_of(*pod).name);
}

std::vector<std::string> retention_rules(const Tended& tended, const std::vector<kube::Json>& policies) {
  static constexpr std::array kRules{std::pair{"keepLast", "last"},       std::pair{"keepHourly", "hourly"},
                                     std::pair{"keepDaily", "daily"},     std::pair{"keepWeekly", "weekly"},
                                     std::pair{"keepMonthly", "monthly"}, std::pair{"keepYearly", "yearly"}};
  std::vector<std::string> out;
  for (const kube::Json& policy : policies) {
    const kube::Meta meta = kube::meta_of(policy);
    const kube::Json& spec = kube::member(policy, "spec");
    if (kube::text_of(kube::member(spec, "repositoryRef", "name")) != tended.repository.meta.name ||
        !tended.repository.allows(meta.ns)) {
      continue;
    }
    std::string rules;
    for (const auto& [field, word] : kRules) {
      if (const auto count = kube::number_of(kube::member(spec, "retention", field)); count && *count > 0) {
        rules += (rules.empty() ? "" : ",") + std::string(word) + "=" + std::to_string(*count);
      }
    }
    // One that keeps nothing is none: everything would go.
    if (!rules.empty()) {
      out.push_back(meta.ns + "/" + meta.name + ":" + rules);
    }
  }
  return out;
}

}  // namespace firn::controller
