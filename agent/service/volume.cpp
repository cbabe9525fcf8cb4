#include "agent/service/volume.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "agent/kube/json.h"

namespace firn::service {
namespace {

constexpr std::size_t kVolumeDataBytesMax = 64U << 10;
constexpr std::string_view kCsiPlugin = "kubernetes.io~csi";
constexpr std::string_view kEmptyDirPlugin = "kubernetes.io~empty-dir";

/// A directory below `at`, never through a link and never out of it.
base::FileDescriptor open_beneath(int at, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return base::FileDescriptor(static_cast<int>(::syscall(SYS_openat2, at, path.c_str(), &how, sizeof(how))));
}

/// A directory as processes of the host see it: links are resolved with `at` as the root.
base::FileDescriptor open_in_root(int at, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return base::FileDescriptor(static_cast<int>(::syscall(SYS_openat2, at, path.c_str(), &how, sizeof(how))));
}

struct Identity {
  std::uint64_t mount_id = 0;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool is_mount = false;
};

Outcome<Identity> identify(int directory, const std::string& path) {
  struct statx status {};
  if (::statx(directory, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_INO | STATX_MNT_ID, &status) != 0) {
    return refuse("VolumeUnreadable", "statx " + path + ": " + std::strerror(errno));
  }
  if ((status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) == 0) {
    return refuse("KernelTooOld", "this kernel does not say what a mount is: Linux 5.8 or newer is needed");
  }
  return Identity{.mount_id = status.stx_mnt_id,
                  .device = (static_cast<std::uint64_t>(status.stx_dev_major) << 32) | status.stx_dev_minor,
                  .inode = status.stx_ino,
                  .is_mount = (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0};
}

std::vector<std::string> names_in(int directory) {
  std::vector<std::string> names;
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) {
    return names;
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(copy), ::closedir);
  if (!listing) {
    ::close(copy);
    return names;
  }
  while (const dirent* entry = ::readdir(listing.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  return names;
}

/// "/a/b" is in "/a"; "/ab" is not.
bool is_in(const std::string& path, std::string folder) {
  while (folder.size() > 1 && folder.ends_with('/')) {
    folder.pop_back();
  }
  return folder == "/" || path == folder || path.starts_with(folder + "/");
}

Outcome<HostVolume> opened(base::FileDescriptor directory, std::string path, bool must_be_mount) {
  FIRN_GET(const Identity identity, identify(directory.get(), path));
  if (must_be_mount && !identity.is_mount) {
    return refuse("VolumeNotMounted", path +
                                          " is not mounted: is the pod running, and does the agent see the "
                                          "kubelet's mounts (mountPropagation: HostToContainer)?");
  }
  return HostVolume{.directory = std::move(directory),
                    .path = std::move(path),
                    .mount_id = identity.mount_id,
                    .device = identity.device,
                    .inode = identity.inode};
}

Outcome<HostVolume> open_host_path(const HostPlaces& places, const std::string& path) {
  const auto allowed = [&](const std::string& where) {
    return std::any_of(places.host_paths_allowed.begin(), places.host_paths_allowed.end(),
                       [&](const std::string& folder) { return is_in(where, folder); });
  };
  const auto refused = [&](const std::string& where) {
    return refuse(
        "HostPathNotAllowed",
        "host path " + where + " is not below a directory that the agent's --allow-host-path names");
  };
  if (!allowed(path)) {
    return refused(path);
  }
  const std::string root_path = places.host_root.empty() ? "/" : places.host_root;
  const base::FileDescriptor root(::open(root_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  base::FileDescriptor directory = open_in_root(root.get(), path);
  if (!directory.valid()) {
    return refuse(errno == ENOENT ? "VolumeNotFound" : "VolumeUnreadable",
                  "host path " + path + " on this node: " + std::strerror(errno) +
                      "; is it mounted into the agent's pod below " + root_path + "?");
  }
  // Where links led: a link inside an allowed directory must not lead out of all of them.
  std::array<char, 4096> buffer{};
  const std::string link = "/proc/self/fd/" + std::to_string(directory.get());
  const ssize_t length = ::readlink(link.c_str(), buffer.data(), buffer.size());
  std::string real(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  if (!places.host_root.empty() && is_in(real, places.host_root)) {
    real = real.substr(places.host_root.size());
  }
  if (!allowed(real)) {
    return refused(path + " (which is " + real + ")");
  }
  return opened(std::move(directory), path, false);
}

/// What the CSI plugin of the kubelet noted beside the mount must be what the PersistentVolume says.
Outcome<> check_csi(int pods, const std::string& folder, const std::string& name,
                    const VolumeObjects& objects) {
  const base::FileDescriptor beside = open_beneath(pods, folder);
  auto file = base::open_at(beside.get(), "vol_data.json", O_RDONLY | O_NOFOLLOW);
  if (!beside.valid() || !file) {
    return refuse("VolumeNotFound",
                  folder + " has no vol_data.json: the kubelet has not finished mounting it");
  }
  std::string text(kVolumeDataBytesMax, '\0');
  const ssize_t got = ::read(file->get(), text.data(), text.size());
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  const auto data = kube::parse_json(text);
  if (!data) {
    return refuse("VolumeNotFound", folder + "/vol_data.json is not JSON");
  }
  const auto differs = [&](const char* field, const std::string& wanted) {
    return !wanted.empty() && kube::text_of(kube::member(*data, field)) != wanted;
  };
  const bool wrong =
      differs("specVolID", name) || (objects.volume && (differs("driverName", objects.volume->csi_driver) ||
                                                        differs("volumeHandle", objects.volume->csi_handle)));
  if (wrong) {
    return refuse("VolumeMismatch",
                  folder + "/vol_data.json names another driver or volume than the PersistentVolume");
  }
  return {};
}

Outcome<HostVolume> open_in_kubelet(const HostPlaces& places, const VolumeObjects& objects,
                                    const kube::PodVolume& volume, const std::string& name) {
  const std::string pods_path = places.kubelet_root + "/pods";
  const base::FileDescriptor pods(::open(pods_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!pods.valid()) {
    return refuse("KubeletRootNotFound",
                  pods_path + ": " + std::strerror(errno) + "; is --kubelet-root this node's kubelet root?");
  }
  const std::string volumes_path = objects.pod.directory + "/volumes";
  const base::FileDescriptor volumes = open_beneath(pods.get(), volumes_path);
  if (!volumes.valid()) {
    return refuse("VolumeNotFound", "the kubelet has no directory for this pod (" + pods_path + "/" +
                                        volumes_path + "): has the pod been started on this node?");
  }
  std::vector<std::string> plugins;
  for (const std::string& plugin : names_in(volumes.get())) {
    if (open_beneath(volumes.get(), plugin + "/" + name).valid()) {
      plugins.push_back(plugin);
    }
  }
  if (plugins.size() != 1) {
    return refuse(plugins.empty() ? "VolumeNotFound" : "VolumeAmbiguous",
                  "volume " + volume.name + " (" + name + ") has " + std::to_string(plugins.size()) +
                      " directories below " + pods_path + "/" + volumes_path + "; one is wanted");
  }
  std::string path = volumes_path + "/" + plugins.front() + "/" + name;
  if (plugins.front() == kCsiPlugin) {
    FIRN_GET(const bool checked, check_csi(pods.get(), path, name, objects).map([] { return true; }));
    static_cast<void>(checked);
    path += "/mount";
  }
  base::FileDescriptor directory = open_beneath(pods.get(), path);
  if (!directory.valid()) {
    return refuse("VolumeUnreadable", pods_path + "/" + path + ": " + std::strerror(errno));
  }
  const bool plain = plugins.front() == kEmptyDirPlugin && !volume.in_memory;
  return opened(std::move(directory), pods_path + "/" + path, !plain);
}

}  // namespace

std::string HostVolume::path_of_descriptor() const {
  return "/proc/self/fd/" + std::to_string(directory.get());
}

Outcome<const kube::PodVolume*> find_pod_volume(const kube::Pod& pod, const std::string& name) {
  const auto found = std::find_if(pod.volumes.begin(), pod.volumes.end(),
                                  [&](const kube::PodVolume& one) { return one.name == name; });
  if (found == pod.volumes.end()) {
    return refuse("VolumeNotFound", "pod " + pod.meta.name + " has no volume named " + name);
  }
  if (found->kind == kube::PodVolume::Kind::Generated) {
    return refuse("VolumeKindNotSupported", "volume " + name + " is a " + found->plugin +
                                                ": it is made from other objects, which are to be "
                                                "backed up instead");
  }
  if (found->block) {
    return refuse("BlockVolume",
                  "volume " + name + " is a block device in this pod: only file systems are backed up");
  }
  return &*found;
}

Outcome<HostVolume> open_volume(const HostPlaces& places, const VolumeObjects& objects) {
  FIRN_GET(const kube::PodVolume* volume, find_pod_volume(objects.pod, objects.volume_name));
  if ((objects.claim && objects.claim->block) || (objects.volume && objects.volume->block)) {
    return refuse("BlockVolume",
                  "volume " + volume->name + " has volumeMode Block: only file systems are backed up");
  }
  if (volume->kind == kube::PodVolume::Kind::HostPath) {
    return open_host_path(places, volume->host_path);
  }
  if (objects.volume && !objects.volume->host_path.empty()) {
    return open_host_path(places, objects.volume->host_path);
  }
  return open_in_kubelet(places, objects, *volume, objects.volume ? objects.volume->meta.name : volume->name);
}

Outcome<> still_there(const HostPlaces& places, const VolumeObjects& objects, const HostVolume& before) {
  const auto now = open_volume(places, objects);
  if (!now || now->mount_id != before.mount_id || now->device != before.device ||
      now->inode != before.inode) {
    return refuse("VolumeUnmounted",
                  before.path + " was unmounted or replaced while it was used; no snapshot was made");
  }
  return {};
}

std::string volume_identity(const VolumeObjects& objects) {
  return kube::volume_identity(objects.pod, objects.claim, objects.volume_name);
}

}  // namespace firn::service
