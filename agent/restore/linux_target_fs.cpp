#include "agent/restore/linux_target_fs.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "agent/scan/linux_calls.h"
#include "repo/base/check.h"
#include "repo/base/files.h"

namespace firn::restore {

namespace {

using base::FileDescriptor;
using format::FileType;
using scan::printable;

// What SETFLAGS can give back. The rest describes how the file system stores the file (extents, index), or
// cannot be set from outside (encrypted, verity).
constexpr std::uint32_t kSettableFlags =
    FS_SECRM_FL | FS_UNRM_FL | FS_COMPR_FL | FS_SYNC_FL | FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL |
    FS_NOATIME_FL | FS_NOCOMP_FL | FS_JOURNAL_DATA_FL | FS_NOTAIL_FL | FS_DIRSYNC_FL | FS_TOPDIR_FL |
    FS_NOCOW_FL | FS_DAX_FL | FS_PROJINHERIT_FL | FS_CASEFOLD_FL;
constexpr std::uint32_t kLockingFlags = FS_IMMUTABLE_FL | FS_APPEND_FL;
constexpr std::uint32_t kEmptyFileFlags = FS_NOCOW_FL | FS_COMPR_FL | FS_NOCOMP_FL;
constexpr std::uint32_t kLostFlags = FS_ENCRYPT_FL | FS_VERITY_FL;

constexpr std::string_view kCapability = "security.capability";

std::string error_text(int errno_value) {
  std::array<char, 128> buffer{};
  return strerror_r(errno_value, buffer.data(), buffer.size());
}

void note(Shortfalls& report, std::string_view what, int errno_value) {
  report.push_back({code_of_errno(errno_value), std::string(what) + ": " + error_text(errno_value)});
}

void note_limit(Shortfalls& report, std::string text) {
  report.push_back({ErrorCode::Unsupported, std::move(text)});
}

struct timespec timespec_of(const format::Timestamp& time) {
  struct timespec out = {};
  out.tv_sec = time.seconds;
  out.tv_nsec = static_cast<long>(time.nanoseconds);
  return out;
}

bool read_flags(int fd, std::uint32_t& flags) {
  int raw = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &raw) != 0) {
    return false;
  }
  flags = static_cast<std::uint32_t>(raw);
  return true;
}

int write_flags(int fd, std::uint32_t flags) {
  int raw = static_cast<int>(flags);
  return ::ioctl(fd, FS_IOC_SETFLAGS, &raw) == 0 ? 0 : errno;
}

// Takes immutable and append-only off. True when something was taken off.
bool unlock(int fd) {
  std::uint32_t flags = 0;
  return read_flags(fd, flags) && (flags & kLockingFlags) != 0 &&
         write_flags(fd, flags & ~kLockingFlags) == 0;
}

// The calls that set metadata, on a descriptor that is open for reading (files, directories) or on an O_PATH
// one (links and special files, which must not be opened). The latter go through /proc/self/fd, whose magic
// link leads to the very inode and is not followed further when that is a symbolic link.
class Inode {
 public:
  Inode(int fd, bool path_only) : fd_(fd), proc_(path_only ? scan::proc_path(fd, {}) : std::string()) {}

  int chown(std::uint32_t uid, std::uint32_t gid) const {
    return done(proc_.empty() ? ::fchown(fd_, uid, gid) : ::fchownat(fd_, "", uid, gid, AT_EMPTY_PATH));
  }
  int chmod(mode_t mode) const {
    return done(proc_.empty() ? ::fchmod(fd_, mode) : ::chmod(proc_.c_str(), mode));
  }
  int set_times(const struct timespec times[2]) const {
    return done(proc_.empty() ? ::futimens(fd_, times) : ::utimensat(AT_FDCWD, proc_.c_str(), times, 0));
  }
  int set_xattr(const scan::Xattr& xattr) const {
    const char* name = xattr.name.c_str();
    return done(proc_.empty() ? ::fsetxattr(fd_, name, xattr.value.data(), xattr.value.size(), 0)
                              : ::setxattr(proc_.c_str(), name, xattr.value.data(), xattr.value.size(), 0));
  }
  int remove_xattr(const std::string& name) const {
    return done(proc_.empty() ? ::fremovexattr(fd_, name.c_str())
                              : ::removexattr(proc_.c_str(), name.c_str()));
  }
  Result<std::vector<scan::Xattr>> xattrs() const {
    return proc_.empty() ? scan::xattrs_of_fd(fd_) : scan::xattrs_of_path(proc_);
  }
  Result<scan::Stat> stat() const { return scan::stat_below(fd_, ""); }
  int fd() const { return fd_; }

 private:
  static int done(int result) { return result == 0 ? 0 : errno; }
  int fd_;
  std::string proc_;
};

void set_owner_and_mode(const Inode& inode, const Metadata& metadata, Shortfalls& report) {
  mode_t mode = metadata.mode & 07777;
  if (const int error = inode.chown(metadata.uid, metadata.gid); error != 0) {
    note(report, "owner " + std::to_string(metadata.uid) + ":" + std::to_string(metadata.gid), error);
    if ((mode & (S_ISUID | S_ISGID)) != 0) {
      // It would lend the rights of whoever runs this restore.
      note_limit(report, "set-user-id and set-group-id: left out, because the owner could not be set");
      mode &= ~static_cast<mode_t>(S_ISUID | S_ISGID);
    }
  }
  if (metadata.type == FileType::Symlink) {
    return;  // Linux gives links no mode
  }
  if (const int error = inode.chmod(mode); error != 0) {
    note(report, "mode", error);
  }
}

// Security modules label what they find; taking their labels away is neither ours nor possible.
bool is_ours_to_remove(std::string_view name) {
  return !name.starts_with("security.") || name == kCapability;
}

void set_xattrs(const Inode& inode, const Metadata& metadata, Shortfalls& report) {
  const auto present = inode.xattrs();
  if (!present && !metadata.xattrs.empty()) {
    report.push_back(Error(present.error()).in("attributes"));
  }
  const auto find = [](const auto& list, const std::string& name) {
    return std::find_if(list.begin(), list.end(), [&](const scan::Xattr& x) { return x.name == name; });
  };
  if (present) {
    for (const scan::Xattr& xattr : *present) {
      if (find(metadata.xattrs, xattr.name) == metadata.xattrs.end() && is_ours_to_remove(xattr.name)) {
        if (const int error = inode.remove_xattr(xattr.name); error != 0 && error != ENODATA) {
          note(report, "attribute " + printable(xattr.name) + " that should go", error);
        }
      }
    }
  }
  const auto set = [&](const scan::Xattr& xattr) {
    if (present) {
      const auto same = find(*present, xattr.name);
      if (same != present->end() && same->value == xattr.value) {
        return;
      }
    }
    if (!scan::is_kept_xattr(xattr.name)) {
      note_limit(report, "attribute " + printable(xattr.name) + ": not of a kind that is restored");
    } else if (const int error = inode.set_xattr(xattr); error != 0) {
      note(report, "attribute " + printable(xattr.name), error);
    }
  };
  for (const scan::Xattr& xattr : metadata.xattrs) {
    if (xattr.name != kCapability) {
      set(xattr);
    }
  }
  // Setting an ACL may change the mode, which clears capabilities.
  if (const auto capability = find(metadata.xattrs, std::string(kCapability));
      capability != metadata.xattrs.end()) {
    set(*capability);
  }
}

void set_times(const Inode& inode, const Metadata& metadata, Shortfalls& report) {
  struct timespec times[2] = {};
  times[0].tv_nsec = UTIME_OMIT;
  if (metadata.atime) {
    times[0] = timespec_of(*metadata.atime);
  }
  times[1] = timespec_of(metadata.mtime);
  if (const int error = inode.set_times(times); error != 0) {
    note(report, "times", error);
    return;
  }
  // File systems clamp times that they cannot hold, and say nothing.
  const auto now = inode.stat();
  if (now && now->mtime != metadata.mtime) {
    note_limit(report, "mtime: the file system keeps " + std::to_string(now->mtime.seconds) + "." +
                           std::to_string(now->mtime.nanoseconds) + " instead of " +
                           std::to_string(metadata.mtime.seconds) + "." +
                           std::to_string(metadata.mtime.nanoseconds));
  }
}

void set_project(int fd, std::uint32_t project_id, Shortfalls& report) {
  struct fsxattr extended = {};
  if (::ioctl(fd, FS_IOC_FSGETXATTR, &extended) != 0) {
    if (project_id != 0) {
      note(report, "project id " + std::to_string(project_id), errno);
    }
    return;
  }
  if (extended.fsx_projid == project_id) {
    return;
  }
  extended.fsx_projid = project_id;
  if (::ioctl(fd, FS_IOC_FSSETXATTR, &extended) != 0) {
    note(report, "project id " + std::to_string(project_id), errno);
  }
}

std::string hex_flags(std::uint32_t flags) {
  std::string text = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) {
    text.push_back("0123456789abcdef"[flags >> shift & 15]);
  }
  return text;
}

void set_flags(int fd, std::uint32_t inode_flags, Shortfalls& report) {
  if ((inode_flags & kLostFlags) != 0) {
    note_limit(report, "inode flags " + hex_flags(inode_flags & kLostFlags) +
                           ": encryption and verity cannot be restored");
  }
  const std::uint32_t wanted = inode_flags & kSettableFlags;
  std::uint32_t flags = 0;
  if (!read_flags(fd, flags)) {
    if (wanted != 0) {
      note(report, "inode flags " + hex_flags(wanted), errno);
    }
    return;
  }
  if ((flags & kSettableFlags) == wanted) {
    return;
  }
  // Immutable and append-only last, when nothing else is left to change. A file system refuses all of a set
  // for one flag that it does not know, so what it refuses together is tried one by one.
  const std::uint32_t others = (flags & ~kSettableFlags) | (wanted & ~kLockingFlags);
  if (write_flags(fd, others) != 0) {
    for (std::uint32_t bit = 1; bit != 0; bit <<= 1) {
      if ((wanted & ~kLockingFlags & ~flags & bit) != 0 && write_flags(fd, flags | bit) == 0) {
        flags |= bit;
      }
    }
  }
  if ((wanted & kLockingFlags) != 0 && read_flags(fd, flags)) {
    (void)write_flags(fd, flags | (wanted & kLockingFlags));
  }
  if (read_flags(fd, flags) && (flags & kSettableFlags) != wanted) {
    note_limit(report, "inode flags " + hex_flags(wanted) + ": the file system keeps " +
                           hex_flags(flags & kSettableFlags));
  }
}

Shortfalls apply(const Inode& inode, const Metadata& metadata) {
  Shortfalls report;
  set_owner_and_mode(inode, metadata, report);
  set_xattrs(inode, metadata, report);
  set_times(inode, metadata, report);
  if (metadata.type == FileType::Regular || metadata.type == FileType::Directory) {
    set_project(inode.fd(), metadata.project_id, report);
    set_flags(inode.fd(), metadata.inode_flags, report);
  }
  return report;
}

Result<> check_name(const std::string& name) {
  if (!scan::is_plain_name(name)) {
    return fail(ErrorCode::Invalid, printable(name) + ": not a name that can stand in a directory");
  }
  return {};
}

Failure not_what_it_should_be(const std::string& name, std::string_view what) {
  return fail(ErrorCode::Exists, printable(name) + ": " + std::string(what));
}

// Opens `name` without side effects and without following it, to look what it is.
Result<FileDescriptor> open_path(int dir_fd, const std::string& name) {
  return scan::open_below(dir_fd, name, O_PATH);
}

// Opens the very inode of an O_PATH descriptor.
FileDescriptor reopen(const FileDescriptor& path_fd, int flags) {
  return FileDescriptor(::open(scan::proc_path(path_fd.get(), {}).c_str(), flags | O_CLOEXEC));
}

class LinuxTargetFile final : public TargetFile {
 public:
  explicit LinuxTargetFile(FileDescriptor fd) : fd_(std::move(fd)) {}

  void prepare(std::uint32_t inode_flags) override {
    std::uint32_t flags = 0;
    if ((inode_flags & kEmptyFileFlags) != 0 && read_flags(fd_.get(), flags)) {
      (void)write_flags(fd_.get(), flags | (inode_flags & kEmptyFileFlags));
    }
  }

  Result<> allocate(std::uint64_t size_bytes, bool sparse) override {
    if (size_bytes > static_cast<std::uint64_t>(INT64_MAX)) {
      return fail(ErrorCode::Invalid, "allocate: no file is that large");
    }
    const auto size = static_cast<off_t>(size_bytes);
    if (::ftruncate(fd_.get(), size) != 0) {
      return errno == EFBIG ? fail(ErrorCode::Exhausted, "allocate: the file system holds no file that large")
                            : fail_errno(errno, "set size to", std::to_string(size_bytes));
    }
    if (sparse || size == 0) {
      return {};
    }
    int result = 0;
    do {
      result = ::fallocate(fd_.get(), 0, 0, size);
    } while (result != 0 && errno == EINTR);
    if (result != 0 && (errno == ENOSPC || errno == EDQUOT)) {
      return fail_errno(errno, "reserve bytes:", std::to_string(size_bytes));
    }
    return {};
  }

  Result<> write_at(std::uint64_t offset, ByteView bytes) override {
    return base::write_all_at(fd_.get(), offset, bytes, "file");
  }

  Result<std::size_t> read_at(std::uint64_t offset, MutableBytes out) override {
    for (;;) {
      const ssize_t length = ::pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
      if (length >= 0) {
        return static_cast<std::size_t>(length);
      }
      if (errno != EINTR) {
        return fail_errno(errno, "read at byte", std::to_string(offset));
      }
    }
  }

  Result<std::optional<scan::Extent>> next_data(std::uint64_t offset) override {
    return scan::next_data_of_fd(fd_.get(), offset);
  }

  Result<> punch(std::uint64_t offset, std::uint64_t length) override {
    FIRN_LET(const scan::Stat now, stat());
    if (offset >= now.size_bytes) {
      return {};
    }
    length = std::min(length, now.size_bytes - offset);
    if (length == 0) {
      return {};
    }
    if (::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                    static_cast<off_t>(length)) == 0) {
      return {};
    }
    const Bytes zeros(std::min<std::uint64_t>(length, 256u << 10));
    while (length > 0) {
      const std::uint64_t step = std::min<std::uint64_t>(length, zeros.size());
      FIRN_TRY(write_at(offset, ByteView(zeros).first(step)));
      offset += step;
      length -= step;
    }
    return {};
  }

  Result<Shortfalls> finish(const Metadata& metadata) override {
    return apply(Inode(fd_.get(), false), metadata);
  }
  Result<scan::Stat> stat() override { return scan::stat_below(fd_.get(), ""); }

 private:
  FileDescriptor fd_;
};

// Empties and removes a directory with two descriptors and no list, however deep or wide it is: what cannot
// be removed at once, a directory that is not empty, is renamed to stand right below the top, where its turn
// comes later. So depth never grows, and nothing needs to be found again by a path.
class TreeRemoval {
 public:
  /// `top` is the open directory that is to be emptied.
  explicit TreeRemoval(int top) : top_(top) {}

  Result<> run() {
    FIRN_TRY(empty(top_));
    for (std::uint64_t next = 0; next < moved_; ++next) {
      const std::string name = moved_name(next);
      auto dir = open_dir(name);
      if (!dir && dir.error().code == ErrorCode::NotFound) {
        continue;
      }
      if (!dir) {
        return Failure(std::move(dir).error());
      }
      FIRN_TRY(empty(dir->get()));
      if (::unlinkat(top_, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
        return fail_errno(errno, "remove", name);
      }
    }
    return {};
  }

  /// Opens a directory to be emptied: not another file system, and made writable for its owner.
  static Result<FileDescriptor> open_for_removal(int parent, const std::string& name) {
    struct open_how how = {};
    how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
    auto fd = static_cast<int>(syscall(SYS_openat2, parent, name.c_str(), &how, sizeof how));
    if (fd < 0 && errno == EACCES) {
      FIRN_LET(const FileDescriptor path, open_path(parent, name));
      (void)::chmod(scan::proc_path(path.get(), {}).c_str(), 0700);
      fd = static_cast<int>(syscall(SYS_openat2, parent, name.c_str(), &how, sizeof how));
    }
    if (fd < 0 && errno == ENOSYS) {
      return scan::open_below(parent, name, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    }
    if (fd < 0) {
      return errno == EXDEV ? fail(ErrorCode::Unavailable, "remove " + printable(name) + ": a mount point")
                            : fail_errno(errno, "open", printable(name));
    }
    return FileDescriptor(fd);
  }

 private:
  static constexpr std::string_view kMovedPrefix = ".firn-removing-";

  static std::string moved_name(std::uint64_t number) {
    return std::string(kMovedPrefix) + std::to_string(number);
  }

  Result<FileDescriptor> open_dir(const std::string& name) { return open_for_removal(top_, name); }

  // After this `dir` holds nothing, or (the top) only what was moved there.
  Result<> empty(int dir) {
    for (;;) {
      bool any = false;
      const auto listed = scan::list_names(dir, [&](std::span<const scan::ListedName> batch) -> Result<> {
        for (const scan::ListedName& entry : batch) {
          if (dir == top_ && is_moved(entry.name)) {
            continue;
          }
          FIRN_TRY(take_away(dir, std::string(entry.name)));
          any = true;
        }
        return {};
      });
      FIRN_TRY(listed);
      // Listing while removing may skip names: look again until there is nothing to be seen.
      if (!any) {
        return {};
      }
    }
  }

  bool is_moved(std::string_view name) const {
    if (!name.starts_with(kMovedPrefix)) {
      return false;
    }
    const std::string digits(name.substr(kMovedPrefix.size()));
    const std::uint64_t number = std::strtoull(digits.c_str(), nullptr, 10);
    return number < moved_ && moved_name(number) == name;
  }

  // An error of the last call, with the immutable flags of the directory or of the entry taken off where they
  // were the reason.
  template <class Call>
  int try_unlocked(int dir, const std::string& name, Call call) {
    int error = call();
    if (error != EPERM && error != EACCES) {
      return error;
    }
    bool again = unlock(dir);
    if (error == EACCES) {
      again = ::fchmod(dir, 0700) == 0 || again;
    }
    if (auto path = open_path(dir, name)) {
      const auto stat = scan::stat_below(path->get(), "");
      if (stat && (stat->type == FileType::Regular || stat->type == FileType::Directory)) {
        if (stat->type == FileType::Directory) {
          (void)::chmod(scan::proc_path(path->get(), {}).c_str(), 0700);
        }
        const FileDescriptor fd = reopen(*path, O_RDONLY | O_NONBLOCK);
        again = (fd.valid() && unlock(fd.get())) || again;
      }
    }
    return again ? call() : error;
  }

  Result<> take_away(int dir, const std::string& name) {
    int error = try_unlocked(dir, name, [&] { return ::unlinkat(dir, name.c_str(), 0) == 0 ? 0 : errno; });
    if (error == EISDIR) {
      error = try_unlocked(dir, name,
                           [&] { return ::unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0 ? 0 : errno; });
    }
    while (error == ENOTEMPTY || error == EEXIST) {
      const std::string target = moved_name(moved_++);
      error = try_unlocked(dir, name, [&] {
        const long moved = syscall(SYS_renameat2, dir, name.c_str(), top_, target.c_str(), RENAME_NOREPLACE);
        return moved == 0 ? 0 : errno;
      });
    }
    if (error != 0 && error != ENOENT) {
      return fail_errno(error, "remove", printable(name));
    }
    return {};
  }

  int top_;
  std::uint64_t moved_ = 0;
};

class LinuxTargetDir final : public TargetDir {
 public:
  explicit LinuxTargetDir(FileDescriptor fd) : fd_(std::move(fd)) {}

  Result<scan::Stat> stat(const std::string& name) override {
    FIRN_TRY(check_name(name));
    return scan::stat_below(fd_.get(), name);
  }

  Result<std::unique_ptr<TargetDir>> make_dir(const std::string& name) override {
    FIRN_TRY(check_name(name));
    const bool made = ::mkdirat(fd_.get(), name.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) {
      return fail_errno(errno, "make directory", printable(name));
    }
    FIRN_LET(FileDescriptor fd, open_existing_dir(name));
    if (!made) {
      (void)unlock(fd.get());
    }
    return std::make_unique<LinuxTargetDir>(std::move(fd));
  }

  Result<std::unique_ptr<TargetDir>> open_dir(const std::string& name) override {
    FIRN_LET(FileDescriptor fd, open_existing_dir(name));
    return std::make_unique<LinuxTargetDir>(std::move(fd));
  }

  Result<std::unique_ptr<TargetFile>> open_file(const std::string& name, Access access) override {
    FIRN_TRY(check_name(name));
    if (access == Access::WriteOrMake) {
      auto made = scan::open_below(fd_.get(), name, O_RDWR | O_CREAT | O_EXCL, 0600);
      if (made) {
        return std::make_unique<LinuxTargetFile>(std::move(*made));
      }
      if (made.error().code != ErrorCode::Exists) {
        return Failure(std::move(made).error());
      }
    }
    FIRN_LET(FileDescriptor fd, open_existing_file(name, access));
    return std::make_unique<LinuxTargetFile>(std::move(fd));
  }

  Result<Shortfalls> make_special(const std::string& name, const Metadata& metadata,
                                  const std::string& link_target, std::uint64_t rdev) override {
    FIRN_TRY(check_name(name));
    FIRN_TRY(make_node(name, metadata.type, link_target, rdev));
    return finish_special(name, metadata);
  }

  Result<Shortfalls> finish_special(const std::string& name, const Metadata& metadata) override {
    FIRN_LET(const FileDescriptor fd, open_path(fd_.get(), name));
    const Inode inode(fd.get(), true);
    FIRN_LET(const scan::Stat now, inode.stat());
    if (now.type != metadata.type || now.type == FileType::Regular || now.type == FileType::Directory) {
      return not_what_it_should_be(name, "it has another type");
    }
    return apply(inode, metadata);
  }

  Result<> link(const std::string& name, TargetDir& existing_dir, const std::string& existing_name) override {
    FIRN_TRY(check_name(name));
    FIRN_TRY(check_name(existing_name));
    auto* existing = dynamic_cast<LinuxTargetDir*>(&existing_dir);
    FIRN_CHECK(existing != nullptr);
    if (::linkat(existing->fd_.get(), existing_name.c_str(), fd_.get(), name.c_str(), 0) != 0) {
      return fail_errno(errno, "link", printable(name));
    }
    return {};
  }

  Result<> remove(const std::string& name) override {
    FIRN_TRY(check_name(name));
    bool removed = remove_one(name, 0);
    if (!removed && errno == EPERM) {
      const bool unlocked = unlock(fd_.get()) || unlock_entry(name);
      errno = EPERM;
      removed = unlocked && remove_one(name, 0);
    }
    if (removed) {
      return {};
    }
    return errno == EISDIR ? remove_dir(name) : fail_errno(errno, "remove", printable(name));
  }

  Result<> list(const std::function<Result<>(std::span<const scan::ListedName>)>& visit) override {
    return scan::list_names(fd_.get(), visit);
  }
  Result<std::string> read_link(const std::string& name) override {
    return scan::read_link_below(fd_.get(), name);
  }
  Result<std::vector<scan::Xattr>> xattrs(const std::string& name, FileType) override {
    return name.empty() ? scan::xattrs_of_fd(fd_.get()) : scan::xattrs_below(fd_.get(), name);
  }
  Result<scan::Attributes> attributes(const std::string& name, FileType type) override {
    return scan::attributes_below(fd_.get(), name, type);
  }
  Result<Shortfalls> finish(const Metadata& metadata) override {
    return apply(Inode(fd_.get(), false), metadata);
  }
  Result<scan::Stat> stat_self() override { return scan::stat_below(fd_.get(), ""); }
  Result<> sync() override {
    if (::syncfs(fd_.get()) != 0) {
      return fail_errno(errno, "sync", "the file system of the target");
    }
    return {};
  }

 private:
  Result<FileDescriptor> open_existing_dir(const std::string& name) {
    auto fd = scan::open_below(fd_.get(), name, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    if (!fd && (fd.error().code == ErrorCode::NotFound || fd.error().code == ErrorCode::Changed) &&
        scan::stat_below(fd_.get(), name)) {
      return not_what_it_should_be(name, "it is no directory");
    }
    return fd;
  }

  // Looks before it opens: opening a device or a fifo could do something.
  Result<FileDescriptor> open_existing_file(const std::string& name, Access access) {
    FIRN_LET(const FileDescriptor path, open_path(fd_.get(), name));
    FIRN_LET(const scan::Stat now, scan::stat_below(path.get(), ""));
    if (now.type != FileType::Regular) {
      return not_what_it_should_be(name, "it is no regular file");
    }
    if (access != Access::Read && now.nlink > 1) {
      return not_what_it_should_be(name, "it has other names, which writing in place would change too");
    }
    const int flags = access == Access::Read ? O_RDONLY | O_NOATIME : O_RDWR;
    FileDescriptor fd = reopen(path, flags);
    if (!fd.valid() && access == Access::Read && errno == EPERM) {
      fd = reopen(path, O_RDONLY);
    }
    if (!fd.valid() && errno == EPERM && access != Access::Read) {
      const FileDescriptor readable = reopen(path, O_RDONLY);
      if (readable.valid() && unlock(readable.get())) {
        fd = reopen(path, flags);
      }
    }
    if (!fd.valid() && errno == EACCES && ::chmod(scan::proc_path(path.get(), {}).c_str(), 0600) == 0) {
      fd = reopen(path, flags);
    }
    if (!fd.valid()) {
      return fail_errno(errno, "open", printable(name));
    }
    return fd;
  }

  Result<> make_node(const std::string& name, FileType type, const std::string& link_target,
                     std::uint64_t rdev) {
    if (type == FileType::Symlink) {
      if (link_target.find('\0') != std::string::npos) {
        return fail(ErrorCode::Invalid, printable(name) + ": a link target cannot hold a zero byte");
      }
      return ::symlinkat(link_target.c_str(), fd_.get(), name.c_str()) == 0
                 ? Result<>{}
                 : fail_errno(errno, "make link", printable(name));
    }
    mode_t kind = 0;
    switch (type) {
      case FileType::Fifo:
        kind = S_IFIFO;
        break;
      case FileType::Socket:
        kind = S_IFSOCK;
        break;
      case FileType::Block:
        kind = S_IFBLK;
        break;
      case FileType::Character:
        kind = S_IFCHR;
        break;
      default:
        return fail(ErrorCode::Invalid, printable(name) + ": not a link or special file");
    }
    const bool device = kind == S_IFBLK || kind == S_IFCHR;
    const dev_t number = device ? makedev(static_cast<unsigned>(rdev >> 32), static_cast<unsigned>(rdev)) : 0;
    return ::mknodat(fd_.get(), name.c_str(), kind | 0600, number) == 0
               ? Result<>{}
               : fail_errno(errno, "make special file", printable(name));
  }

  bool remove_one(const std::string& name, int flags) {
    return ::unlinkat(fd_.get(), name.c_str(), flags) == 0;
  }

  bool unlock_entry(const std::string& name) {
    auto path = open_path(fd_.get(), name);
    const auto now = path ? scan::stat_below(path->get(), "") : scan::stat_below(fd_.get(), name);
    if (!path || !now || (now->type != FileType::Regular && now->type != FileType::Directory)) {
      return false;
    }
    const FileDescriptor fd = reopen(*path, O_RDONLY | O_NONBLOCK);
    return fd.valid() && unlock(fd.get());
  }

  Result<> remove_dir(const std::string& name) {
    {
      FIRN_LET(const FileDescriptor dir, TreeRemoval::open_for_removal(fd_.get(), name));
      (void)unlock(dir.get());
      FIRN_TRY(in(printable(name), TreeRemoval(dir.get()).run()));
    }
    if (!remove_one(name, AT_REMOVEDIR)) {
      return fail_errno(errno, "remove", printable(name));
    }
    return {};
  }

  FileDescriptor fd_;
};

}  // namespace

Result<std::unique_ptr<TargetDir>> LinuxTargetFs::open_root(const std::string& path) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    return fail(ErrorCode::Invalid, "target " + printable(path) + ": not a path");
  }
  // Directories on the way need only be passable, not readable.
  constexpr int kFlags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  FileDescriptor at(::open(path.front() == '/' ? "/" : ".", kFlags));
  std::string_view rest = path;
  while (at.valid() && !rest.empty()) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const std::string component(rest.substr(0, slash));
    rest.remove_prefix(std::min(rest.size(), slash + 1));
    if (component.empty()) {
      continue;
    }
    FileDescriptor next(::openat(at.get(), component.c_str(), kFlags));
    if (!next.valid() && errno == ENOENT) {
      if (::mkdirat(at.get(), component.c_str(), 0777) != 0 && errno != EEXIST) {
        return fail_errno(errno, "make target directory", printable(path));
      }
      next = FileDescriptor(::openat(at.get(), component.c_str(), kFlags));
    }
    at = std::move(next);
  }
  if (at.valid()) {
    at = FileDescriptor(::openat(at.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  if (!at.valid()) {
    return fail_errno(errno, "open target directory", printable(path));
  }
  return std::make_unique<LinuxTargetDir>(std::move(at));
}

Result<std::unique_ptr<TargetDir>> LinuxTargetFs::open_existing_root(const std::string& path) {
  FileDescriptor at(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!at.valid()) {
    return fail_errno(errno, "open target directory", printable(path));
  }
  return std::make_unique<LinuxTargetDir>(std::move(at));
}

}  // namespace firn::restore
