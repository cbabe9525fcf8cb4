// Repositories that are open on behalf of jobs: one session, one index and one cache for all jobs of a
// repository.
//
// Promise: a job that begins gets a session younger than an hour; a session without jobs is ended after a
// minute; a session that failed takes no new job. While an old session still has jobs, new ones get another
// session with a cache of its own (two sessions of one cache would share a journal). Not here: what jobs do.
// Threads: any.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/kube/objects.h"
#include "agent/service/outcome.h"
#include "repo/base/monitor.h"
#include "repo/base/scratch.h"
#include "repo/base/stop.h"
#include "repo/chunk_reader.h"
#include "repo/kv/lmdb_kv.h"
#include "repo/object_cache.h"
#include "repo/repository.h"
#include "repo/session.h"
#include "repo/view.h"

namespace firn::service {

/// How the memory budget is shared out.
struct Shares {
  std::uint64_t packs = 0;
  std::uint64_t work = 0;  // of one job
  std::uint64_t index = 0;
  std::uint64_t walk = 0;  // of one job
  std::uint64_t windows = 0;
};
Shares share_memory(std::uint64_t total_bytes, unsigned jobs);

struct EngineOptions {
  std::string state_dir;
  std::string key_root;
  std::string node;
  Shares shares;
  /// For stores that take credentials from the environment.
  std::function<std::optional<std::string>(const std::string& name)> variables;
  bool writes = true;  // false: restores only, no session is opened
};

/// One repository, open.
class Engine {
 public:
  const repo::Repository& repository() const { return *repository_; }
  repo::WriteSession* session() { return session_.get(); }
  repo::ObjectCache& cache() { return *cache_; }
  repo::ChunkReader& reader() { return *reader_; }
  kv::LocalKv& state() { return *state_; }
  ~Engine();

 private:
  friend class Engines;
  Engine() = default;

  std::unique_ptr<base::Scratch> scratch_;
  std::optional<repo::Services> services_;
  std::unique_ptr<store::ObjectStore> store_;
  std::unique_ptr<repo::Repository> repository_;
  std::unique_ptr<kv::LocalKv> state_;
  std::unique_ptr<repo::ObjectCache> cache_;
  std::unique_ptr<index::ChunkIndex> index_;
  std::unique_ptr<repo::ChunkReader> reader_;
  std::unique_ptr<repo::WriteSession> session_;
  // Under Engines' lock.
  std::string url_;
  std::string version_;  // of the Repository's spec
  base::SteadyTime session_opened_;
  base::SteadyTime idle_since_;
  unsigned jobs_ = 0;
  bool broken_ = false;
};

class Engines {
 public:
  Engines(base::Executor& executor, base::Rng& rng, const base::Clock& clock, const base::StopFlag& stop,
          EngineOptions options);

  /// A job's hold on an engine.
  class Lease {
   public:
    Lease(Engines& engines, std::shared_ptr<Engine> engine)
        : engines_(&engines), engine_(std::move(engine)) {}
    Lease(Lease&& other) noexcept = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    Engine* operator->() const { return engine_.get(); }
    Engine& operator*() const { return *engine_; }
    /// The session is of no use any more: no new job gets it.
    void give_up();

   private:
    Engines* engines_;
    // Shared with Engines, and with the other jobs of the session.
    std::shared_ptr<Engine> engine_;
  };

  /// Opens what is not open yet. Refuses with RepositoryNotFound, KeyMissing, WrongKey, StoreUnavailable, ….
  Outcome<Lease> begin(const kube::Repository& repository);
  /// Ends what has been idle long enough; all that is idle with `everything`. Called every few seconds.
  void tend(bool everything = false);

 private:
  Outcome<std::shared_ptr<Engine>> open(const kube::Repository& repository);
  Result<> open_session(Engine& engine);
  void end_job(const std::shared_ptr<Engine>& engine);

  base::Executor& executor_;
  base::Rng& rng_;
  const base::Clock& clock_;
  const base::StopFlag& stop_;
  const EngineOptions options_;
  base::TaskLock opening_;
  // A repository has several while old sessions run out.
  base::Guarded<std::multimap<std::string, std::shared_ptr<Engine>>> engines_;
};

}  // namespace firn::service
