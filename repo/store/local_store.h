// Objects as files below a directory: the object `data/ab/cd…` is the file of that path.
//
// Promise: a file that has an object's name is whole. An object is written under a temporary name in the
// folder `.tmp` (which no object's name can begin with), synced, renamed without replacing, and its folder is
// synced: after Done it survives power loss. Any number of processes may use the directory at once; a process
// that dies leaves nothing but a file in `.tmp`, and the first write of a process removes those older than a
// day. Files are made read-only (0400) and folders private (0700): nobody edits an object by accident. Files
// with names that are no object names are ignored.
//
// Reading needs no right to write, so a read-only file system will do. An object's name may not be a folder
// of another's. Where the file system has neither RENAME_NOREPLACE nor hard links, two processes that put
// different bytes under one name at the same moment can replace each other's; the repository never does that.
//
// Outcomes: an error up to the rename is NotDone (Exhausted when the disk or quota is full, Denied on a
// read-only file system); an I/O error of the rename itself, or any error after it, is Unknown.
// Threads: any.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "repo/base/clock.h"
#include "repo/base/files.h"
#include "repo/base/monitor.h"
#include "repo/base/rng.h"
#include "repo/store/object_store.h"

namespace firn::store {

class LocalStore final : public ObjectStore {
 public:
  /// Makes the directory (and those above it) for a new repository. One that is there is left as it is.
  /// Errors: Denied, Exhausted.
  static Result<> init(const std::string& path);

  /// Errors: NotFound (no such directory), Denied. `rng` names temporary files; `clock` stands in for the
  /// store's own clock where nothing can be written. Both must outlive the store.
  static Result<std::unique_ptr<LocalStore>> open(const std::string& path, base::Rng& rng,
                                                  const base::Clock& clock);

  Outcome put(const ObjectName& name, ByteView bytes, PutOptions options = {}) override;
  Result<Bytes> get(const ObjectName& name, std::uint64_t size_bytes_max) override;
  Result<> get_range(const ObjectName& name, std::uint64_t offset, MutableBytes out) override;
  Result<std::uint64_t> head(const ObjectName& name) override;
  /// Reads each folder that it needs anew for every page, and keeps no more of it than the page.
  Result<ListPage> list(std::string_view prefix, std::string_view after, std::uint32_t count_max) override;
  Outcome remove(const ObjectName& name) override;
  /// The mtime of a file just made; the machine's clock where none can be made.
  Result<base::WallTime> now() override;
  std::string describe() const override { return path_; }
  unsigned parallel_requests() const override { return 8; }

 private:
  struct TemporaryFile;
  struct Lister;

  LocalStore(std::string path, base::FileDescriptor root, base::Rng& rng, const base::Clock& clock)
      : path_(std::move(path)), root_(std::move(root)), rng_(rng), clock_(clock) {}

  Result<TemporaryFile> create_temporary();
  Result<TemporaryFile> write_temporary(const ObjectName& name, ByteView bytes);
  void remove_stale_temporaries(const TemporaryFile& fresh);
  std::optional<Outcome> confirm_existing(const ObjectName& name, ByteView bytes);
  Result<> sync_folder_of(const ObjectName& name);
  Result<> make_folders_of(const ObjectName& name);
  Result<> make_folder_durable(const std::string& folder);
  Result<base::FileDescriptor> open_object(const ObjectName& name);
  Result<> check_root_is_there();
  std::string full(std::string_view name) const { return path_ + "/" + std::string(name); }

  const std::string path_;
  const base::FileDescriptor root_;
  base::Rng& rng_;
  const base::Clock& clock_;
  base::Guarded<std::set<std::string>> durable_folders_;  // whose names this process knows to be synced
  base::Guarded<bool> stale_removed_;
};

}  // namespace firn::store
