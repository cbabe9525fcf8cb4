// A store as one simulated process sees it: shared with all others, and broken from a seed.
//
// Beside errors before and after a request takes effect: writes that happen long after they were given up,
// writes that happen twice, LIST pages that are moments apart, 404s that are not true (never for a fence's
// HEAD, unless told), pauses of hours, a store's clock that is days off, and the death of the process at a
// request. Threads: the tasks of one seeded executor.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "repo/base/rng.h"
#include "repo/base/seeded_executor.h"
#include "repo/store/memory_store.h"
#include "tests/support/forwarding_store.h"

namespace firn::test {

enum class SimFault : std::uint8_t {
  ErrorBefore,
  LostRequest,
  LostAnswer,
  LateWrite,
  Duplicate,
  SpuriousNotFound,
  ReadError,
  Pause,
  Crash,
  LateApplied,
  Count
};
inline constexpr std::array<const char*, static_cast<std::size_t>(SimFault::Count)> kSimFaultNames = {
    "error before",     "lost request", "lost answer", "late write", "duplicate",
    "untrue not found", "read error",   "pause",       "crash",      "late write applied"};

/// What all processes of a run share beside the objects.
struct SimWorld {
  struct Write {
    store::ObjectName name;
    Bytes bytes;
    store::PutOptions options;
    bool is_put = false;
  };
  base::SeededExecutor& executor;
  base::SeededRng& rng;
  store::MemoryStore& objects;
  std::vector<Write> late = {};
  std::map<std::pair<std::string, SimFault>, std::uint64_t> fired = {};
  std::function<void(const std::string& domain)> on_crash = {};
  /// Twentieths of the usual rates: 0 = none.
  unsigned fault_level = 20;

  bool happens(unsigned per_10000) { return rng.below(200'000) < std::uint64_t{per_10000} * fault_level; }
  void count(const char* operation, SimFault fault) { fired[{operation, fault}] += 1; }
  void apply(const Write& write) {
    static_cast<void>(write.is_put ? objects.put(write.name, write.bytes, write.options)
                                   : objects.remove(write.name));
  }
  void apply_one_late() {
    if (late.empty()) {
      return;
    }
    const std::size_t chosen = rng.below(late.size());
    const Write write = std::move(late[chosen]);
    late.erase(late.begin() + static_cast<std::ptrdiff_t>(chosen));
    count(write.is_put ? "PUT" : "DELETE", SimFault::LateApplied);
    apply(write);
  }
};

/// Protocol steps that a process goes without: its store lies to it, so that the product needs no switch.
struct SessionLies {
  bool no_fence_seen = false;    // I5: the HEAD of its own fence says 404
  bool marker_late = false;      // I7: the marker is stored when the view has been read
  bool packs_late = false;       // I3: packs are stored long after they were answered
  bool index_late = false;       // I2: index objects likewise
  bool old_maintenance = false;  // I7: records that came since the process began are not listed
};

class SimStore final : public ForwardingStore {
 public:
  SimStore(SimWorld& world, const SessionLies& lies)
      : ForwardingStore(world.objects), world_(world), lies_(lies) {
    if (lies.old_maintenance) {
      remember_maintenance();
    }
  }

  /// Faults begin: what came before was the opening of the repository.
  void arm() { armed_ = true; }
  void set_may_crash(bool may) { may_crash_ = may; }

  store::Outcome put(const store::ObjectName& name, ByteView bytes, store::PutOptions options = {}) override {
    return write("PUT", {name, to_bytes(bytes), options, true});
  }
  store::Outcome remove(const store::ObjectName& name) override {
    return write("DELETE", {name, {}, {}, false});
  }
  Result<Bytes> get(const store::ObjectName& name, std::uint64_t size_bytes_max) override {
    FIRN_TRY(before_read("GET", name.str()));
    return inner_.get(name, size_bytes_max);
  }
  Result<> get_range(const store::ObjectName& name, std::uint64_t offset, MutableBytes out) override {
    FIRN_TRY(before_read("RANGE", name.str()));
    return inner_.get_range(name, offset, out);
  }
  Result<std::uint64_t> head(const store::ObjectName& name) override {
    FIRN_TRY(before_read("HEAD", name.str()));
    if (lies_.no_fence_seen && name.str().starts_with(format::kFencePrefix)) {
      return fail(ErrorCode::NotFound, "no fence");
    }
    return inner_.head(name);
  }
  Result<store::ListPage> list(std::string_view prefix, std::string_view after,
                               std::uint32_t count_max) override {
    FIRN_TRY(before_read("LIST", ""));
    const auto page_max = static_cast<std::uint32_t>(armed_ ? 1 + world_.rng.below(8) : 1000);
    FIRN_LET(store::ListPage page, inner_.list(prefix, after, std::min(count_max, page_max)));
    if (lies_.old_maintenance && prefix == format::kMaintPrefix) {
      std::erase_if(page.objects, [&](const store::ListedObject& object) {
        return !std::binary_search(old_records_.begin(), old_records_.end(), object.name.str());
      });
      if (page.objects.empty()) {
        page.last = true;
      }
    }
    if (prefix == format::kIndexPrefix && page.last) {
      release_marker();
    }
    return page;
  }
  Result<base::WallTime> now() override {
    FIRN_LET(base::WallTime now, inner_.now());
    // Days off, and never the same: what follows from it may only be a fence too many.
    if (armed_ && world_.happens(2000)) {
      constexpr std::int64_t kDay = 86'400'000'000'000;
      now.nanoseconds += (static_cast<std::int64_t>(world_.rng.below(9)) - 4) * kDay;
    }
    return now;
  }
  unsigned parallel_requests() const override { return 2; }

 private:
  void remember_maintenance() {
    static_cast<void>(store::list_all(world_.objects, format::kMaintPrefix,
                                      [&](const store::ListedObject& object) -> Result<> {
                                        old_records_.push_back(object.name.str());
                                        return {};
                                      }));
  }

  void begin(const char* operation) {
    if (world_.happens(300)) {
      world_.apply_one_late();
    }
    if (!armed_) {
      return;
    }
    if (deferred_left_ > 0 && --deferred_left_ == 0) {
      apply_deferred();
    }
    if (world_.happens(60)) {
      world_.count(operation, SimFault::Pause);
      world_.executor.sleep_for(std::chrono::minutes(1 + world_.rng.below(600)));
    }
    if (may_crash_ && world_.happens(60)) {
      world_.count(operation, SimFault::Crash);
      const std::string domain = world_.executor.current_domain();
      world_.on_crash(domain);
      world_.executor.crash(domain);
    }
  }

  Result<> before_read(const char* operation, const std::string& name) {
    begin(operation);
    if (!armed_) {
      return {};
    }
    if (world_.happens(40)) {
      world_.count(operation, SimFault::ReadError);
      return fail(ErrorCode::Unavailable, "injected: no answer, " + name);
    }
    if (!name.empty() && !name.starts_with(format::kFencePrefix) && world_.happens(20)) {
      world_.count(operation, SimFault::SpuriousNotFound);
      return fail(ErrorCode::NotFound, "injected: not found, " + name);
    }
    return {};
  }

  store::Outcome write(const char* operation, SimWorld::Write write) {
    begin(operation);
    if (!armed_) {
      return apply(write);
    }
    if (lies_.marker_late && !marker_ && write.name.str().starts_with(format::kSessionsPrefix)) {
      marker_ = std::make_unique<SimWorld::Write>(std::move(write));
      return store::Done{};
    }
    const bool is_pack = write.name.str().starts_with(format::kDataPrefix) ||
                         write.name.str().starts_with(format::kMetaPrefix);
    const bool is_index = write.name.str().starts_with(format::kIndexPrefix);
    if (write.is_put && ((lies_.packs_late && is_pack) || (lies_.index_late && is_index))) {
      deferred_.push_back(std::move(write));
      deferred_left_ = 40;
      return store::Done{};
    }
    if (world_.happens(15)) {
      world_.count(operation, SimFault::ErrorBefore);
      return store::NotDone{Error{ErrorCode::Unavailable, "injected: refused"}};
    }
    if (world_.happens(15)) {
      world_.count(operation, SimFault::LostRequest);
      return store::Unknown{Error{ErrorCode::Unavailable, "injected: lost"}};
    }
    if (world_.happens(15)) {
      world_.count(operation, SimFault::LateWrite);
      world_.late.push_back(std::move(write));
      return store::Unknown{Error{ErrorCode::Unavailable, "injected: late"}};
    }
    if (world_.happens(15)) {
      world_.count(operation, SimFault::LostAnswer);
      static_cast<void>(apply(write));
      return store::Unknown{Error{ErrorCode::Unavailable, "injected: answer lost"}};
    }
    if (world_.happens(100)) {
      world_.count(operation, SimFault::Duplicate);
      world_.late.push_back(write);
    }
    return apply(write);
  }
  store::Outcome apply(const SimWorld::Write& write) {
    return write.is_put ? inner_.put(write.name, write.bytes, write.options) : inner_.remove(write.name);
  }
  void release_marker() {
    if (marker_ && !marker_released_) {
      marker_released_ = true;
      world_.apply(*marker_);
    }
  }
  void apply_deferred() {
    for (const SimWorld::Write& write : std::exchange(deferred_, {})) {
      world_.apply(write);
    }
  }

  SimWorld& world_;
  const SessionLies lies_;
  bool armed_ = false;
  bool may_crash_ = true;
  std::vector<std::string> old_records_;
  std::unique_ptr<SimWorld::Write> marker_;
  bool marker_released_ = false;
  std::vector<SimWorld::Write> deferred_;
  unsigned deferred_left_ = 0;
};

}  // namespace firn::test
