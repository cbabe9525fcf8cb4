#include "repo/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace firn::base {

void FileDescriptor::reset() {
  if (fd_ >= 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

Result<FileDescriptor> open_at(int directory, const std::string& path, int flags, mode_t mode) {
  while (true) {
    const int fd = ::openat(directory, path.c_str(), flags | O_CLOEXEC, mode);
    if (fd >= 0) {
      return FileDescriptor(fd);
    }
    if (errno != EINTR) {
      return fail_errno(errno, "open", path);
    }
  }
}

Result<> write_all(int fd, ByteView bytes, std::string_view name) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno != EINTR) {
      return fail_errno(errno, "write", name);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  }
  return {};
}

Result<> write_all_at(int fd, std::uint64_t offset, ByteView bytes, std::string_view name) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno != EINTR) {
      return fail_errno(errno, "write", name);
    }
    const auto written = static_cast<std::size_t>(std::max<ssize_t>(count, 0));
    bytes = bytes.subspan(written);
    offset += written;
  }
  return {};
}

Result<> read_exactly_at(int fd, std::uint64_t offset, MutableBytes out, std::string_view name) {
  while (!out.empty()) {
    const ssize_t count = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (count == 0) {
      return fail(ErrorCode::Corrupt, "read " + std::string(name) + ": it ends too early");
    }
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      return fail_errno(errno, "read", name);
    }
    out = out.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

Result<Bytes> read_file(const std::string& path, std::size_t size_bytes_max) {
  FIRN_LET(const FileDescriptor file, open_at(AT_FDCWD, path, O_RDONLY | O_NOCTTY));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    return fail_errno(errno, "stat", path);
  }
  if (S_ISDIR(status.st_mode)) {
    return fail_errno(EISDIR, "read", path);
  }
  // One byte more than is told shows the end with the first read; files in /proc tell nothing.
  constexpr std::size_t kStepBytes = 64 << 10;
  const auto told = static_cast<std::size_t>(std::max<off_t>(status.st_size, 0));
  Bytes bytes(std::min(std::max(told, std::size_t{4095}), size_bytes_max) + 1);
  std::size_t used = 0;
  while (true) {
    if (used == bytes.size()) {
      if (used > size_bytes_max) {
        return fail(ErrorCode::Corrupt,
                    "read " + path + ": larger than " + std::to_string(size_bytes_max) + " bytes");
      }
      bytes.resize(std::min(used + std::max(used, kStepBytes), size_bytes_max + 1));
    }
    const ssize_t count = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (count < 0 && errno != EINTR) {
      return fail_errno(errno, "read", path);
    }
    if (count == 0) {
      bytes.resize(used);
      return bytes;
    }
    used += static_cast<std::size_t>(std::max<ssize_t>(count, 0));
  }
}

namespace {

/// Removes a temporary file unless it was renamed away.
class TemporaryName {
 public:
  explicit TemporaryName(std::string path) : path_(std::move(path)) {}
  TemporaryName(const TemporaryName&) = delete;
  TemporaryName& operator=(const TemporaryName&) = delete;
  ~TemporaryName() {
    if (!path_.empty()) {
      ::unlink(path_.c_str());
    }
  }
  void release() { path_.clear(); }

 private:
  std::string path_;
};

}  // namespace

Result<> replace_file(const std::string& path, ByteView bytes, mode_t mode) {
  std::string temporary = path + ".XXXXXX";
  const FileDescriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!file.valid()) {
    return fail_errno(errno, "create", path);
  }
  TemporaryName name(temporary);
  FIRN_TRY(write_all(file.get(), bytes, path));
  if (::fchmod(file.get(), mode) != 0) {
    return fail_errno(errno, "chmod", temporary);
  }
  if (::fsync(file.get()) != 0) {
    return fail_errno(errno, "fsync", temporary);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    return fail_errno(errno, "rename", path);
  }
  name.release();
  return sync_directory(parent_path(path));
}

Result<> sync_directory(const std::string& path) {
  FIRN_LET(const FileDescriptor directory, open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
  // Some file systems have nothing to sync for a directory and say EINVAL.
  if (::fsync(directory.get()) != 0 && errno != EINVAL) {
    return fail_errno(errno, "fsync", path);
  }
  return {};
}

Result<> make_directories(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) {
    return sync_directory(parent_path(path));
  }
  if (errno == EEXIST) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
      return fail_errno(errno, "stat", path);
    }
    return S_ISDIR(status.st_mode) ? Result<>{} : Result<>(fail_errno(ENOTDIR, "mkdir", path));
  }
  const std::string parent = parent_path(path);
  if (errno != ENOENT || parent == path) {
    return fail_errno(errno, "mkdir", path);
  }
  FIRN_TRY(make_directories(parent, mode));
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return fail_errno(errno, "mkdir", path);
  }
  return sync_directory(parent);
}

std::string parent_path(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) {
    path.remove_suffix(1);
  }
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) {
    return ".";
  }
  path = path.substr(0, slash);
  while (path.size() > 1 && path.ends_with('/')) {
    path.remove_suffix(1);
  }
  return path.empty() ? "/" : std::string(path);
}

}  // namespace firn::base
