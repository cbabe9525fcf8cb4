#include "agent/kube/requests.h"

#include <algorithm>

#include "agent/kube/times.h"

namespace firn::kube {
namespace {

constexpr std::size_t kMessageBytesMax = 1000;
constexpr std::size_t kConditionBytesMax = 4000;
constexpr std::size_t kPathBytesMax = 1000;
constexpr std::size_t kFirstErrorsMax = 10;
constexpr std::size_t kNotesMax = 16;

/// The first bytes of `text`, not ending inside a character, as JSON can hold them.
std::string cut(const std::string& text, std::size_t bytes_max) {
  std::size_t size = std::min(text.size(), bytes_max);
  while (size > 0 && size < text.size() && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) {
    --size;
  }
  return text.substr(0, size);
}

}  // namespace

bool Request::ended() const {
  const Condition* succeeded = find(conditions, "Succeeded");
  return succeeded != nullptr && succeeded->status != "Unknown";
}

Place Request::place() const {
  return {kind == RequestKind::Backup ? kBackups : kRestores, meta.ns, meta.name, {}};
}

Place Request::status_place() const {
  Place status = place();
  status.subresource = "status";
  return status;
}

const char* Request::kind_name() const {
  return kind == RequestKind::Backup ? "PodVolumeBackup" : "PodVolumeRestore";
}

Json to_json(const Grant& grant) {
  return {{"snapshotID", grant.snapshot}, {"recipient", grant.recipient}, {"sealed", grant.sealed}};
}

Request request_of(RequestKind kind, const Json& object) {
  const Json& spec = member(object, "spec");
  const Json& status = member(object, "status");
  const std::string mode = text_of(member(spec, "mode"));
  Request out;
  out.kind = kind;
  out.meta = meta_of(object);
  out.node = text_of(member(spec, "nodeName"));
  out.pod_name = text_of(member(spec, "pod", "name"));
  out.pod_uid = text_of(member(spec, "pod", "uid"));
  out.volume = text_of(member(spec, "volume"));
  out.repository = text_of(member(spec, "repositoryRef", "name"));
  out.excludes = texts_of(member(spec, "excludes"));
  out.priority = number_of(member(spec, "priority")).value_or(0);
  out.deadline = std::chrono::seconds(number_of(member(spec, "deadlineSeconds")).value_or(86400));
  if (const auto ttl = number_of(member(spec, "ttlSecondsAfterFinished"))) {
    out.ttl = std::chrono::seconds(*ttl);
  }
  out.cancel = bool_of(member(spec, "cancel"));
  if (const Json& grant = member(spec, "grant"); grant.is_object()) {
    out.grant = Grant{.snapshot = text_of(member(grant, "snapshotID")),
                      .recipient = text_of(member(grant, "recipient")),
                      .sealed = text_of(member(grant, "sealed"))};
  }
  out.tags = texts_of(member(spec, "tags"));
  out.fail_on_file_error = text_of(member(spec, "onFileError")) == "Fail";
  out.file_errors_max = number_of(member(spec, "fileErrorsMax"));
  out.snapshot = text_of(member(spec, "snapshotID"));
  out.subpath = text_of(member(spec, "subPath"));
  out.includes = texts_of(member(spec, "includes"));
  out.mode = mode == "Overwrite" ? RestoreMode::Overwrite
             : mode == "Delta"   ? RestoreMode::Delta
                                 : RestoreMode::New;
  out.remove_extra = bool_of(member(spec, "deleteExtra"));
  out.verify = bool_of(member(spec, "verify"));
  out.conditions = conditions_of(object);
  out.session = text_of(member(status, "session"));
  out.snapshot_made = text_of(member(status, "snapshotID"));
  out.started_text = text_of(member(status, "startTime"));
  out.grant_key = text_of(member(status, "grantKeyID"));
  out.heartbeat = parse_time_text(text_of(member(status, "heartbeatTime")));
  out.completed = parse_time_text(text_of(member(status, "completionTime")));
  return out;
}

Json status_patch(const StatusChange& change, const std::string& version) {
  Json status = Json::object();
  const auto put = [&](const char* name, const auto& value) {
    if (value) {
      status[name] = *value;
    }
  };
  const auto put_time = [&](const char* name, const std::optional<base::WallTime>& time) {
    if (time) {
      status[name] = time_text(*time);
    }
  };
  if (!change.conditions.empty()) {
    std::vector<Condition> conditions = change.conditions;
    for (Condition& one : conditions) {
      one.message = cut(one.message, kConditionBytesMax);
    }
    status["conditions"] = to_json(conditions);
  }
  put("session", change.session);
  put("snapshotID", change.snapshot);
  put("rootID", change.root);
  put("parentSnapshotID", change.parent);
  put("sequence", change.sequence);
  put("shared", change.shared);
  if (change.grant_key) {
    status["grantKeyID"] = change.grant_key->empty() ? Json(nullptr) : Json(*change.grant_key);
  }
  put_time("acceptedTime", change.accepted);
  put_time("startTime", change.started);
  put_time("heartbeatTime", change.heartbeat);
  put_time("completionTime", change.completed);
  if (change.progress) {
    const StatusChange::Progress& now = *change.progress;
    status["progress"] = {{"phase", now.phase},
                          {"files", now.files},
                          {"bytes", now.bytes},
                          {"filesTotal", now.files_total},
                          {"bytesTotal", now.bytes_total},
                          {"etaSeconds", nullptr}};
    if (now.eta_seconds) {
      status["progress"]["etaSeconds"] = *now.eta_seconds;
    }
  }
  for (const auto& [name, count] : change.stats) {
    status["stats"][name] = count;
  }
  for (const FileError& error : change.first_errors) {
    if (status["firstErrors"].size() < kFirstErrorsMax) {
      status["firstErrors"].push_back(
          {{"path", cut(error.path, kPathBytesMax)}, {"message", cut(error.message, kMessageBytesMax)}});
    }
  }
  for (const std::string& note : change.notes) {
    if (status["notes"].size() < kNotesMax) {
      status["notes"].push_back(cut(note, kMessageBytesMax));
    }
  }
  Json patch = {{"status", std::move(status)}};
  if (!version.empty()) {
    patch["metadata"]["resourceVersion"] = version;
  }
  return patch;
}

}  // namespace firn::kube
