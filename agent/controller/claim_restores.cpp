#include "agent/controller/claim_restores.h"

#include <algorithm>
#include <array>
#include <map>

#include "agent/controller/names.h"
#include "agent/kube/times.h"

namespace firn::controller {
namespace {

using kube::Json;

constexpr kube::Resource kPodTemplates{"/api/v1", "podtemplates"};
constexpr const char* kTemplateName = "firn-helper";
constexpr const char* kHelperLabel = "backup.firn.io/restore-uid";
constexpr const char* kVolume = "volume";
constexpr std::size_t kNameBytesMax = 40;
/// Of the work's status into the request's.
constexpr std::array kTaken{"progress", "stats", "firstErrors", "notes", "startTime", "heartbeatTime"};

Json owner_of(const ClaimRestore& restore) {
  const kube::Meta& meta = restore.request.meta;
  return Json::array({{{"apiVersion", kube::kApiVersion},
                       {"kind", "PodVolumeRestore"},
                       {"name", meta.name},
                       {"uid", meta.uid},
                       {"controller", true}}});
}

std::vector<kube::Condition> said(const ClaimRestore& restore, const char* running, const char* succeeded,
                                  const std::string& reason, const std::string& message, base::WallTime now) {
  std::vector<kube::Condition> conditions = restore.request.conditions;
  const auto put = [&](const char* type, const char* status, const std::string& why) {
    kube::set(conditions,
              {.type = type,
               .status = status,
               .reason = why,
               .message = message,
               .since = {},
               .generation = restore.request.meta.generation},
              now);
  };
  put("Accepted", "True", "Accepted");
  put("Running", running, reason);
  put("Succeeded", succeeded, reason);
  return conditions;
}

/// One round over all restores into claims.
class Round {
 public:
  Round(kube::Client& client, const base::Clock& clock, const std::string& ns,
        const std::function<void(const ClaimRestore&, const std::string&)>& tell)
      : client_(client), clock_(clock), ns_(ns), tell_(tell) {}

  Result<> run() {
    std::vector<ClaimRestore> restores;
    FIRN_TRY(client_.list({.resource = kube::kRestores, .ns = {}, .fields = "spec.nodeName=", .labels = {}},
                          [&](const Json& object) -> Result<> {
                            ClaimRestore restore = claim_restore_of(object);
                            if (!restore.claim.empty()) {
                              restores.push_back(std::move(restore));
                            }
                            return {};
                          }));
    if (restores.empty()) {
      return {};
    }
    FIRN_TRY(client_.list({.resource = kube::kPods, .ns = {}, .fields = {}, .labels = kHelperLabel},
                          [&](const Json& pod) -> Result<> {
                            helpers_[kube::meta_of(pod).labels.at(kHelperLabel)] = pod;
                            return {};
                          }));
    // One that cannot be worked on does not hold up the others.
    Result<> outcome;
    for (const ClaimRestore& restore : restores) {
      const kube::Meta& meta = restore.request.meta;
      if (meta.deleting) {
        continue;
      }
      auto done = in("restore " + meta.ns + "/" + meta.name,
                     restore.request.ended() ? tidy(restore) : work_on(restore));
      if (!done && outcome) {
        outcome = std::move(done);
      }
    }
    return outcome;
  }

 private:
  const Json* helper(const ClaimRestore& restore) const {
    const auto found = helpers_.find(restore.request.meta.uid);
    return found == helpers_.end() ? nullptr : &found->second;
  }

  /// The helper goes; the work, ended or not, goes with it.
  Result<> tidy(const ClaimRestore& restore) {
    const Json* pod = helper(restore);
    if (pod == nullptr || kube::meta_of(*pod).deleting) {
      return {};
    }
    const kube::Meta meta = kube::meta_of(*pod);
    FIRN_TRY(client_.remove({kube::kRestores, meta.ns, meta.name, {}}, {}));
    return client_.remove({kube::kPods, meta.ns, meta.name, {}}, meta.uid);
  }

  Result<> write(const ClaimRestore& restore, Json status) {
    const auto patched = client_.patch(restore.request.status_place(), Json{{"status", std::move(status)}});
    return patched || patched.error().code == ErrorCode::NotFound ? Result<>() : Failure(patched.error());
  }

  Result<> say_waiting(const ClaimRestore& restore, const std::string& reason, const std::string& message) {
    const kube::Condition* before = kube::find(restore.request.conditions, "Succeeded");
    if (before != nullptr && before->reason == reason && before->message == message) {
      return {};
    }
    const base::WallTime now = clock_.wall();
    Json status = {{"conditions", kube::to_json(said(restore, "False", "Unknown", reason, message, now))}};
    if (before == nullptr) {
      status["acceptedTime"] = kube::time_text(now);
    }
    return write(restore, std::move(status));
  }

  Result<> end(const ClaimRestore& restore, const std::string& reason, const std::string& message) {
    const base::WallTime now = clock_.wall();
    tell_(restore, reason + ": " + message);
    FIRN_TRY(
        write(restore, {{"conditions", kube::to_json(said(restore, "False", "False", reason, message, now))},
                        {"completionTime", kube::time_text(now)}}));
    return tidy(restore);
  }

  Result<> work_on(const ClaimRestore& restore) {
    if (restore.request.cancel) {
      return end(restore, "Cancelled", "spec.cancel was set");
    }
    const Json* pod = helper(restore);
    if (pod == nullptr) {
      return begin(restore);
    }
    const kube::Meta meta = kube::meta_of(*pod);
    const auto work = client_.get({kube::kRestores, meta.ns, meta.name, {}});
    if (work) {
      return follow(restore, *work);
    }
    if (work.error().code != ErrorCode::NotFound) {
      return Failure(work.error());
    }
    if (const std::string waits = waiting_text(*pod); !waits.empty()) {
      return say_waiting(restore, "WaitingForVolume", waits);
    }
    return create(kube::kRestores, meta.ns, meta.name, work_of(restore, *pod, clock_.wall()));
  }

  Result<> follow(const ClaimRestore& restore, const Json& work) {
    const base::WallTime now = clock_.wall();
    const kube::Request seen = kube::request_of(kube::RequestKind::Restore, work);
    if (seen.conditions.empty()) {
      return {};
    }
    FIRN_TRY(write(restore, mirrored(restore, work, now)));
    if (!seen.ended()) {
      return {};
    }
    const kube::Condition* end = kube::find(seen.conditions, "Succeeded");
    tell_(restore, end->reason + ": " + end->message);
    return tidy(restore);
  }

  /// The claim, where it is to be made, and the helper.
  Result<> begin(const ClaimRestore& restore) {
    const std::string& ns = restore.request.meta.ns;
    const auto claim = client_.get({kube::kClaims, ns, restore.claim, {}});
    if (!claim && claim.error().code != ErrorCode::NotFound) {
      return Failure(claim.error());
    }
    if (!claim && restore.size.empty()) {
      return end(restore, "ClaimNotFound",
                 "claim " + ns + "/" + restore.claim + " does not exist: make it, or give spec.claim.size");
    }
    if (claim && kube::claim_of(*claim).block) {
      return end(restore, "BlockVolume", "claim " + restore.claim + " has volumeMode Block");
    }
    if (!claim) {
      FIRN_TRY(create(kube::kClaims, ns, restore.claim, claim_of(restore)));
    }
    const auto found = client_.get({kPodTemplates, ns_, kTemplateName, {}});
    if (!found) {
      return found.error().code == ErrorCode::NotFound
                 ? end(restore, "HelperNotStarted",
                       "there is no PodTemplate firn-helper in firn's namespace: apply deploy/base again")
                 : Result<>(Failure(found.error()));
    }
    const auto made =
        create(kube::kPods, ns, helper_name(restore), helper_of(restore, kube::member(*found, "template")));
    if (!made && (made.error().code == ErrorCode::Invalid || made.error().code == ErrorCode::Denied)) {
      return end(restore, "HelperNotStarted", made.error().message);
    }
    FIRN_TRY(made);
    return say_waiting(restore, "WaitingForVolume", "a helper pod is started to mount the claim");
  }

  Result<> create(const kube::Resource& resource, const std::string& ns, const std::string& name,
                  const Json& object) {
    const auto created = client_.create({resource, ns, name, {}}, object);
    return created || created.error().code == ErrorCode::Exists ? Result<>() : Failure(created.error());
  }

  kube::Client& client_;
  const base::Clock& clock_;
  const std::string& ns_;
  const std::function<void(const ClaimRestore&, const std::string&)>& tell_;
  std::map<std::string, Json> helpers_;  // by the request's uid
};

}  // namespace

ClaimRestore claim_restore_of(const kube::Json& object) {
  const Json& claim = kube::member(object, "spec", "claim");
  return {.request = kube::request_of(kube::RequestKind::Restore, object),
          .spec = kube::member(object, "spec"),
          .claim = kube::text_of(kube::member(claim, "name")),
          .storage_class = kube::text_of(kube::member(claim, "storageClassName")),
          .size = kube::text_of(kube::member(claim, "size")),
          .access_modes = kube::texts_of(kube::member(claim, "accessModes"))};
}

std::string helper_name(const ClaimRestore& restore) {
  return restore.request.meta.name.substr(0, kNameBytesMax) + "-" + short_hash(restore.request.meta.uid);
}

kube::Json claim_of(const ClaimRestore& restore) {
  Json spec = {{"accessModes", restore.access_modes},
               {"resources", {{"requests", {{"storage", restore.size}}}}}};
  if (restore.access_modes.empty()) {
    spec["accessModes"] = {"ReadWriteOnce"};
  }
  if (!restore.storage_class.empty()) {
    spec["storageClassName"] = restore.storage_class;
  }
  // Nobody owns it: it outlives the request.
  return {{"apiVersion", "v1"},
          {"kind", "PersistentVolumeClaim"},
          {"metadata", {{"name", restore.claim}, {"namespace", restore.request.meta.ns}}},
          {"spec", std::move(spec)}};
}

kube::Json helper_of(const ClaimRestore& restore, const kube::Json& pod_template) {
  Json pod = pod_template;
  pod["apiVersion"] = "v1";
  pod["kind"] = "Pod";
  pod["metadata"]["name"] = helper_name(restore);
  pod["metadata"]["namespace"] = restore.request.meta.ns;
  pod["metadata"]["labels"][kHelperLabel] = restore.request.meta.uid;
  pod["metadata"]["ownerReferences"] = owner_of(restore);
  pod["spec"]["volumes"] =
      Json::array({{{"name", kVolume}, {"persistentVolumeClaim", {{"claimName", restore.claim}}}}});
  return pod;
}

kube::Json work_of(const ClaimRestore& restore, const kube::Json& helper, base::WallTime now) {
  const kube::Meta pod = kube::meta_of(helper);
  Json spec = restore.spec;
  spec.erase("claim");
  spec.erase("cancel");
  spec.erase("grant");
  spec.erase("ttlSecondsAfterFinished");
  spec["nodeName"] = kube::member(helper, "spec", "nodeName");
  spec["pod"] = {{"name", pod.name}, {"uid", pod.uid}};
  spec["volume"] = kVolume;
  const auto passed = (now.nanoseconds - restore.request.meta.created.nanoseconds) / 1'000'000'000;
  spec["deadlineSeconds"] = std::max<std::int64_t>(1, restore.request.deadline.count() - passed);
  return {{"apiVersion", kube::kApiVersion},
          {"kind", "PodVolumeRestore"},
          {"metadata",
           {{"name", helper_name(restore)},
            {"namespace", restore.request.meta.ns},
            {"ownerReferences", owner_of(restore)}}},
          {"spec", std::move(spec)}};
}

std::string waiting_text(const kube::Json& helper) {
  const kube::Meta meta = kube::meta_of(helper);
  const std::string phase = kube::text_of(kube::member(helper, "status", "phase"));
  if (phase == "Running") {
    return "";
  }
  for (const kube::Condition& condition : kube::conditions_of(helper)) {
    if (condition.type == "PodScheduled" && condition.status == "False") {
      return "no node takes the helper pod " + meta.name + ": " + condition.message;
    }
  }
  if (const Json& list = kube::member(helper, "status", "containerStatuses"); list.is_array()) {
    for (const Json& one : list) {
      const Json& waiting = kube::member(one, "state", "waiting");
      const std::string reason = kube::text_of(kube::member(waiting, "reason"));
      if (!reason.empty() && reason != "ContainerCreating") {
        return "helper pod " + meta.name + ": " + reason + ": " +
               kube::text_of(kube::member(waiting, "message"));
      }
    }
  }
  return "helper pod " + meta.name + " is being started";
}

kube::Json mirrored(const ClaimRestore& restore, const kube::Json& work, base::WallTime now) {
  const Json& status = kube::member(work, "status");
  std::vector<kube::Condition> conditions = restore.request.conditions;
  bool ended = false;
  for (kube::Condition condition : kube::conditions_of(work)) {
    ended = ended || (condition.type == "Succeeded" && condition.status != "Unknown");
    condition.generation = restore.request.meta.generation;
    kube::set(conditions, std::move(condition), now);
  }
  Json out = {{"conditions", kube::to_json(conditions)}};
  for (const char* name : kTaken) {
    if (const Json& value = kube::member(status, name); !value.is_null()) {
      out[name] = value;
    }
  }
  if (ended) {
    out["completionTime"] = kube::time_text(now);
  }
  return out;
}

Result<> run_claim_restores(kube::Client& client, const base::Clock& clock, const std::string& ns,
                            const std::function<void(const ClaimRestore&, const std::string&)>& tell) {
  return Round(client, clock, ns, tell).run();
}

}  // namespace firn::controller
