#include "agent/kube/objects.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "agent/kube/times.h"

namespace firn::kube {
namespace {

constexpr std::size_t kEventMessageBytesMax = 1000;
// A static pod's directory is called after the hash of its file.
constexpr const char* kMirror = "kubernetes.io/config.mirror";

PodVolume pod_volume_of(const Json& volume, const std::string& pod) {
  using Kind = PodVolume::Kind;
  static constexpr std::array<std::pair<const char*, Kind>, 11> kKinds{
      {{"persistentVolumeClaim", Kind::Claim},
       {"emptyDir", Kind::EmptyDir},
       {"hostPath", Kind::HostPath},
       {"csi", Kind::Csi},
       {"nfs", Kind::Nfs},
       {"ephemeral", Kind::Ephemeral},
       {"configMap", Kind::Generated},
       {"secret", Kind::Generated},
       {"projected", Kind::Generated},
       {"downwardAPI", Kind::Generated},
       {"image", Kind::Generated}}};
  PodVolume out;
  out.name = text_of(member(volume, "name"));
  for (const auto& [name, kind] : kKinds) {
    if (!member(volume, name).is_null()) {
      out.kind = kind;
      out.plugin = name;
    }
  }
  if (out.plugin.empty() && volume.is_object()) {
    for (const auto& one : volume.items()) {
      out.plugin = one.key() == "name" ? out.plugin : one.key();
    }
  }
  out.claim = out.kind == Kind::Ephemeral ? pod + "-" + out.name
                                          : text_of(member(volume, "persistentVolumeClaim", "claimName"));
  out.host_path = text_of(member(volume, "hostPath", "path"));
  out.in_memory = text_of(member(volume, "emptyDir", "medium")) == "Memory";
  return out;
}

bool is_block(const Json& spec) { return text_of(member(spec, "volumeMode")) == "Block"; }

}  // namespace

Meta meta_of(const Json& object) {
  const Json& meta = member(object, "metadata");
  Meta out{.name = text_of(member(meta, "name")),
           .ns = text_of(member(meta, "namespace")),
           .uid = text_of(member(meta, "uid")),
           .version = text_of(member(meta, "resourceVersion")),
           .generation = number_of(member(meta, "generation")).value_or(0),
           .created = parse_time_text(text_of(member(meta, "creationTimestamp"))).value_or(base::WallTime{}),
           .deleting = !member(meta, "deletionTimestamp").is_null(),
           .labels = {},
           .owner_kind = {},
           .owner_name = {},
           .owner_uid = {}};
  if (const Json& labels = member(meta, "labels"); labels.is_object()) {
    for (const auto& label : labels.items()) {
      out.labels[label.key()] = text_of(label.value());
    }
  }
  if (const Json& owners = member(meta, "ownerReferences"); owners.is_array()) {
    for (const Json& owner : owners) {
      if (out.owner_uid.empty() || bool_of(member(owner, "controller"))) {
        out.owner_kind = text_of(member(owner, "kind"));
        out.owner_name = text_of(member(owner, "name"));
        out.owner_uid = text_of(member(owner, "uid"));
      }
    }
  }
  return out;
}

Pod pod_of(const Json& object) {
  Pod pod{.meta = meta_of(object),
          .node = text_of(member(object, "spec", "nodeName")),
          .phase = text_of(member(object, "status", "phase")),
          .directory = text_of(member(object, "metadata", "annotations", kMirror)),
          .volumes = {}};
  if (pod.directory.empty()) {
    pod.directory = pod.meta.uid;
  }
  std::set<std::string> devices;
  for (const char* list : {"containers", "initContainers"}) {
    if (const Json& containers = member(object, "spec", list); containers.is_array()) {
      for (const Json& container : containers) {
        if (const Json& names = member(container, "volumeDevices"); names.is_array()) {
          for (const Json& device : names) {
            devices.insert(text_of(member(device, "name")));
          }
        }
      }
    }
  }
  if (const Json& volumes = member(object, "spec", "volumes"); volumes.is_array()) {
    for (const Json& volume : volumes) {
      pod.volumes.push_back(pod_volume_of(volume, pod.meta.name));
      pod.volumes.back().block = devices.contains(pod.volumes.back().name);
    }
  }
  return pod;
}

Claim claim_of(const Json& object) {
  return {.meta = meta_of(object),
          .volume = text_of(member(object, "spec", "volumeName")),
          .block = is_block(member(object, "spec"))};
}

Volume volume_of(const Json& object) {
  const Json& spec = member(object, "spec");
  return {.meta = meta_of(object),
          .block = is_block(spec),
          .csi_driver = text_of(member(spec, "csi", "driver")),
          .csi_handle = text_of(member(spec, "csi", "volumeHandle")),
          .host_path = text_of(member(spec, "hostPath", "path")),
          .claim_uid = text_of(member(spec, "claimRef", "uid"))};
}

std::vector<Condition> conditions_of(const Json& object) {
  std::vector<Condition> out;
  if (const Json& list = member(object, "status", "conditions"); list.is_array()) {
    for (const Json& one : list) {
      out.push_back({.type = text_of(member(one, "type")),
                     .status = text_of(member(one, "status")),
                     .reason = text_of(member(one, "reason")),
                     .message = text_of(member(one, "message")),
                     .since = text_of(member(one, "lastTransitionTime")),
                     .generation = number_of(member(one, "observedGeneration")).value_or(0)});
    }
  }
  return out;
}

const Condition* find(const std::vector<Condition>& conditions, std::string_view type) {
  const auto found = std::find_if(conditions.begin(), conditions.end(),
                                  [&](const Condition& one) { return one.type == type; });
  return found == conditions.end() ? nullptr : &*found;
}

void set(std::vector<Condition>& conditions, Condition condition, base::WallTime now) {
  condition.since = time_text(now);
  for (Condition& one : conditions) {
    if (one.type == condition.type) {
      if (one.status == condition.status) {
        condition.since = one.since;
      }
      one = std::move(condition);
      return;
    }
  }
  conditions.push_back(std::move(condition));
}

Json to_json(const std::vector<Condition>& conditions) {
  Json list = Json::array();
  for (const Condition& one : conditions) {
    Json json = {{"type", one.type},
                 {"status", one.status},
                 {"reason", one.reason},
                 {"message", one.message},
                 {"lastTransitionTime", one.since}};
    if (one.generation != 0) {
      json["observedGeneration"] = one.generation;
    }
    list.push_back(std::move(json));
  }
  return list;
}

bool Repository::allows(const std::string& ns) const {
  return ns == meta.ns || std::any_of(allowed_namespaces.begin(), allowed_namespaces.end(),
                                      [&](const std::string& one) { return one == "*" || one == ns; });
}

Repository repository_of(const Json& object) {
  const Json& spec = member(object, "spec");
  const Json& s3 = member(spec, "s3");
  Repository out{.meta = meta_of(object),
                 .url = text_of(member(spec, "path")),
                 .options = {},
                 .ca_config_map = text_of(member(s3, "caRef", "name")),
                 .credentials_secret = text_of(member(spec, "credentialsRef", "name")),
                 .key_secret = text_of(member(spec, "keyRef", "name")),
                 .allowed_namespaces = texts_of(member(spec, "allowedNamespaces")),
                 .cross_namespace_restores = bool_of(member(spec, "crossNamespaceRestores")),
                 .maintenance_schedule = text_of(member(spec, "maintenance", "schedule")),
                 .check_schedule = text_of(member(spec, "check", "schedule")),
                 .check_sample = text_of(member(spec, "check", "sample")),
                 .conditions = conditions_of(object)};
  if (s3.is_object()) {
    const std::string endpoint = text_of(member(s3, "endpoint"));
    const std::string prefix = text_of(member(s3, "prefix"));
    out.url = (endpoint.empty() ? "s3://" : "s3:" + endpoint + "/") + text_of(member(s3, "bucket")) +
              (prefix.empty() ? "" : "/" + prefix);
    if (const std::string region = text_of(member(s3, "region")); !region.empty()) {
      out.options["s3.region"] = region;
    }
    if (const Json& style = member(s3, "pathStyle"); style.is_boolean()) {
      out.options["s3.path-style"] = style.get<bool>() ? "true" : "false";
    }
  }
  return out;
}

Json event_json(const Meta& object, const EventText& event, base::WallTime now, const std::string& name) {
  const std::string time = time_text(now);
  return {{"apiVersion", "v1"},
          {"kind", "Event"},
          {"metadata", {{"name", name}, {"namespace", object.ns}}},
          {"involvedObject",
           {{"apiVersion", event.api_version},
            {"kind", event.kind},
            {"namespace", object.ns},
            {"name", object.name},
            {"uid", object.uid},
            {"resourceVersion", object.version}}},
          {"type", event.warning ? "Warning" : "Normal"},
          {"reason", event.reason},
          {"message", event.message.substr(0, kEventMessageBytesMax)},
          {"source", {{"component", event.component}, {"host", event.host}}},
          {"reportingComponent", event.component},
          {"reportingInstance", event.host},
          {"firstTimestamp", time},
          {"lastTimestamp", time},
          {"count", 1}};
}

std::string volume_identity(const Pod& of, const std::optional<Claim>& claim, const std::string& volume) {
  if (claim) {
    return claim->meta.uid;
  }
  const Meta& pod = of.meta;
  std::string kind = pod.owner_kind.empty() ? "Pod" : pod.owner_kind;
  std::string name = pod.owner_kind.empty() ? pod.name : pod.owner_name;
  // A Deployment makes a new ReplicaSet for every change of its pods; its own name is what stays.
  const auto hash = pod.labels.find("pod-template-hash");
  if (kind == "ReplicaSet" && hash != pod.labels.end() && name.ends_with("-" + hash->second)) {
    kind = "Deployment";
    name.resize(name.size() - hash->second.size() - 1);
  }
  // The pods of a StatefulSet and static pods are told apart by their stable names.
  if (kind == "StatefulSet" || kind == "Node") {
    name = pod.name;
  } else if (kind == "DaemonSet") {
    name += "@" + of.node;
  }
  return pod.ns + "/" + kind + "/" + name + "/" + volume;
}

}  // namespace firn::kube
