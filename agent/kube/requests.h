// PodVolumeBackup and PodVolumeRestore: what is asked, and what is answered.
//
// Threads: any.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/kube/client.h"
#include "agent/kube/objects.h"

namespace firn::kube {

inline constexpr const char* kApiVersion = "backup.firn.io/v1alpha1";

enum class RequestKind : std::uint8_t { Backup, Restore };
enum class RestoreMode : std::uint8_t { New, Overwrite, Delta };

/// The right to read one snapshot, as it stands in a request.
struct Grant {
  std::string snapshot;   // the whole id
  std::string recipient;  // kid
  std::string sealed;     // base64
};
Json to_json(const Grant& grant);

struct Request {
  RequestKind kind = RequestKind::Backup;
  Meta meta;
  std::string node;
  std::string pod_name;
  std::string pod_uid;
  std::string volume;
  std::string repository;
  std::vector<std::string> excludes;
  std::int64_t priority = 0;
  std::chrono::seconds deadline{86400};  // from its creation
  std::optional<std::chrono::seconds> ttl;
  bool cancel = false;
  std::optional<Grant> grant;
  // Of a backup.
  std::vector<std::string> tags;
  bool fail_on_file_error = false;
  std::optional<std::int64_t> file_errors_max;
  // Of a restore.
  std::string snapshot;
  std::string subpath;
  std::vector<std::string> includes;
  RestoreMode mode = RestoreMode::New;
  bool remove_extra = false;
  bool verify = false;
  // Of its status.
  std::vector<Condition> conditions;
  std::string session;
  std::string snapshot_made;
  std::string started_text;
  std::string grant_key;  // the kid that waits for a grant
  std::optional<base::WallTime> heartbeat;
  std::optional<base::WallTime> completed;

  /// It has succeeded or failed.
  bool ended() const;
  Place place() const;
  Place status_place() const;
  const char* kind_name() const;
};
Request request_of(RequestKind kind, const Json& object);

struct FileError {
  std::string path;
  std::string message;
};

/// What a status shall say; what is not given stays as it is.
struct StatusChange {
  std::vector<Condition> conditions;  // all of them; empty: no change
  std::optional<std::string> session;
  std::optional<std::string> snapshot;
  std::optional<std::string> root;
  std::optional<std::string> parent;
  std::optional<std::int64_t> sequence;
  std::optional<bool> shared;
  std::optional<std::string> grant_key;  // empty: it waits no more
  std::optional<base::WallTime> accepted, started, heartbeat, completed;
  struct Progress {
    std::string phase;
    std::uint64_t files = 0, bytes = 0, files_total = 0, bytes_total = 0;
    std::optional<std::int64_t> eta_seconds;
  };
  std::optional<Progress> progress;
  std::vector<std::pair<const char*, std::uint64_t>> stats;
  std::vector<FileError> first_errors;
  std::vector<std::string> notes;
};
/// The merge patch of a status. Texts are cut to what the schema takes. With a version, another writer in
/// between is a conflict.
Json status_patch(const StatusChange& change, const std::string& version = {});

}  // namespace firn::kube
