// The seam to the place that a restore writes: the twin of SourceFs.
//
// Promise: nothing is written outside the root that open_root gave, whatever names a repository holds and
// whatever the target directory holds, also while somebody swaps it (openat2 with RESOLVE_BENEATH |
// RESOLVE_NO_SYMLINKS; names with '/' or NUL, "." and ".." are refused as Invalid).
// Threads: a handle may be used from several threads at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/scan/source_fs.h"

namespace firn::restore {

/// Everything of an entry but its content, as it is to be set.
struct Metadata {
  format::FileType type = format::FileType::Regular;
  std::uint16_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  format::Timestamp mtime;
  std::optional<format::Timestamp> atime;
  std::uint32_t inode_flags = 0;
  std::uint32_t project_id = 0;
  std::span<const scan::Xattr> xattrs;
};

/// A file that is being written.
class TargetFile {
 public:
  virtual ~TargetFile() = default;
  /// Sets the size and, when not `sparse`, reserves the blocks. Errors: Exhausted.
  virtual Result<> allocate(std::uint64_t size_bytes, bool sparse) = 0;
  virtual Result<> write_at(std::uint64_t offset, ByteView bytes) = 0;
  virtual Result<std::size_t> read_at(std::uint64_t offset, MutableBytes out) = 0;
  /// Makes [offset, offset+length) a hole.
  virtual Result<> punch(std::uint64_t offset, std::uint64_t length) = 0;
  /// Owner, mode, attributes, times, flags, in the order that keeps them all (chown clears suid and
  /// capabilities). What could not be set is returned as text, one line each; an empty list is a full
  /// success.
  virtual Result<std::vector<std::string>> finish(const Metadata& metadata) = 0;
  virtual Result<scan::Stat> stat() = 0;
};

class TargetDir {
 public:
  virtual ~TargetDir() = default;
  /// What is at `name`, not followed. Errors: NotFound.
  virtual Result<scan::Stat> stat(const std::string& name) = 0;
  /// Makes `name` as a directory (0700 until finish), or opens it where it is one already. Errors: Exists
  /// (something else is there).
  virtual Result<std::unique_ptr<TargetDir>> make_dir(const std::string& name) = 0;
  virtual Result<std::unique_ptr<TargetDir>> open_dir(const std::string& name) = 0;
  /// Opens a regular file for writing in place; makes it (0600) when `create`. Never through a link. Its
  /// immutable and append-only flags are taken off. Errors: Exists (something else is there), NotFound.
  virtual Result<std::unique_ptr<TargetFile>> open_file(const std::string& name, bool create) = 0;
  /// Makes a symbolic link, fifo, socket, or device node with its metadata. Returns what could not be set.
  /// Errors: Exists, Denied (a device without the right to make one), Invalid (a regular file or directory).
  virtual Result<std::vector<std::string>> make_special(const std::string& name, const Metadata& metadata,
                                                        const std::string& link_target,
                                                        std::uint64_t rdev) = 0;
  /// Hard link `name` to `existing` below the same root.
  virtual Result<> link(const std::string& name, TargetDir& existing_dir,
                        const std::string& existing_name) = 0;
  /// Removes `name`, with everything below it when it is a directory, in bounded memory; links are not
  /// followed and mount points not entered. Immutable and append-only flags are taken off first.
  virtual Result<> remove(const std::string& name) = 0;
  /// As scan::SourceDir::list.
  virtual Result<> list(const std::function<Result<>(std::span<const scan::ListedName> batch)>& visit) = 0;
  virtual Result<std::string> read_link(const std::string& name) = 0;
  virtual Result<std::vector<scan::Xattr>> xattrs(const std::string& name, format::FileType type) = 0;
  virtual Result<scan::Attributes> attributes(const std::string& name, format::FileType type) = 0;
  /// Metadata of this directory itself, once everything below it is done. Returns what could not be set.
  virtual Result<std::vector<std::string>> finish(const Metadata& metadata) = 0;
  virtual Result<scan::Stat> stat_self() = 0;
  virtual Result<> sync() = 0;
};

class TargetFs {
 public:
  virtual ~TargetFs() = default;
  /// Opens the directory `path`, making it and its parents when they are not there.
  virtual Result<std::unique_ptr<TargetDir>> open_root(const std::string& path) = 0;
};

}  // namespace firn::restore
