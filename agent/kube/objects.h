// Objects of the API, cut down to what firn needs, as plain values.
//
// Promise: reading never fails; what is missing or malformed is empty, and whoever needs it says so. Threads:
// any.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/kube/json.h"
#include "repo/base/clock.h"

namespace firn::kube {

struct Meta {
  std::string name;
  std::string ns;
  std::string uid;
  std::string version;  // resourceVersion
  std::int64_t generation = 0;
  base::WallTime created;
  bool deleting = false;  // it has a deletionTimestamp
  std::map<std::string, std::string> labels;
  // The first owner that is a controller, else the first.
  std::string owner_kind;
  std::string owner_name;
  std::string owner_uid;
};
Meta meta_of(const Json& object);

struct PodVolume {
  enum class Kind : std::uint8_t {
    Claim,
    EmptyDir,
    HostPath,
    Csi,        // inline
    Nfs,        // inline
    Ephemeral,  // a claim that goes with the pod
    Generated,  // configMap, secret, projected, downwardAPI, image: nothing to back up
    Other,      // in-tree plugins of old
  };
  std::string name;
  Kind kind = Kind::Other;
  std::string claim;      // of Claim and Ephemeral
  std::string host_path;  // of HostPath
  std::string plugin;     // how the spec calls it: "emptyDir"
  bool in_memory = false;
  bool block = false;  // some container has it as a device
};

struct Pod {
  Meta meta;
  std::string node;
  std::string phase;
  /// The name of its directory on the node: its uid, or of a static pod the kubelet's own id.
  std::string directory;
  std::vector<PodVolume> volumes;
};
Pod pod_of(const Json& object);

struct Claim {
  Meta meta;
  std::string volume;  // of the PersistentVolume; empty: not bound
  bool block = false;
};
Claim claim_of(const Json& object);

/// What the history of a volume is kept under: the claim's uid, else namespace, owner and volume; never the
/// pod's name where something else makes the pod.
std::string volume_identity(const Pod& pod, const std::optional<Claim>& claim, const std::string& volume);

struct Volume {
  Meta meta;
  bool block = false;
  std::string csi_driver;
  std::string csi_handle;
  std::string host_path;
  std::string claim_uid;
};
Volume volume_of(const Json& object);

struct Condition {
  std::string type;
  std::string status;
  std::string reason;
  std::string message;
  std::string since;  // lastTransitionTime
  std::int64_t generation = 0;
};
std::vector<Condition> conditions_of(const Json& object);
/// Null where there is none.
const Condition* find(const std::vector<Condition>& conditions, std::string_view type);
/// Puts `condition` in its place; `since` stays while the status does.
void set(std::vector<Condition>& conditions, Condition condition, base::WallTime now);
Json to_json(const std::vector<Condition>& conditions);

struct Repository {
  Meta meta;
  /// A path, or "s3:https://host/bucket/prefix", or "s3://bucket/prefix".
  std::string url;
  std::map<std::string, std::string, std::less<>> options;  // "s3.region", "s3.path-style"
  std::string ca_config_map;
  std::string credentials_secret;
  std::string key_secret;
  std::vector<std::string> allowed_namespaces;
  bool cross_namespace_restores = false;
  std::string maintenance_schedule;
  std::string check_schedule;
  std::string check_sample;
  std::vector<Condition> conditions;

  bool allows(const std::string& ns) const;
};
Repository repository_of(const Json& object);

/// An Event about `object`, for people.
struct EventText {
  const char* kind = "";         // of the object
  const char* api_version = "";  // of the object
  bool warning = false;
  std::string reason;
  std::string message;
  std::string component;  // "firn-agent"
  std::string host;
};
Json event_json(const Meta& object, const EventText& event, base::WallTime now, const std::string& name);

}  // namespace firn::kube
