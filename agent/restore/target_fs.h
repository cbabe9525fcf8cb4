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

/// What could not be set, one error for each thing: "owner 0:0: Operation not permitted". Empty = a full
/// success. Denied, Unsupported and Invalid: the target cannot take it. Any other code: setting it failed.
using Shortfalls = std::vector<Error>;

/// A file that is being written.
class TargetFile {
 public:
  virtual ~TargetFile() = default;
  /// Before the first byte: sets those of the inode flags that work on an empty file only (no copy on write,
  /// compression). Best effort: finish() reports what is missing in the end.
  virtual void prepare(std::uint32_t inode_flags) = 0;
  /// Sets the size, growing or cutting, and when not `sparse` reserves the blocks where the file system can.
  /// Errors: Exhausted.
  virtual Result<> allocate(std::uint64_t size_bytes, bool sparse) = 0;
  virtual Result<> write_at(std::uint64_t offset, ByteView bytes) = 0;
  /// Reads at most out.size() bytes; 0 = end of file.
  virtual Result<std::size_t> read_at(std::uint64_t offset, MutableBytes out) = 0;
  /// As scan::SourceFile::next_data.
  virtual Result<std::optional<scan::Extent>> next_data(std::uint64_t offset) = 0;
  /// Makes [offset, offset+length) a hole, or zeros where the file system has no holes. Never changes the
  /// size.
  virtual Result<> punch(std::uint64_t offset, std::uint64_t length) = 0;
  /// After the last byte: owner, mode, attributes, times, project, flags, in the order that keeps them all
  /// (writing and chown clear suid and capabilities). Attributes that `metadata` does not name go. An owner
  /// that cannot be set takes suid and sgid with it. Make hard links before: an immutable file takes none.
  virtual Result<Shortfalls> finish(const Metadata& metadata) = 0;
  virtual Result<scan::Stat> stat() = 0;
};

/// What open_file is to do.
enum class Access : std::uint8_t {
  Read,         // open what is there, for reading
  Write,        // open what is there, for writing in place
  WriteOrMake,  // the same, or make it (0600)
};

class TargetDir {
 public:
  virtual ~TargetDir() = default;
  /// What is at `name`, not followed. Errors: NotFound.
  virtual Result<scan::Stat> stat(const std::string& name) = 0;
  /// Makes `name` as a directory (0700 until finish), or opens it where it is one already. Errors: Exists
  /// (something else is there).
  virtual Result<std::unique_ptr<TargetDir>> make_dir(const std::string& name) = 0;
  /// Errors: NotFound, Exists (no directory).
  virtual Result<std::unique_ptr<TargetDir>> open_dir(const std::string& name) = 0;
  /// Opens a regular file, never through a link, and never anything else. For writing, its immutable and
  /// append-only flags are taken off, and it must have one name only: another name of it could lie outside.
  /// Errors: NotFound, Exists (something else is there, or it has other names: remove it first).
  virtual Result<std::unique_ptr<TargetFile>> open_file(const std::string& name, Access access) = 0;
  /// Makes a symbolic link, fifo, socket, or device node with its metadata. Errors: Exists, Denied (a device
  /// without the right to make one), Invalid (a regular file or directory).
  virtual Result<Shortfalls> make_special(const std::string& name, const Metadata& metadata,
                                          const std::string& link_target, std::uint64_t rdev) = 0;
  /// The same metadata for a link or special file that is there already. Errors: NotFound, Exists (it has
  /// another type).
  virtual Result<Shortfalls> finish_special(const std::string& name, const Metadata& metadata) = 0;
  /// Hard link `name` to `existing_name` below the same root. Errors: Exists, NotFound.
  virtual Result<> link(const std::string& name, TargetDir& existing_dir,
                        const std::string& existing_name) = 0;
  /// Removes `name`, with everything below it when it is a directory, in bounded memory; links are not
  /// followed and mount points not entered. Immutable and append-only flags are taken off first. Errors:
  /// NotFound, Denied, Unavailable (busy: a mount point).
  virtual Result<> remove(const std::string& name) = 0;
  /// As scan::SourceDir::list.
  virtual Result<> list(const std::function<Result<>(std::span<const scan::ListedName> batch)>& visit) = 0;
  virtual Result<std::string> read_link(const std::string& name) = 0;
  /// As the members of scan::SourceDir with these names.
  virtual Result<std::vector<scan::Xattr>> xattrs(const std::string& name, format::FileType type) = 0;
  virtual Result<scan::Attributes> attributes(const std::string& name, format::FileType type) = 0;
  /// Metadata of this directory itself, once everything below it is done.
  virtual Result<Shortfalls> finish(const Metadata& metadata) = 0;
  virtual Result<scan::Stat> stat_self() = 0;
  /// Puts everything that was written to this file system on stable storage.
  virtual Result<> sync() = 0;
};

class TargetFs {
 public:
  virtual ~TargetFs() = default;
  /// Opens the directory `path`, making it and its parents when they are not there.
  virtual Result<std::unique_ptr<TargetDir>> open_root(const std::string& path) = 0;
  /// The same for a directory that is there; makes nothing. Errors: NotFound.
  virtual Result<std::unique_ptr<TargetDir>> open_existing_root(const std::string& path) = 0;
};

}  // namespace firn::restore
