// A file tree in memory that is both a source and a target: the twin of LinuxSourceFs and LinuxTargetFs for
// simulations and property tests.
//
// Promise: what a backup can read of a file is there: types, modes, owners, times, attributes, flags, hard
// links, holes in blocks of 4 KiB. Every change of an inode moves its ctime. Listings come in no useful
// order, and say a name's type only sometimes. A hook sees every call before it is done and may fail it,
// change the tree, or both. Not here: permissions (a hook denies), symbolic links in the path of open_root.
// Threads: any; the hook runs on the calling task without a lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "agent/restore/target_fs.h"
#include "agent/scan/source_fs.h"
#include "repo/base/monitor.h"

namespace firn::test {

constexpr std::size_t kMemoryBlockBytes = 4096;

struct MemoryNode {
  format::FileType type = format::FileType::Regular;
  std::uint16_t mode = 0644;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  format::Timestamp mtime;
  format::Timestamp atime;
  format::Timestamp ctime;
  std::uint64_t inode = 0;
  std::uint64_t device = 1;
  std::uint64_t mount_id = 1;
  std::uint32_t nlink = 1;
  std::uint64_t rdev = 0;
  std::uint32_t inode_flags = 0;
  std::uint32_t project_id = 0;
  std::uint64_t size_bytes = 0;
  std::string link_target;
  std::map<std::string, Bytes> xattrs;
  std::map<std::uint64_t, std::array<std::byte, kMemoryBlockBytes>>
      blocks;                                                   // by number; what lacks is a hole
  std::map<std::string, std::shared_ptr<MemoryNode>> children;  // several names may share a node: hard links
};

enum class FsCall : std::uint8_t {
  OpenRoot,
  List,
  Stat,
  OpenDir,
  OpenFile,
  Read,
  NextData,
  ReadLink,
  Xattrs,
  Attributes,
  Allocate,
  Write,
  Punch,
  Finish,
  MakeDir,
  MakeSpecial,
  Link,
  Remove,
  Sync,
};

class MemoryTree {
 public:
  MemoryTree();
  ~MemoryTree();
  MemoryTree(const MemoryTree&) = delete;
  MemoryTree& operator=(const MemoryTree&) = delete;

  scan::SourceFs& source();
  restore::TargetFs& target();

  /// Called before every call through source() and target(), with the path ("/a/b") that it is about. An
  /// error is the call's answer. May change the tree. Set it while nobody calls.
  using Hook = std::function<Result<>(FsCall call, const std::string& path)>;
  void set_hook(Hook hook);
  /// Answers every call of the kind about this path with `error`.
  static Hook failing(FsCall call, std::string path, Error error);
  /// Runs `change` before the nth (1 = first) call of the kind about this path.
  static Hook changing(FsCall call, std::string path, unsigned nth, std::function<void()> change);

  // Building and changing. Paths are "/a/b"; directories that lack on the way are made; what stands there
  // already must fit, else the test program ends. Each call moves time on by a second.
  void make_dir(const std::string& path);
  void write(const std::string& path, std::string_view content);
  /// Overwrites or extends a part; what lies between the old end and `offset` is a hole.
  void write_at(const std::string& path, std::uint64_t offset, std::string_view content);
  void resize(const std::string& path, std::uint64_t size_bytes);
  void symlink(const std::string& path, std::string_view target);
  void make_special(const std::string& path, format::FileType type, std::uint64_t rdev = 0);
  void link(const std::string& path, const std::string& existing);
  void rename(const std::string& from, const std::string& to);
  /// With everything below. What is not there is fine.
  void remove(const std::string& path);
  /// Changes the node at `path`; its ctime moves.
  void edit(const std::string& path, const std::function<void(MemoryNode&)>& change);

  bool exists(const std::string& path) const;
  std::string content(const std::string& path) const;
  /// A line for each entry, in the tree's order, with all that a restore must give back: not inode, ctime,
  /// atime, nor the size of directories. Hard links name the first of their group; holes show.
  std::string dump(const std::string& below = "/") const;
  /// How many directories and files are open through source() and target() now, and were at most.
  std::size_t open_handles() const;
  std::size_t open_handles_peak() const;

  struct Core;

 private:
  std::shared_ptr<Core> core_;
  std::unique_ptr<scan::SourceFs> source_;
  std::unique_ptr<restore::TargetFs> target_;
};

}  // namespace firn::test
