// Where on this node a pod's volume is: from the API's objects and the kubelet's directories to an open
// directory.
//
// Promise: what is opened is the mount that the kubelet made for this volume of this pod, or nothing is: an
// unmounted directory, a link in the way, a driver or handle that is not the PersistentVolume's, a path
// outside of the administrator's list are refused with a reason. The plugin's name is read from the
// directory, never computed. Threads: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/kube/objects.h"
#include "agent/service/outcome.h"
#include "repo/base/files.h"

namespace firn::service {

/// Where to look on this machine.
struct HostPlaces {
  std::string kubelet_root = "/var/lib/kubelet";
  /// What the paths of hostPath volumes are below, in this container: "/host"; empty: "/".
  std::string host_root;
  /// Directories whose content may be backed up and restored as hostPath volumes.
  std::vector<std::string> host_paths_allowed;
};

/// The objects that say what a volume is; `claim` and `volume` only where a claim stands behind it.
struct VolumeObjects {
  kube::Pod pod;
  std::string volume_name;  // in the pod's spec
  std::optional<kube::Claim> claim;
  std::optional<kube::Volume> volume;
};

/// An open directory of the host, and what it was when it was opened.
struct HostVolume {
  base::FileDescriptor directory;
  std::string path;  // for people
  std::uint64_t mount_id = 0;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  /// Names the directory as long as the descriptor is open, whatever happens to `path`.
  std::string path_of_descriptor() const;
};

/// The pod's volume by its name; refuses kinds that have nothing to back up or cannot be read as files.
Outcome<const kube::PodVolume*> find_pod_volume(const kube::Pod& pod, const std::string& name);

Outcome<HostVolume> open_volume(const HostPlaces& places, const VolumeObjects& objects);

/// Is the volume still what was opened? Refuses with VolumeUnmounted.
Outcome<> still_there(const HostPlaces& places, const VolumeObjects& objects, const HostVolume& opened);

/// What the history of the volume is kept under (kube/objects.h).
std::string volume_identity(const VolumeObjects& objects);

}  // namespace firn::service
