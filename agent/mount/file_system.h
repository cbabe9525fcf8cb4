// What the kernel asks of a mount, in our own terms: look-ups, attributes, listings, contents.
//
// Promise: as mount.h says. Calls that may have to fetch something take a Call and end with Cancelled when it
// is interrupted. Not here: libfuse (session.cpp), which numbers things have (node_table.h). Threads: any;
// one listing is for one caller at a time, others wait.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/mount/catalogue.h"
#include "agent/mount/chunk_cache.h"
#include "agent/mount/file_content.h"
#include "agent/mount/mount.h"
#include "agent/mount/node_table.h"
#include "repo/tree/tree_reader.h"

namespace firn::mount {

/// What stat() shows of an entry. Pure. `number` is its inode number.
struct stat status_of(const format::EntryFields& entry, NodeNumber number, std::uint64_t content_bytes,
                      std::size_t target_bytes, bool owner_root);

class FileSystem {
 public:
  FileSystem(const MountSource& source, const MountOptions& options);
  ~FileSystem();

  /// Must succeed before anything else. Errors: those of the repository.
  Result<> start() { return catalogue_.refresh(); }
  void wake() { cache_.wake(); }
  void stop() { cache_.stop(); }

  struct Found {
    NodeNumber number = 0;  // 0: there is no such thing
    struct stat status {};
    bool is_fixed = false;  // what is inside of a snapshot never changes; what is above it may
  };
  /// A found thing counts as looked up once: the kernel gives it back with forget(). Errors: NotFound (the
  /// parent is gone), Corrupt, Cancelled, those of the store.
  Result<Found> look_up(NodeNumber parent, std::string_view name, const Call& call);
  void forget(NodeNumber number, std::uint64_t lookups) { nodes_.forget(number, lookups); }
  /// Names that the kernel should be told to forget, because more are known than MountOptions::nodes_max.
  std::vector<NodeTable::Name> surplus();
  Result<Found> status(NodeNumber number, const Call& call);
  Result<std::string> link_target(NodeNumber number, const Call& call);
  /// Sorted by name.
  Result<std::vector<format::ExtendedAttribute>> xattrs(NodeNumber number, const Call& call);

  struct Space {
    std::uint64_t stored_bytes = 0;
  };
  Result<Space> space(const Call& call);

  /// An open file.
  struct File {
    std::unique_ptr<FileContent> content;
    std::string name;  // for messages
  };
  Result<std::unique_ptr<File>> open_file(NodeNumber number, const Call& call);
  /// Errors are told to MountOptions::warn, with the file's name.
  Result<std::vector<FileContent::Part>> read(File& file, std::uint64_t offset, std::uint64_t length,
                                              const Call& call);

  /// An open directory: where a walk over its children is.
  class Listing {
   public:
    Listing(base::Executor& executor, NodeNumber number, NodeTable::Place place)
        : number_(number), place_(std::move(place)), busy_(executor) {}
    /// In a snapshot, where nothing changes.
    bool is_fixed() const { return place_.placement != nullptr; }

   private:
    friend class FileSystem;
    const NodeNumber number_;
    const NodeTable::Place place_;
    base::TaskLock busy_;
    // In the layout.
    Catalogue::SharedView view_;
    // In a snapshot.
    std::unique_ptr<CachedPages> pages_;
    std::optional<tree::TreeReader> tree_;
    std::optional<tree::TreeReader> children_;
    bool has_current_ = false;        // children_ stands at a child that was not taken
    std::uint64_t next_ = 0;          // how many were taken
    std::vector<std::string> marks_;  // the name of every kMarkEvery-th child that was taken
  };
  Result<std::unique_ptr<Listing>> open_directory(NodeNumber number, const Call& call);
  /// One child. `remember` makes it a look-up, as the kernel wants it with READDIRPLUS; its number is 0 when
  /// that was not possible.
  struct Child {
    std::string_view name;
    struct stat status {};
    std::function<NodeNumber()> remember;
    bool is_fixed = false;
    std::uint64_t next = 0;  // where to go on behind it
  };
  /// Gives children from place `from` (0 or a Child::next) on, until `visit` returns false: the last one then
  /// was not taken. An error after the first child ends the listing quietly: the next call has it.
  Result<> list(Listing& listing, std::uint64_t from, const Call& call,
                const std::function<bool(const Child&)>& visit);

 private:
  struct InSnapshot {
    std::shared_ptr<const Placement> placement;
    format::ChunkSecret root;
  };
  Result<NodeTable::Place> place(NodeNumber number);
  Result<InSnapshot> open_snapshot(const NodeTable::Place& place, const Call& call);
  Result<format::Entry> entry(const NodeTable::Place& place, const Call& call);
  Result<Found> look_up_in_layout(NodeNumber parent, const std::string& path, std::string_view name,
                                  const Call& call);
  Result<Found> root_of(const Layout::Node& node, const Catalogue::View& view, NodeNumber number,
                        std::shared_ptr<const Placement>& placement, const Call& call);
  struct stat status_in_layout(const Layout::Node& node, NodeNumber number) const;
  struct stat status_in_snapshot(const format::EntryFields& fields, NodeNumber number,
                                 std::uint64_t content_bytes, std::size_t target_bytes) const;
  NodeNumber hash_of(const Placement& placement, NodeNumber parent, std::string_view name,
                     const format::EntryFields& fields) const;
  std::string name_of(const NodeTable::Place& place) const;
  void warn(const std::string& line);
  /// Tells what failed, but not that somebody gave up.
  template <class T>
  Result<T> told(const std::string& name, Result<T> result);
  Result<> list_layout(Listing& listing, std::uint64_t from, const std::function<bool(const Child&)>& visit);
  Result<> list_snapshot(Listing& listing, std::uint64_t from, const Call& call,
                         const std::function<bool(const Child&)>& visit);

  const MountOptions& options_;
  const std::uint32_t uid_;
  const std::uint32_t gid_;
  Streams streams_{0};
  base::Guarded<std::deque<std::string>> warned_;  // the latest lines, which are not said again
  NodeTable nodes_;
  Catalogue catalogue_;
  ChunkCache cache_;
};

}  // namespace firn::mount
