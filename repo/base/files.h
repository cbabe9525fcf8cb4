// Files of firn's own: open, whole reads with a bound, and writes that are there whole after a power loss or
// not at all.
//
// Used by the local store, the local key-value store and the command line; the source tree and the restore
// target have seams of their own. Threads: free functions, any thread; a FileDescriptor has one owner.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>

#include "repo/base/bytes.h"
#include "repo/base/result.h"

namespace firn::base {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~FileDescriptor() { reset(); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

/// openat(2) with O_CLOEXEC; `directory` may be AT_FDCWD. An error names `path`.
Result<FileDescriptor> open_at(int directory, const std::string& path, int flags, mode_t mode = 0);

/// Writes all of `bytes` at the file's position. `name` is for the error.
Result<> write_all(int fd, ByteView bytes, std::string_view name);

/// Writes all of `bytes` at `offset`.
Result<> write_all_at(int fd, std::uint64_t offset, ByteView bytes, std::string_view name);

/// Reads exactly out.size() bytes at `offset`. Errors: Corrupt when the file ends before.
Result<> read_exactly_at(int fd, std::uint64_t offset, MutableBytes out, std::string_view name);

/// The whole file, which may grow no larger than `size_bytes_max` (also when it tells no size, as in /proc).
/// Errors: NotFound, Corrupt (larger).
Result<Bytes> read_file(const std::string& path, std::size_t size_bytes_max);

/// Puts `bytes` in the place of `path`: a temporary file beside it, fsync, rename, fsync of the directory.
/// After an error the old content or the new one is there, never a mixture.
Result<> replace_file(const std::string& path, ByteView bytes, mode_t mode = 0600);

/// fsync of the directory itself: makes the names in it durable.
Result<> sync_directory(const std::string& path);

/// Makes the directory and those above it that are missing, each durable in its parent.
Result<> make_directories(const std::string& path, mode_t mode = 0700);

/// The directory part of a path: "/a" of "/a/b", "/" of "/a", "." of "a".
std::string parent_path(std::string_view path);

}  // namespace firn::base
