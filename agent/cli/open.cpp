#include "agent/cli/open.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "agent/cli/errors.h"
#include "agent/cli/probe.h"
#include "agent/cli/secrets.h"
#include "repo/base/cgroup_limits.h"
#include "repo/base/files.h"
#include "repo/kv/lmdb_kv.h"
#include "repo/store/location.h"

namespace firn::cli {
namespace {

/// Caches are not worth backing up (https://bford.info/cachedir/).
void mark_as_cache(const std::string& root) {
  const std::string path = root + "/CACHEDIR.TAG";
  if (::access(path.c_str(), F_OK) != 0) {
    // Without it only a backup of the cache directory grows.
    static_cast<void>(base::replace_file(
        path,
        as_bytes("Signature: 8a477f597d28d172789f06886806bc55\n# This directory holds firn's cache.\n")));
  }
}

Result<MemoryShares> shares_of(const Context& context) {
  return memory_shares(context.globals, base::own_cgroup_limits().memory_bytes);
}

store::StoreSeams store_seams(const World& world) {
  return {.executor = world.executor, .rng = world.rng, .stop = &world.stop, .variables = world.variable};
}

bool cache_is_unusable(const Error& error) {
  return error.code == ErrorCode::Exhausted || error.code == ErrorCode::Denied;
}

}  // namespace

Result<TemporaryDirectory> TemporaryDirectory::make(const Variables& variables) {
  std::string path = variables("TMPDIR").value_or("");
  path = (path.empty() ? "/tmp" : path) + "/firn-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) {
    return fail_errno(errno, "mkdtemp", path);
  }
  return TemporaryDirectory(std::move(path));
}

TemporaryDirectory::~TemporaryDirectory() {
  if (!path_.empty()) {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
}

Result<> OpenRepository::use_temporary_directory() {
  FIRN_LET(TemporaryDirectory directory, TemporaryDirectory::make(context_.world.variable));
  temporary_.emplace(std::move(directory));
  root_ = temporary_->path();
  scratch_ = std::make_unique<base::DirectoryScratch>(root_);
  return {};
}

Result<> OpenRepository::prepare_scratch() {
  if (context_.globals.no_cache) {
    return use_temporary_directory();
  }
  auto root = cache_root(context_.globals, context_.world.variable);
  if (root) {
    auto made = base::make_directories(*root + "/tmp");
    if (made && ::access((*root + "/tmp").c_str(), W_OK) == 0) {
      root_ = *std::move(root);
      mark_as_cache(root_);
      scratch_ = std::make_unique<base::DirectoryScratch>(root_ + "/tmp");
      return {};
    }
    context_.out.warn("the cache in " + *root + " cannot be used" +
                      (made ? "" : " (" + message_of(made.error()) + ")") + "; a temporary one is made");
  }
  return use_temporary_directory();
}

Result<std::unique_ptr<OpenRepository>> OpenRepository::open(Context& context) {
  return open(context, context.globals.place, "");
}

Result<std::unique_ptr<OpenRepository>> OpenRepository::open(Context& context, const Place& place,
                                                             const std::string& prefix) {
  FIRN_LET(const std::string url, repository_url(place));
  FIRN_LET(const MemoryShares memory, shares_of(context));
  FIRN_LET(const store::StoreOptions options, store_options(context.globals));
  std::unique_ptr<OpenRepository> open(new OpenRepository(context, memory));

  context.no_repository = true;
  const World& world = context.world;
  FIRN_LET(open->store_, store::open_store(url, options, store_seams(world)));
  // A place without a repository is told before anybody is asked for a password.
  FIRN_LET(repo::ConfigNumbers found, repo::Repository::find(*open->store_));
  context.no_repository = false;

  FIRN_LET(const repo::Unlock unlock, read_unlock(context, place, prefix, "password for repository " + url));
  FIRN_TRY(open->prepare_scratch());
  open->services_.emplace(repo::Services{world.executor, world.rng, world.clock, *open->scratch_});
  FIRN_LET(open->repository_,
           repo::Repository::open(*open->services_, *open->store_, unlock, std::move(found)));
  return open;
}

Result<std::unique_ptr<OpenRepository>> OpenRepository::init(Context& context,
                                                             const repo::InitOptions& options) {
  FIRN_LET(const std::string url, repository_url(context.globals.place));
  FIRN_LET(const MemoryShares memory, shares_of(context));
  FIRN_LET(const store::StoreOptions store_settings, store_options(context.globals));
  std::unique_ptr<OpenRepository> open(new OpenRepository(context, memory));
  const World& world = context.world;
  FIRN_LET(open->store_, store::init_store(url, store_settings, store_seams(world)));
  FIRN_LET(const auto configs, open->store_->list(format::kConfigPrefix, {}, 1));
  if (!configs.objects.empty()) {
    return fail(ErrorCode::Exists, "there is a repository at " + open->store_->describe() + " already");
  }
  FIRN_LET(const repo::Unlock unlock,
           read_new_unlock(context, context.globals.place, "password for new repository " + url));
  FIRN_TRY(open->prepare_scratch());
  open->services_.emplace(repo::Services{world.executor, world.rng, world.clock, *open->scratch_});
  FIRN_TRY(require_fit_store(context, *open->services_, *open->store_));
  FIRN_LET(open->repository_, repo::Repository::init(*open->services_, *open->store_, unlock, options));
  return open;
}

Result<std::unique_ptr<store::ObjectStore>> open_place(Context& context, const Place& place) {
  FIRN_LET(const std::string url, repository_url(place));
  FIRN_LET(const store::StoreOptions options, store_options(context.globals));
  return store::init_store(url, options, store_seams(context.world));
}

OpenRepository::~OpenRepository() {
  reader_.reset();
  if (index_) {
    // What is not kept makes the next start slower, no more.
    static_cast<void>(index_->close());
  }
}

Result<> OpenRepository::open_state() {
  if (state_) {
    return {};
  }
  const auto slot = [&] { return kv::LmdbKv::open_slot(root_ + "/" + repository_->id().hex()); };
  auto opened = slot();
  if (!opened && !temporary_ && cache_is_unusable(opened.error())) {
    context_.out.warn("the cache cannot be used (" + message_of(opened.error()) +
                      "); a temporary one is made");
    // The scratch that services_ refers to stays where it is.
    FIRN_LET(TemporaryDirectory directory, TemporaryDirectory::make(context_.world.variable));
    temporary_.emplace(std::move(directory));
    root_ = temporary_->path();
    opened = slot();
  }
  FIRN_LET(state_, in("local cache", std::move(opened)));
  return {};
}

Result<kv::LocalKv*> OpenRepository::state() {
  FIRN_TRY(open_state());
  return state_.get();
}

Result<repo::ObjectCache*> OpenRepository::cache() {
  if (!cache_) {
    FIRN_TRY(open_state());
    auto opened = repo::ObjectCache::open(*repository_, state_.get());
    if (!opened && cache_is_unusable(opened.error())) {
      opened = repo::ObjectCache::open(*repository_, nullptr);
    }
    FIRN_LET(cache_, in("local cache", std::move(opened)));
  }
  return cache_.get();
}

Result<const repo::MaintenanceView*> OpenRepository::maintenance() {
  if (!maintenance_) {
    FIRN_LET(repo::ObjectCache * objects, cache());
    FIRN_LET(maintenance_, repo::load_maintenance(*repository_, *objects));
  }
  return &*maintenance_;
}

Result<const repo::SnapshotList*> OpenRepository::snapshots() {
  if (!snapshots_) {
    FIRN_LET(const repo::MaintenanceView* view, maintenance());
    FIRN_LET(snapshots_, repo::list_snapshots(*repository_, *cache_, *view));
    for (const std::string& problem : snapshots_->problems) {
      context_.out.warn(printable(problem));
    }
  }
  return &*snapshots_;
}

Result<index::ChunkIndex*> OpenRepository::index() {
  if (!index_) {
    FIRN_TRY(open_state());
    FIRN_LET(index_, in("local index",
                        index::ChunkIndex::open(context_.world.executor, *state_, *scratch_,
                                                repository_->id(), {.memory_bytes_max = memory_.index})));
  }
  return index_.get();
}

Result<repo::ChunkReader*> OpenRepository::session_reader() {
  if (!reader_) {
    FIRN_LET(index::ChunkIndex * chunks, index());
    FIRN_LET(repo::ObjectCache * objects, cache());
    reader_ = std::make_unique<repo::ChunkReader>(*repository_, *chunks, *objects, memory_.windows);
  }
  return reader_.get();
}

Result<repo::ChunkReader*> OpenRepository::reader() {
  if (!index_synced_) {
    FIRN_LET(index::ChunkIndex * chunks, index());
    FIRN_LET(const repo::MaintenanceView* view, maintenance());
    auto problems = repo::sync_index(*repository_, *view, *chunks);
    if (!problems && chunks->damaged()) {
      FIRN_TRY(chunks->clear());
      problems = repo::sync_index(*repository_, *view, *chunks);
    }
    if (!problems) {
      return Failure(std::move(problems).error());
    }
    for (const std::string& problem : problems->lines) {
      context_.out.warn(printable(problem));
    }
    index_synced_ = true;
  }
  return session_reader();
}

}  // namespace firn::cli
