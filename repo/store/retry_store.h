// A store that tries again: for stores behind a network.
//
// Promise: the outcomes of ObjectStore, more often Done. Only Unavailable and unknown outcomes are tried
// again; NotFound, Denied and the rest are answers. Objects are immutable and an equal one counts as done, so
// a PUT (or a DELETE) whose answer was lost may be sent again; when none of the attempts is Done and one of
// them was Unknown, the whole is Unknown, whatever the last attempt said: the lost one may still take effect.
//
// Delays double from the first to the largest, each shortened by chance by up to a half, so that clients who
// failed together do not come back together. All requests of a store share a budget: each further attempt
// takes from it, each answer gives some back, and while it is used up every delay is the largest one, so that
// a server in trouble is not kept there. A place that has never answered is given up soon: most likely its
// name is wrong. A request to stop ends the waiting within a quarter of a second. Threads: any.
#pragma once

#include <chrono>
#include <memory>

#include "repo/base/executor.h"
#include "repo/base/monitor.h"
#include "repo/base/rng.h"
#include "repo/base/stop.h"
#include "repo/store/object_store.h"

namespace firn::store {

struct RetryOptions {
  int attempts_max = 10;
  std::chrono::milliseconds first_delay{200};
  std::chrono::milliseconds delay_max{std::chrono::seconds{30}};
  /// No attempt begins later than this after the first.
  std::chrono::milliseconds total_max{std::chrono::minutes{15}};
  /// The same until the store has answered for the first time.
  std::chrono::milliseconds total_max_at_first{std::chrono::seconds{15}};
  /// Further attempts that may be made at once without an answer in between.
  double budget_max = 500;
  /// What an answer gives back: in the long run no more than so many further attempts a request.
  double budget_per_answer = 0.5;
};

class RetryStore final : public ObjectStore {
 public:
  /// `executor`, `rng` and `stop` (may be null) must outlive the store.
  RetryStore(std::unique_ptr<ObjectStore> inner, base::Executor& executor, base::Rng& rng,
             const base::StopFlag* stop = nullptr, const RetryOptions& options = {})
      : inner_(std::move(inner)),
        executor_(executor),
        rng_(rng),
        stop_(stop),
        options_(options),
        health_(Health{.budget = options.budget_max}) {}

  Outcome put(const ObjectName& name, ByteView bytes, PutOptions options = {}) override;
  Result<Bytes> get(const ObjectName& name, std::uint64_t size_bytes_max) override;
  Result<> get_range(const ObjectName& name, std::uint64_t offset, MutableBytes out) override;
  Result<std::uint64_t> head(const ObjectName& name) override;
  Result<ListPage> list(std::string_view prefix, std::string_view after, std::uint32_t count_max) override;
  Outcome remove(const ObjectName& name) override;
  Result<base::WallTime> now() override;
  std::string describe() const override { return inner_->describe(); }
  std::chrono::seconds deletion_delay() const override { return inner_->deletion_delay(); }
  unsigned parallel_requests() const override { return inner_->parallel_requests(); }

 private:
  class Attempts;
  struct Health {
    double budget = 0;
    bool has_answered = false;
  };

  template <class Read>
  auto retry_read(Read read) -> decltype(read());
  template <class Write>
  Outcome retry_write(Write write);

  std::unique_ptr<ObjectStore> inner_;
  base::Executor& executor_;
  base::Rng& rng_;
  const base::StopFlag* stop_;
  const RetryOptions options_;
  base::Guarded<Health> health_;
};

}  // namespace firn::store
