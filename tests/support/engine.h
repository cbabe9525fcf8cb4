// A whole engine for tests: seams, a repository, a cache, and a backup or restore in one call.
//
// Every test chooses its store, its local state and its executor; the rest is as the program has it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/backup/backup.h"
#include "agent/restore/linux_target_fs.h"
#include "agent/restore/restore.h"
#include "agent/scan/linux_source_fs.h"
#include "repo/base/executor.h"
#include "repo/base/rng.h"
#include "repo/base/scratch.h"
#include "repo/chunk_reader.h"
#include "repo/index/chunk_index.h"
#include "repo/object_cache.h"
#include "repo/repository.h"
#include "repo/session.h"
#include "repo/snapshots.h"
#include "repo/view.h"

namespace firn::test {

inline repo::Unlock password(std::string_view text) {
  return {.password = crypto::SecretBytes::copy_of(as_bytes(text)),
          .key_file = std::nullopt,
          .hint = std::nullopt};
}

/// A raw key file: opens in no time, where a password takes its scrypt.
inline repo::Unlock key_file(std::byte fill = std::byte{7}) {
  std::array<std::byte, 32> key{};
  key.fill(fill);
  return {.password = std::nullopt,
          .key_file = format::KeyFile{.kid = std::nullopt, .key = crypto::Secret<32>::copy_of(key)},
          .hint = std::nullopt};
}

/// Remembers what it was told.
class RecordingObserver final : public backup::Observer, public restore::Observer {
 public:
  void item(const backup::ItemReport&) override {}
  void problem(std::string_view path, const Error& error) override {
    problems.push_back(std::string(path) + ": " + error.message);
  }
  void changed_while_reading(std::string_view path) override { changed.emplace_back(path); }
  void item(restore::Action action, std::string_view, std::uint64_t) override { actions.push_back(action); }
  void not_kept(std::string_view path, std::string_view what) override {
    shortfalls.push_back(std::string(path) + ": " + std::string(what));
  }

  std::vector<std::string> problems;
  std::vector<std::string> changed;
  std::vector<std::string> shortfalls;
  std::vector<restore::Action> actions;
};

/// An open repository with its local state, as one process has it.
struct Engine {
  repo::Services services;
  std::unique_ptr<repo::Repository> repository;
  std::unique_ptr<index::ChunkIndex> index;
  std::unique_ptr<repo::ObjectCache> cache;
  kv::LocalKv* state = nullptr;

  static Result<Engine> open(const repo::Services& services, store::ObjectStore& store, kv::LocalKv& state,
                             const repo::Unlock& unlock) {
    Engine engine{.services = services, .repository = {}, .index = {}, .cache = {}, .state = &state};
    FIRN_LET(engine.repository, repo::Repository::open(services, store, unlock));
    FIRN_LET(engine.index, index::ChunkIndex::open(services.executor, state, services.scratch,
                                                   engine.repository->id(), {.memory_bytes_max = 4 << 20}));
    FIRN_LET(engine.cache, repo::ObjectCache::open(*engine.repository, &state));
    return engine;
  }

  Result<std::unique_ptr<repo::WriteSession>> session(repo::SessionOptions options = {}) {
    return repo::WriteSession::open(*repository, *index, *cache, *state, options);
  }

  struct BackedUp {
    backup::BackupReport report;
    RecordingObserver observer;
  };

  /// Backs up the directory `path` of `source`, with its latest snapshot as parent.
  Result<BackedUp> backup(scan::SourceFs& source, const std::string& path,
                          backup::BackupOptions options = {}) {
    FIRN_LET(auto writer, session());
    repo::ChunkReader reader(*repository, *index, *cache);
    backup::Progress progress;
    base::StopFlag stop;
    options.walk.roots = {path};
    options.source.id = format::path_source_id("host", {path});
    options.source.host = "host";
    options.source.paths = {path};
    FIRN_LET(const auto known, repo::list_snapshots(*repository, *cache, writer->maintenance()));
    std::optional<backup::Parent> parent;
    for (const repo::SnapshotInfo& info : known.snapshots) {
      if (info.snapshot.source.id == options.source.id) {
        FIRN_LET(const auto root, repo::open_root(*repository, info));
        parent = backup::Parent{.snapshot = info, .root = root};
      }
    }
    BackedUp done;
    const backup::BackupContext context{*writer, reader, source, *state, stop, progress, done.observer};
    FIRN_LET(done.report, backup::run_backup(context, parent, std::move(options)));
    writer->end();
    return done;
  }

  Result<RecordingObserver> restore(restore::TargetFs& target, const format::SnapshotId& id,
                                    restore::RestoreOptions options) {
    FIRN_LET(const auto maintenance, repo::load_maintenance(*repository, *cache));
    FIRN_TRY(repo::sync_index(*repository, maintenance, *index));
    FIRN_LET(const auto known, repo::list_snapshots(*repository, *cache, maintenance));
    FIRN_LET(const auto* info, repo::find_by_prefix(known, id.hex()));
    FIRN_LET(const auto root, repo::open_root(*repository, *info));
    repo::ChunkReader reader(*repository, *index, *cache);
    restore::Progress progress;
    base::StopFlag stop;
    RecordingObserver observer;
    const restore::RestoreContext context{reader, target, *state, stop, progress, observer};
    FIRN_TRY(restore::run_restore(context, root, options));
    return observer;
  }
};

}  // namespace firn::test
