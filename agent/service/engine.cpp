#include "agent/service/engine.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "agent/service/secret_files.h"
#include "agent/state/linux_identity.h"
#include "repo/store/location.h"
#include "repo/store/retry_store.h"

namespace firn::service {
namespace {

constexpr std::chrono::hours kSessionAgeMax{1};
constexpr std::chrono::minutes kSessionIdleMax{1};
// Opening costs a key derivation and some requests; keeping costs the index's memory.
constexpr std::chrono::minutes kEngineIdleMax{10};

}  // namespace

Shares share_memory(std::uint64_t total_bytes, unsigned jobs) {
  constexpr std::uint64_t kMiB = 1ULL << 20;
  Shares shares;
  // A session always may have three packs, whatever its share; what is left goes to the jobs.
  const std::uint64_t spare = total_bytes - std::min<std::uint64_t>(total_bytes, 48 * kMiB);
  shares.packs = std::min<std::uint64_t>(64 * kMiB, 48 * kMiB + spare / 8);
  shares.work = std::clamp<std::uint64_t>(spare / 2 / jobs, 12 * kMiB, 96 * kMiB);
  shares.index = std::clamp<std::uint64_t>(spare / 6, 4 * kMiB, 32 * kMiB);
  shares.walk = std::clamp<std::uint64_t>(spare / 16 / jobs, 2 * kMiB, 8 * kMiB);
  shares.windows = std::clamp<std::uint64_t>(spare / 16, 2 * kMiB, 8 * kMiB);
  return shares;
}

Engine::~Engine() {
  session_.reset();
  reader_.reset();
  if (index_) {
    // What is not kept makes the next start slower, no more.
    static_cast<void>(index_->close());
  }
}

Engines::Engines(base::Executor& executor, base::Rng& rng, const base::Clock& clock,
                 const base::StopFlag& stop, EngineOptions options)
    : executor_(executor),
      rng_(rng),
      clock_(clock),
      stop_(stop),
      options_(std::move(options)),
      opening_(executor) {}

Engines::Lease::~Lease() {
  if (engine_) {
    engines_->end_job(engine_);
  }
}

void Engines::Lease::give_up() {
  auto engines = engines_->engines_.lock();
  engine_->broken_ = true;
}

void Engines::end_job(const std::shared_ptr<Engine>& engine) {
  auto engines = engines_.lock();
  engine->jobs_ -= 1;
  engine->idle_since_ = executor_.clock().steady();
}

Outcome<Engines::Lease> Engines::begin(const kube::Repository& repository) {
  // Opening takes requests; whoever comes meanwhile wants the same session.
  const base::TaskLock::Hold hold(opening_);
  const auto now = executor_.clock().steady();
  std::shared_ptr<Engine> chosen;
  {
    auto engines = engines_.lock();
    const auto [first, last] = engines->equal_range(repository.meta.name);
    for (auto one = first; one != last; ++one) {
      Engine& engine = *one->second;
      const bool old = engine.session_ && now - engine.session_opened_ > kSessionAgeMax;
      if (!engine.broken_ && engine.url_ == repository.url && !(old && engine.jobs_ > 0)) {
        chosen = one->second;
        chosen->jobs_ += 1;
        break;
      }
    }
  }
  if (!chosen) {
    FIRN_GET(chosen, open(repository));
    chosen->jobs_ = 1;
    auto engines = engines_.lock();
    engines->emplace(repository.meta.name, chosen);
  }
  Lease lease(*this, chosen);
  if (!options_.writes) {
    // What other nodes stored since is looked for.
    auto maintenance = repo::load_maintenance(*chosen->repository_, *chosen->cache_);
    if (!maintenance) {
      return tl::unexpected(refusal_of(maintenance.error(), "reading the repository"));
    }
    if (auto synced = repo::sync_index(*chosen->repository_, *maintenance, *chosen->index_); !synced) {
      return tl::unexpected(refusal_of(synced.error(), "reading the repository's index"));
    }
    return lease;
  }
  if (chosen->session_ && now - chosen->session_opened_ > kSessionAgeMax) {
    chosen->session_->end();
    chosen->session_.reset();
  }
  if (!chosen->session_) {
    if (auto opened = open_session(*chosen); !opened) {
      lease.give_up();
      return tl::unexpected(refusal_of(opened.error(), "opening a session in the repository"));
    }
  }
  return lease;
}

Outcome<std::shared_ptr<Engine>> Engines::open(const kube::Repository& repository) {
  FIRN_GET(const repo::Unlock unlock, read_unlock(options_.key_root, repository.meta.name));
  std::shared_ptr<Engine> engine(new Engine);
  engine->url_ = repository.url;
  store::StoreOptions store_options;
  store_options.backend = repository.options;
  const std::string authority = options_.key_root + "/" + repository.meta.name + ".ca.crt";
  if (::access(authority.c_str(), R_OK) == 0) {
    store_options.ca_file = authority;
  }
  const auto doing = "opening repository " + repository.meta.name;
  const auto refused = [&](const Error& error) {
    Refusal refusal = refusal_of(error, doing);
    if (error.code == ErrorCode::NotFound) {
      refusal.reason = "RepositoryNotFound";
      refusal.message += "; has it been made with 'firn init'?";
    }
    return tl::unexpected(std::move(refusal));
  };
  auto store = store::open_store(
      repository.url, store_options,
      {.executor = executor_, .rng = rng_, .stop = &stop_, .variables = options_.variables});
  if (!store) {
    return refused(store.error());
  }
  engine->store_ = std::make_unique<store::RetryStore>(*std::move(store), executor_, rng_, &stop_);
  if (auto made = base::make_directories(options_.state_dir + "/tmp"); !made) {
    return refused(made.error());
  }
  engine->scratch_ = std::make_unique<base::DirectoryScratch>(options_.state_dir + "/tmp");
  engine->services_.emplace(repo::Services{executor_, rng_, clock_, *engine->scratch_});
  auto opened = repo::Repository::open(*engine->services_, *engine->store_, unlock);
  if (!opened) {
    return refused(opened.error());
  }
  engine->repository_ = *std::move(opened);
  const auto local = [&]() -> Result<> {
    FIRN_LET(engine->state_,
             kv::LmdbKv::open_slot(options_.state_dir + "/" + engine->repository_->id().hex()));
    FIRN_LET(engine->cache_, repo::ObjectCache::open(*engine->repository_, engine->state_.get()));
    FIRN_LET(engine->index_,
             index::ChunkIndex::open(executor_, *engine->state_, *engine->scratch_, engine->repository_->id(),
                                     {.memory_bytes_max = options_.shares.index}));
    return {};
  }();
  if (!local) {
    return refused(Error(local.error()).in("local state"));
  }
  engine->reader_ = std::make_unique<repo::ChunkReader>(*engine->repository_, *engine->index_,
                                                        *engine->cache_, options_.shares.windows);
  engine->reader_->use_local_pages();
  return engine;
}

Result<> Engines::open_session(Engine& engine) {
  repo::SessionOptions session_options;
  session_options.process = state::process_identity(options_.node);
  session_options.pack_memory_bytes = options_.shares.packs;
  const auto open_once = [&] {
    return repo::WriteSession::open(*engine.repository_, *engine.index_, *engine.cache_, *engine.state_,
                                    session_options);
  };
  auto session = open_once();
  if (!session && engine.index_->damaged()) {
    FIRN_TRY(engine.index_->clear());
    session = open_once();
  }
  if (!session) {
    return Failure(std::move(session).error());
  }
  engine.session_ = *std::move(session);
  engine.session_opened_ = executor_.clock().steady();
  return {};
}

void Engines::tend(bool everything) {
  const base::TaskLock::Hold hold(opening_);
  const auto now = executor_.clock().steady();
  std::vector<std::shared_ptr<Engine>> to_end;
  std::vector<std::shared_ptr<Engine>> to_close;
  {
    auto engines = engines_.lock();
    for (auto one = engines->begin(); one != engines->end();) {
      Engine& engine = *one->second;
      const auto idle = now - engine.idle_since_;
      if (engine.jobs_ > 0) {
        ++one;
      } else if (everything || engine.broken_ || idle > kEngineIdleMax) {
        to_close.push_back(one->second);
        one = engines->erase(one);
      } else {
        if (engine.session_ && idle > kSessionIdleMax) {
          to_end.push_back(one->second);
        }
        ++one;
      }
    }
  }
  // Nobody can take a job into one of these: begin() waits for the hold.
  for (const auto& engine : to_end) {
    engine->session_->end();
    engine->session_.reset();
  }
  for (const auto& engine : to_close) {
    if (engine->session_ && !engine->broken_) {
      engine->session_->end();
    }
  }
}

}  // namespace firn::service
