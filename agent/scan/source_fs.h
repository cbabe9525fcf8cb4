// The seam to the file tree that is backed up: directories and files by handle, names as raw bytes.
//
// A handle is a file descriptor underneath (dirfd and *at calls only): nothing here takes a path but
// open_root, so a path that is swapped under us cannot lead outside. Nothing here writes. Threads: a handle
// may be used from several threads at once; different handles always may.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/bytes.h"
#include "repo/base/result.h"
#include "repo/format/tree.h"

namespace firn::scan {

using format::FileType;
using format::Timestamp;

/// What statx says of one name. `dev` and `inode` identify it on this machine.
struct Stat {
  FileType type = FileType::Regular;
  std::uint16_t mode = 0;  // the 12 permission bits
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t blocks_bytes = 0;  // allocated: less than the size hints at holes
  Timestamp mtime;
  Timestamp ctime;
  Timestamp atime;
  std::uint64_t inode = 0;
  std::uint64_t device = 0;    // of the file system it lies on
  std::uint64_t mount_id = 0;  // 0 where the kernel does not say
  std::uint32_t nlink = 1;
  std::uint64_t rdev = 0;  // of a device node: major << 32 | minor
};

/// A name as a directory lists it, borrowed from the listing.
struct ListedName {
  std::string_view name;
  FileType type = FileType::Unknown;  // a hint: Unknown where the directory does not say
};

struct Xattr {
  std::string name;
  Bytes value;
};

/// A range of a sparse file that holds data; everything between is a hole.
struct Extent {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

/// Inode flags (FS_IOC_GETFLAGS) and project id; 0 where the file system has none or does not tell us.
struct Attributes {
  std::uint32_t inode_flags = 0;
  std::uint32_t project_id = 0;
};

class SourceFile {
 public:
  virtual ~SourceFile() = default;
  virtual Result<Stat> stat() = 0;
  /// Reads at most out.size() bytes; 0 = end of file.
  virtual Result<std::size_t> read_at(std::uint64_t offset, MutableBytes out) = 0;
  /// True for content that can be read once, in order, and ends where read_at() says so: a pipe. Its stat()
  /// says a size that is never reached.
  virtual bool is_stream() const { return false; }
  /// The next data extent that ends after `offset`, clipped to begin at it; empty at the end.
  virtual Result<std::optional<Extent>> next_data(std::uint64_t offset) = 0;
  /// As the members of SourceDir with these names, of the open file: cheaper, and surely the same file.
  virtual Result<std::vector<Xattr>> xattrs() = 0;
  virtual Result<Attributes> attributes() = 0;
  /// Tells the kernel that [offset, offset+length) need not stay in its cache. Best effort.
  virtual void done_with(std::uint64_t offset, std::uint64_t length) = 0;
};

class SourceDir {
 public:
  virtual ~SourceDir() = default;
  /// All names but "." and "..", in no order, to `visit` in batches; a directory of a million is never held
  /// whole. The names die when `visit` returns; its error ends the listing. One thread at a time.
  virtual Result<> list(const std::function<Result<>(std::span<const ListedName> batch)>& visit) = 0;
  /// Stat of `name` itself (never followed). Errors: NotFound (it vanished), Denied.
  virtual Result<Stat> stat(const std::string& name) = 0;
  virtual Result<Stat> stat_self() = 0;
  /// A directory below; never through a symbolic link.
  virtual Result<std::unique_ptr<SourceDir>> open_dir(const std::string& name) = 0;
  /// A regular file (O_NOFOLLOW, O_NONBLOCK, O_NOATIME where permitted): never blocks on a fifo or device.
  /// What was opened may have been swapped for something else since it was listed: look at stat().type.
  virtual Result<std::unique_ptr<SourceFile>> open_file(const std::string& name) = 0;
  virtual Result<std::string> read_link(const std::string& name) = 0;
  /// Extended attributes of `name` (empty = of the directory itself), ACLs and capabilities included, by
  /// name.
  virtual Result<std::vector<Xattr>> xattrs(const std::string& name, FileType type) = 0;
  /// Of a regular file or directory; of anything else always 0.
  virtual Result<Attributes> attributes(const std::string& name, FileType type) = 0;
};

class SourceFs {
 public:
  virtual ~SourceFs() = default;
  /// Opens the directory at an absolute path, resolving links in it as the user gave them. One that may be
  /// passed through but not read opens too: only its list() is then Denied.
  virtual Result<std::unique_ptr<SourceDir>> open_root(const std::string& path) = 0;
  /// User and group names for people; empty where there is none.
  virtual std::string user_name(std::uint32_t uid) = 0;
  virtual std::string group_name(std::uint32_t gid) = 0;
};

}  // namespace firn::scan
