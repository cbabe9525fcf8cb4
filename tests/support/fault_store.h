// A store that fails as told: by request number, by chance from a seed, or both.
//
// It stands between the code under test and a store that works, and counts what it did by operation, fault
// and phase, so that a test can tell that a fault really fired. A late write is answered as unknown and takes
// effect at some later request, or at release_late_writes(). Hooks before and after each request let a
// simulation crash a process there. Threads: any; nothing is locked while the inner store or a hook runs.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "repo/base/executor.h"
#include "repo/base/monitor.h"
#include "repo/base/rng.h"
#include "tests/support/forwarding_store.h"

namespace firn::test {

enum class Operation { Put, Get, GetRange, Head, List, Remove, Now };

enum class Fault {
  ErrorBefore,  // nothing happened, and the client knows: NotDone or Unavailable
  Denied,       // the same, for want of rights
  Exhausted,    // the same, for want of space; writes only
  LostRequest,  // writes: nothing happened, the answer is unknown
  LostAnswer,   // writes: it happened, the answer is unknown; reads: Unavailable
  LateWrite,    // writes: unknown, and it happens later
  NotFound,     // reads of an object: a 404 that is not true
  Truncated,    // get: the second half is missing
  Flipped,      // get, get_range: one bit is wrong
  EmptyList,    // list: a last page with nothing in it
  Stall,        // everything: as it should be, after an hour
};

inline constexpr std::array kFaults = {Fault::ErrorBefore, Fault::Denied,     Fault::Exhausted,
                                       Fault::LostRequest, Fault::LostAnswer, Fault::LateWrite,
                                       Fault::NotFound,    Fault::Truncated,  Fault::Flipped,
                                       Fault::EmptyList,   Fault::Stall};

inline bool applies(Operation operation, Fault fault) {
  const bool is_write = operation == Operation::Put || operation == Operation::Remove;
  switch (fault) {
    case Fault::ErrorBefore:
    case Fault::Denied:
    case Fault::LostAnswer:
    case Fault::Stall:
      return true;
    case Fault::Exhausted:
      return operation == Operation::Put;
    case Fault::LostRequest:
    case Fault::LateWrite:
      return is_write;
    case Fault::NotFound:
      return operation == Operation::Get || operation == Operation::GetRange || operation == Operation::Head;
    case Fault::Truncated:
      return operation == Operation::Get;
    case Fault::Flipped:
      return operation == Operation::Get || operation == Operation::GetRange;
    case Fault::EmptyList:
      return operation == Operation::List;
  }
  return false;
}

class FaultStore final : public ForwardingStore {
 public:
  struct Request {
    std::uint64_t index = 0;  // from 0, over all operations
    Operation operation = Operation::Put;
    std::string name;  // the object's, or the prefix of a LIST
  };
  using Hook = std::function<void(const Request&)>;
  using Counts = std::map<std::tuple<std::string, Operation, Fault>, std::uint64_t>;

  FaultStore(store::ObjectStore& inner, base::Executor& executor, std::uint64_t seed = 1)
      : ForwardingStore(inner), executor_(executor), rng_(seed) {}

  /// The request of this number meets this fault, if the fault applies to it.
  void fail_request(std::uint64_t index, Fault fault) { state_.lock()->script[index] = fault; }
  /// Every request from this one on does.
  void fail_from(std::uint64_t index, Fault fault) { state_.lock()->from = {index, fault}; }
  /// A request to which `fault` applies meets it so often out of a thousand.
  void set_rate(Fault fault, unsigned per_1000) { state_.lock()->rates[fault] = per_1000; }
  /// How often a pending late write happens at a request, out of a thousand.
  void set_late_write_rate(unsigned per_1000) { state_.lock()->late_per_1000 = per_1000; }
  /// No more faults; late writes stay pending.
  void heal() {
    auto state = state_.lock();
    state->script.clear();
    state->from.reset();
    state->rates.clear();
  }
  /// What the faults that follow are counted under.
  void set_phase(std::string phase) { state_.lock()->phase = std::move(phase); }
  /// Set before the store is used by several tasks.
  void set_hooks(Hook before, Hook after) {
    before_ = std::move(before);
    after_ = std::move(after);
  }
  void release_late_writes() {
    while (auto write = take_late_write(1000)) {
      static_cast<void>(apply(*write));
    }
  }

  std::uint64_t request_count() { return state_.lock()->next_index; }
  Counts counts() { return state_.lock()->counts; }
  std::uint64_t fired(Operation operation, Fault fault) {
    std::uint64_t sum = 0;
    for (const auto& [key, count] : counts()) {
      sum += std::get<1>(key) == operation && std::get<2>(key) == fault ? count : 0;
    }
    return sum;
  }

  store::Outcome put(const store::ObjectName& name, ByteView bytes, store::PutOptions options = {}) override {
    return write({name, to_bytes(bytes), options, Operation::Put});
  }
  store::Outcome remove(const store::ObjectName& name) override {
    return write({name, {}, {}, Operation::Remove});
  }

  Result<Bytes> get(const store::ObjectName& name, std::uint64_t size_bytes_max) override {
    return read<Bytes>({0, Operation::Get, name.str()}, [&](std::optional<Fault> fault) {
      auto bytes = inner_.get(name, size_bytes_max);
      if (bytes && fault == Fault::Truncated) {
        bytes->resize(bytes->size() / 2);
      }
      if (bytes && fault == Fault::Flipped) {
        flip(*bytes);
      }
      return bytes;
    });
  }
  Result<> get_range(const store::ObjectName& name, std::uint64_t offset, MutableBytes out) override {
    return read<void>({0, Operation::GetRange, name.str()}, [&](std::optional<Fault> fault) {
      auto done = inner_.get_range(name, offset, out);
      if (done && fault == Fault::Flipped) {
        flip(out);
      }
      return done;
    });
  }
  Result<std::uint64_t> head(const store::ObjectName& name) override {
    return read<std::uint64_t>({0, Operation::Head, name.str()},
                               [&](std::optional<Fault>) { return inner_.head(name); });
  }
  Result<store::ListPage> list(std::string_view prefix, std::string_view after,
                               std::uint32_t count_max) override {
    return read<store::ListPage>({0, Operation::List, std::string(prefix)}, [&](std::optional<Fault> fault) {
      return fault == Fault::EmptyList ? Result<store::ListPage>(store::ListPage{})
                                       : inner_.list(prefix, after, count_max);
    });
  }
  Result<base::WallTime> now() override {
    return read<base::WallTime>({0, Operation::Now, ""}, [&](std::optional<Fault>) { return inner_.now(); });
  }

 private:
  struct Write {
    store::ObjectName name;
    Bytes bytes;
    store::PutOptions options;
    Operation operation;
  };
  struct State {
    std::uint64_t next_index = 0;
    std::map<std::uint64_t, Fault> script;
    std::optional<std::pair<std::uint64_t, Fault>> from;
    std::map<Fault, unsigned> rates;
    unsigned late_per_1000 = 100;
    std::vector<Write> late;
    std::string phase;
    Counts counts;
  };

  store::Outcome apply(const Write& write) {
    return write.operation == Operation::Put ? inner_.put(write.name, write.bytes, write.options)
                                             : inner_.remove(write.name);
  }

  store::Outcome write(Write write) {
    Request request{0, write.operation, write.name.str()};
    const auto fault = begin(request);
    store::Outcome outcome = write_with(fault, write);
    if (after_) {
      after_(request);
    }
    return outcome;
  }

  store::Outcome write_with(std::optional<Fault> fault, Write& write) {
    if (!fault || *fault == Fault::Stall) {
      return apply(write);
    }
    switch (*fault) {
      case Fault::LostRequest:
        return store::Unknown{error(ErrorCode::Unavailable, write.name.str())};
      case Fault::LateWrite: {
        Error why = error(ErrorCode::Unavailable, write.name.str());
        state_.lock()->late.push_back(std::move(write));
        return store::Unknown{std::move(why)};
      }
      case Fault::LostAnswer:
        static_cast<void>(apply(write));
        return store::Unknown{error(ErrorCode::Unavailable, write.name.str())};
      case Fault::Denied:
        return store::NotDone{error(ErrorCode::Denied, write.name.str())};
      case Fault::Exhausted:
        return store::NotDone{error(ErrorCode::Exhausted, write.name.str())};
      default:
        return store::NotDone{error(ErrorCode::Unavailable, write.name.str())};
    }
  }

  template <class T, class Perform>
  Result<T> read(Request request, Perform perform) {
    const auto fault = begin(request);
    Result<T> result = read_with<T>(fault, request, perform);
    if (after_) {
      after_(request);
    }
    return result;
  }

  template <class T, class Perform>
  Result<T> read_with(std::optional<Fault> fault, const Request& request, Perform& perform) {
    if (fault == Fault::ErrorBefore || fault == Fault::LostAnswer) {
      return Failure(error(ErrorCode::Unavailable, request.name));
    }
    if (fault == Fault::Denied || fault == Fault::NotFound) {
      return Failure(error(*fault == Fault::Denied ? ErrorCode::Denied : ErrorCode::NotFound, request.name));
    }
    return perform(fault);
  }

  static Error error(ErrorCode code, const std::string& name) { return {code, "injected fault: " + name}; }

  /// Numbers the request, lets late writes happen, and draws its fault.
  std::optional<Fault> begin(Request& request) {
    request.index = state_.lock()->next_index++;
    if (before_) {
      before_(request);
    }
    const unsigned late_per_1000 = state_.lock()->late_per_1000;
    while (auto write = take_late_write(late_per_1000)) {
      static_cast<void>(apply(*write));
    }
    const auto fault = draw(request);
    if (fault == Fault::Stall) {
      executor_.sleep_for(std::chrono::hours(1));
    }
    return fault;
  }

  std::optional<Fault> draw(const Request& request) {
    auto state = state_.lock();
    std::optional<Fault> fault;
    if (const auto scripted = state->script.find(request.index); scripted != state->script.end()) {
      fault = scripted->second;
    } else if (state->from && request.index >= state->from->first) {
      fault = state->from->second;
    } else {
      for (const auto& [candidate, per_1000] : state->rates) {
        if (applies(request.operation, candidate) && rng_.below(1000) < per_1000) {
          fault = candidate;
          break;
        }
      }
    }
    if (!fault || !applies(request.operation, *fault)) {
      return std::nullopt;
    }
    ++state->counts[{state->phase, request.operation, *fault}];
    return fault;
  }

  std::optional<Write> take_late_write(unsigned per_1000) {
    auto state = state_.lock();
    if (state->late.empty() || rng_.below(1000) >= per_1000) {
      return std::nullopt;
    }
    const std::size_t chosen = rng_.below(state->late.size());
    Write write = std::move(state->late[chosen]);
    state->late.erase(state->late.begin() + static_cast<std::ptrdiff_t>(chosen));
    return write;
  }

  void flip(MutableBytes bytes) {
    if (!bytes.empty()) {
      const std::uint64_t bit = rng_.below(bytes.size() * 8);
      bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    }
  }

  base::Executor& executor_;
  base::SeededRng rng_;
  Hook before_;
  Hook after_;
  base::Guarded<State> state_;
};

}  // namespace firn::test
