#include "agent/scan/linux_calls.h"

#include <dirent.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <memory>

namespace firn::scan {

namespace {

// One getdents64 call: some two thousand names. A larger buffer was no faster.
constexpr std::size_t kListBufferBytes = 64u << 10;
// The kernel's own limits for one attribute and for the list of their names.
constexpr std::size_t kXattrBytesMax = 64u << 10;

// What getdents64 writes; the C library has no name for it.
struct KernelDirent {
  std::uint64_t inode;
  std::int64_t offset;
  std::uint16_t length;
  std::uint8_t type;
  char name[1];
};
constexpr std::size_t kDirentNameOffset = 19;

FileType type_of_dirent(std::uint8_t type) {
  switch (type) {
    case DT_REG:
      return FileType::Regular;
    case DT_DIR:
      return FileType::Directory;
    case DT_LNK:
      return FileType::Symlink;
    case DT_FIFO:
      return FileType::Fifo;
    case DT_SOCK:
      return FileType::Socket;
    case DT_CHR:
      return FileType::Character;
    case DT_BLK:
      return FileType::Block;
    default:
      return FileType::Unknown;
  }
}

FileType type_of_mode(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return FileType::Regular;
    case S_IFDIR:
      return FileType::Directory;
    case S_IFLNK:
      return FileType::Symlink;
    case S_IFIFO:
      return FileType::Fifo;
    case S_IFSOCK:
      return FileType::Socket;
    case S_IFCHR:
      return FileType::Character;
    case S_IFBLK:
      return FileType::Block;
    default:
      return FileType::Unknown;
  }
}

Timestamp timestamp_of(const struct statx_timestamp& time) { return Timestamp{time.tv_sec, time.tv_nsec}; }

// openat2 refuses links, magic links and ".." in the kernel; openat with O_NOFOLLOW is the same for one plain
// name, and is there where openat2 is not (old kernels, sandboxes that filter it).
int open_once(int dir_fd, const char* name, int flags, mode_t mode) {
  static std::atomic<bool> have_openat2{true};
  if (have_openat2.load(std::memory_order_relaxed)) {
    struct open_how how = {};
    how.flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags));
    how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    const long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof how);
    if (fd >= 0 || errno != ENOSYS) {
      return static_cast<int>(fd);
    }
    have_openat2.store(false, std::memory_order_relaxed);
  }
  return openat(dir_fd, name, flags, mode);
}

template <class Call>
int retry_interrupted(Call call) {
  int result = call();
  while (result < 0 && errno == EINTR) {
    result = call();
  }
  return result;
}

// What listing and reading attributes share: the same calls on a descriptor or on a path.
struct XattrCalls {
  std::function<ssize_t(char* list, std::size_t size)> list;
  std::function<ssize_t(const char* name, void* value, std::size_t size)> get;
};

bool no_xattrs_here(int errno_value) { return errno_value == ENOTSUP || errno_value == ENOSYS; }

Result<std::vector<std::string>> xattr_names(const XattrCalls& calls) {
  std::array<char, 1024> small;
  std::vector<char> large;
  char* buffer = small.data();
  std::size_t capacity = small.size();
  for (;;) {
    const ssize_t length = calls.list(buffer, capacity);
    if (length >= 0) {
      std::vector<std::string> names;
      std::string_view rest(buffer, static_cast<std::size_t>(length));
      while (!rest.empty()) {
        const std::string_view name = rest.substr(0, rest.find('\0'));
        rest.remove_prefix(std::min(rest.size(), name.size() + 1));
        if (is_kept_xattr(name)) {
          names.emplace_back(name);
        }
      }
      return names;
    }
    if (no_xattrs_here(errno)) {
      return std::vector<std::string>{};
    }
    if (errno != ERANGE || capacity >= kXattrBytesMax) {
      return fail_errno(errno, "list attributes of", "it");
    }
    capacity = large.empty() ? 4 * small.size() : 4 * large.size();
    large.resize(capacity);
    buffer = large.data();
  }
}

// Empty when the attribute went away since it was listed.
Result<std::optional<Bytes>> xattr_value(const XattrCalls& calls, const std::string& name) {
  Bytes value(256);
  for (;;) {
    const ssize_t length = calls.get(name.c_str(), value.data(), value.size());
    if (length >= 0) {
      value.resize(static_cast<std::size_t>(length));
      return value;
    }
    if (errno == ENODATA || no_xattrs_here(errno)) {
      return std::nullopt;
    }
    if (errno != ERANGE || value.size() >= kXattrBytesMax) {
      return fail_errno(errno, "read attribute", name);
    }
    value.resize(4 * value.size());
  }
}

Result<std::vector<Xattr>> read_xattrs(const XattrCalls& calls) {
  FIRN_LET(std::vector<std::string> names, xattr_names(calls));
  std::sort(names.begin(), names.end());
  std::vector<Xattr> xattrs;
  for (std::string& name : names) {
    FIRN_LET(std::optional<Bytes> value, xattr_value(calls, name));
    if (value) {
      xattrs.push_back({std::move(name), std::move(*value)});
    }
  }
  return xattrs;
}

}  // namespace

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

std::string printable(std::string_view name) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || byte == '\\') {
      text.append("\\x").push_back(kDigits[byte >> 4]);
      text.push_back(kDigits[byte & 15]);
    } else {
      text.push_back(c);
    }
  }
  return text;
}

Result<base::FileDescriptor> open_below(int dir_fd, const std::string& name, int flags, mode_t mode) {
  if (!is_plain_name(name)) {
    return fail(ErrorCode::Invalid, "open " + printable(name) + ": not a name that can stand in a directory");
  }
  // openat2 refuses O_PATH together with flags that mean nothing to it.
  const int wanted = flags | O_NOFOLLOW | O_CLOEXEC | ((flags & O_PATH) != 0 ? 0 : O_NOCTTY);
  int fd = retry_interrupted([&] { return open_once(dir_fd, name.c_str(), wanted, mode); });
  if (fd < 0 && errno == EPERM && (flags & O_NOATIME) != 0) {
    fd = retry_interrupted([&] { return open_once(dir_fd, name.c_str(), wanted & ~O_NOATIME, mode); });
  }
  if (fd >= 0) {
    return base::FileDescriptor(fd);
  }
  if (errno == ELOOP || errno == EXDEV || errno == ENXIO) {
    return fail(ErrorCode::Changed, "open " + printable(name) + ": it is a link, a socket or a device now");
  }
  return fail_errno(errno, "open", printable(name));
}

Result<base::FileDescriptor> open_directory_path(const std::string& path, OpenFor use) {
  constexpr int kPassage = O_PATH | O_DIRECTORY | O_CLOEXEC;
  constexpr int kReading = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | O_NOATIME;
  constexpr std::size_t kStepBytes = 2048;  // well below PATH_MAX, and longer than any one name
  if (path.empty() || path.find('\0') != std::string::npos) {
    return fail(ErrorCode::Invalid, "open " + printable(path) + ": not a path");
  }
  base::FileDescriptor at;
  std::size_t begin = 0;
  while (begin < path.size()) {
    std::size_t end = path.size();
    if (end - begin > kStepBytes) {
      end = path.rfind('/', begin + kStepBytes);
      if (end == std::string::npos || end <= begin) {
        return fail_errno(ENAMETOOLONG, "open", printable(path));
      }
    }
    const std::string step = path.substr(begin, end - begin);
    const int base = at.valid() ? at.get() : AT_FDCWD;
    const int flags = end < path.size() || use == OpenFor::Passage ? kPassage : kReading;
    int fd = retry_interrupted([&] { return ::openat(base, step.c_str(), flags); });
    if (fd < 0 && errno == EPERM && flags == kReading) {
      fd = retry_interrupted([&] { return ::openat(base, step.c_str(), kReading & ~O_NOATIME); });
    }
    if (fd < 0) {
      return fail_errno(errno, "open", printable(path));
    }
    at = base::FileDescriptor(fd);
    begin = path.find_first_not_of('/', end);
    if (begin == std::string::npos) {
      break;
    }
  }
  return at;
}

Result<Stat> stat_below(int dir_fd, const std::string& name) {
  struct statx raw;
  const int flags =
      AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_SYNC_AS_STAT | (name.empty() ? AT_EMPTY_PATH : 0);
  if (::statx(dir_fd, name.c_str(), flags, STATX_BASIC_STATS | STATX_MNT_ID, &raw) != 0) {
    return fail_errno(errno, "stat", printable(name));
  }
  const FileType type = type_of_mode(raw.stx_mode);
  if (type == FileType::Unknown) {
    return fail(ErrorCode::Unsupported, "stat " + printable(name) + ": a type of file that nobody knows");
  }
  Stat stat;
  stat.type = type;
  stat.mode = static_cast<std::uint16_t>(raw.stx_mode & 07777);
  stat.uid = raw.stx_uid;
  stat.gid = raw.stx_gid;
  stat.size_bytes = raw.stx_size;
  stat.blocks_bytes = raw.stx_blocks * 512;
  stat.mtime = timestamp_of(raw.stx_mtime);
  stat.ctime = timestamp_of(raw.stx_ctime);
  stat.atime = timestamp_of(raw.stx_atime);
  stat.inode = raw.stx_ino;
  stat.device = std::uint64_t{raw.stx_dev_major} << 32 | raw.stx_dev_minor;
  stat.mount_id = (raw.stx_mask & STATX_MNT_ID) != 0 ? raw.stx_mnt_id : 0;
  stat.nlink = raw.stx_nlink;
  stat.rdev = std::uint64_t{raw.stx_rdev_major} << 32 | raw.stx_rdev_minor;
  return stat;
}

Result<> list_names(int dir_fd, const std::function<Result<>(std::span<const ListedName>)>& visit) {
  // Kept from call to call, and taken out while in use, because `visit` may list another directory.
  struct Buffers {
    std::unique_ptr<std::byte[]> raw;
    std::vector<ListedName> names;
  };
  thread_local Buffers kept;
  Buffers buffers = std::move(kept);
  if (!buffers.raw) {
    buffers.raw = std::make_unique<std::byte[]>(kListBufferBytes);
  }
  if (::lseek(dir_fd, 0, SEEK_SET) < 0) {
    return fail_errno(errno, "list", "directory");
  }
  Result<> outcome;
  for (;;) {
    const long length = syscall(SYS_getdents64, dir_fd, buffers.raw.get(), kListBufferBytes);
    if (length < 0 && errno == EINTR) {
      continue;
    }
    if (length < 0) {
      outcome = fail_errno(errno, "list", "directory");
      break;
    }
    if (length == 0) {
      break;
    }
    buffers.names.clear();
    for (long at = 0; at < length;) {
      const auto* entry = reinterpret_cast<const KernelDirent*>(buffers.raw.get() + at);
      const char* name = reinterpret_cast<const char*>(entry) + kDirentNameOffset;
      const std::string_view view(name);
      if (view != "." && view != "..") {
        buffers.names.push_back({view, type_of_dirent(entry->type)});
      }
      at += entry->length;
    }
    if (!buffers.names.empty()) {
      outcome = visit(buffers.names);
      if (!outcome) {
        break;
      }
    }
  }
  kept = std::move(buffers);
  return outcome;
}

Result<std::string> read_link_below(int dir_fd, const std::string& name) {
  if (!is_plain_name(name)) {
    return fail(ErrorCode::Invalid, "read link " + printable(name) + ": not a plain name");
  }
  std::string target(256, '\0');
  for (;;) {
    const ssize_t length = ::readlinkat(dir_fd, name.c_str(), target.data(), target.size());
    if (length < 0) {
      // EINVAL: it is no link any more.
      return errno == EINVAL
                 ? fail(ErrorCode::Changed, "read link " + printable(name) + ": it is no link now")
                 : fail_errno(errno, "read link", printable(name));
    }
    if (static_cast<std::size_t>(length) < target.size()) {
      target.resize(static_cast<std::size_t>(length));
      return target;
    }
    target.resize(4 * target.size());
  }
}

std::string proc_path(int dir_fd, std::string_view name) {
  std::string path = "/proc/self/fd/" + std::to_string(dir_fd);
  if (!name.empty()) {
    path.append("/").append(name);
  }
  return path;
}

Result<std::vector<Xattr>> xattrs_of_fd(int fd) {
  return read_xattrs(
      {[fd](char* list, std::size_t size) { return ::flistxattr(fd, list, size); },
       [fd](const char* name, void* value, std::size_t size) { return ::fgetxattr(fd, name, value, size); }});
}

Result<std::vector<Xattr>> xattrs_of_path(const std::string& path) {
  return read_xattrs({[&](char* list, std::size_t size) { return ::listxattr(path.c_str(), list, size); },
                      [&](const char* name, void* value, std::size_t size) {
                        return ::getxattr(path.c_str(), name, value, size);
                      }});
}

Result<std::vector<Xattr>> xattrs_below(int dir_fd, const std::string& name) {
  if (!is_plain_name(name)) {
    return fail(ErrorCode::Invalid, "attributes of " + printable(name) + ": not a plain name");
  }
  const std::string path = proc_path(dir_fd, name);
  return in(printable(name),
            read_xattrs({[&](char* list, std::size_t size) { return ::llistxattr(path.c_str(), list, size); },
                         [&](const char* key, void* value, std::size_t size) {
                           return ::lgetxattr(path.c_str(), key, value, size);
                         }}));
}

bool is_kept_xattr(std::string_view name) {
  return name.starts_with("user.") || name.starts_with("security.") || name.starts_with("trusted.") ||
         name.starts_with("btrfs.") || name == "system.posix_acl_access" ||
         name == "system.posix_acl_default";
}

Attributes attributes_of_fd(int fd) {
  Attributes attributes;
  int flags = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
    attributes.inode_flags = static_cast<std::uint32_t>(flags);
  }
  struct fsxattr extended = {};
  if (::ioctl(fd, FS_IOC_FSGETXATTR, &extended) == 0) {
    attributes.project_id = extended.fsx_projid;
  }
  return attributes;
}

Result<Attributes> attributes_below(int dir_fd, const std::string& name, FileType type) {
  if (name.empty()) {
    return attributes_of_fd(dir_fd);
  }
  if (type != FileType::Regular && type != FileType::Directory) {
    return Attributes{};  // opening a device or fifo to ask it for flags could do something
  }
  auto fd = open_below(dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOATIME);
  if (!fd && fd.error().code == ErrorCode::Denied) {
    return Attributes{};
  }
  if (!fd) {
    return Failure(std::move(fd).error());
  }
  return attributes_of_fd(fd->get());
}

Result<std::optional<Extent>> next_data_of_fd(int fd, std::uint64_t offset) {
  if (offset > static_cast<std::uint64_t>(INT64_MAX)) {
    return std::nullopt;
  }
  const off_t data = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (data >= 0) {
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole > data) {
      return Extent{static_cast<std::uint64_t>(data), static_cast<std::uint64_t>(hole - data)};
    }
    if (hole >= 0 || errno == ENXIO) {
      return std::nullopt;  // the file was cut between the two calls
    }
    return fail_errno(errno, "seek hole in", "file");
  }
  if (errno == ENXIO) {
    return std::nullopt;
  }
  if (errno != EINVAL && errno != ENOTSUP) {
    return fail_errno(errno, "seek data in", "file");
  }
  FIRN_LET(const Stat stat, stat_below(fd, ""));
  if (offset >= stat.size_bytes) {
    return std::nullopt;
  }
  return Extent{offset, stat.size_bytes - offset};
}

}  // namespace firn::scan
