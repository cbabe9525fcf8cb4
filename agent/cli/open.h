// An open repository as commands use it: store, keys, local cache, snapshots, index and reader, each opened
// when it is first asked for.
//
// The cache of a repository lies in <cache root>/<repository id>/slot-<n>, one slot a process. A cache that
// cannot be used (read-only home, full disk) is replaced by a temporary directory, and said. Nothing here
// writes to the repository but init(). Threads: one caller; what it hands out may be used from any task.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "agent/cli/context.h"
#include "repo/base/scratch.h"
#include "repo/chunk_reader.h"
#include "repo/index/chunk_index.h"
#include "repo/kv/local_kv.h"
#include "repo/object_cache.h"
#include "repo/repository.h"
#include "repo/snapshots.h"
#include "repo/store/object_store.h"
#include "repo/view.h"

namespace firn::cli {

/// A directory of this process alone, removed with everything in it.
class TemporaryDirectory {
 public:
  /// Below $TMPDIR or /tmp. Errors: Denied, Exhausted.
  static Result<TemporaryDirectory> make(const Variables& variables);
  TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  ~TemporaryDirectory();
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

class OpenRepository {
 public:
  /// Opens what `context.globals.place` names. Errors: NotFound (with context.no_repository set), WrongKey,
  /// and those of Repository::open.
  static Result<std::unique_ptr<OpenRepository>> open(Context& context);
  /// The same for another place; `prefix` is that of its variables: "FROM_".
  static Result<std::unique_ptr<OpenRepository>> open(Context& context, const Place& place,
                                                      const std::string& prefix);
  static Result<std::unique_ptr<OpenRepository>> init(Context& context, const repo::InitOptions& options);
  ~OpenRepository();

  const repo::Repository& repository() const { return *repository_; }
  const MemoryShares& memory() const { return memory_; }
  base::Scratch& scratch() { return *scratch_; }

  Result<kv::LocalKv*> state();
  Result<repo::ObjectCache*> cache();
  Result<const repo::MaintenanceView*> maintenance();
  /// All snapshots that count. Objects that could not be read are warned about.
  Result<const repo::SnapshotList*> snapshots();
  /// The local index as it was left; a session brings it up to date itself.
  Result<index::ChunkIndex*> index();
  /// With the index brought up to the repository's.
  Result<repo::ChunkReader*> reader();
  /// Without: for a session, which does that itself.
  Result<repo::ChunkReader*> session_reader();

 private:
  OpenRepository(Context& context, MemoryShares memory) : context_(context), memory_(memory) {}
  Result<> prepare_scratch();
  Result<> use_temporary_directory();
  Result<> open_state();

  Context& context_;
  const MemoryShares memory_;
  std::optional<TemporaryDirectory> temporary_;
  std::string root_;  // of all caches
  std::unique_ptr<base::Scratch> scratch_;
  std::optional<repo::Services> services_;
  std::unique_ptr<store::ObjectStore> store_;
  std::unique_ptr<repo::Repository> repository_;
  std::unique_ptr<kv::LocalKv> state_;
  std::unique_ptr<repo::ObjectCache> cache_;
  std::optional<repo::MaintenanceView> maintenance_;
  std::optional<repo::SnapshotList> snapshots_;
  std::unique_ptr<index::ChunkIndex> index_;
  bool index_synced_ = false;
  std::unique_ptr<repo::ChunkReader> reader_;
};

/// The place itself, repository or not; made where it is not there. For copies of stored objects.
Result<std::unique_ptr<store::ObjectStore>> open_place(Context& context, const Place& place);

}  // namespace firn::cli
