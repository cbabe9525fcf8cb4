#include "repo/store/retry_store.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace firn::store {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// How often one request was tried, and how long to wait before the next time.
class RetryStore::Attempts {
 public:
  explicit Attempts(RetryStore& store) : store_(store), start_(store.executor_.clock().steady()) {}

  /// Waits. False when there is to be no further attempt.
  bool wait_for_next() {
    const RetryOptions& options = store_.options_;
    const auto [has_budget, has_answered] = draw_on_budget();
    const milliseconds delay = shortened_by_chance(has_budget ? next_delay() : options.delay_max);
    const milliseconds total_max =
        has_answered ? options.total_max : std::min(options.total_max, options.total_max_at_first);
    const nanoseconds elapsed = store_.executor_.clock().steady() - start_;
    if (count_ >= options.attempts_max || elapsed + delay > total_max || !sleep(delay)) {
      return false;
    }
    ++count_;
    return true;
  }

  /// The store said something, be it a refusal.
  void answered() {
    auto health = store_.health_.lock();
    health->has_answered = true;
    health->budget = std::min(store_.options_.budget_max, health->budget + store_.options_.budget_per_answer);
  }
  /// " (tried 3 times)", for the message.
  std::string told() const {
    return count_ <= 1 ? std::string() : " (tried " + std::to_string(count_) + " times)";
  }

 private:
  struct Drawn {
    bool has_budget;
    bool has_answered;
  };
  Drawn draw_on_budget() {
    auto health = store_.health_.lock();
    const bool has_budget = health->budget >= 1;
    health->budget -= has_budget ? 1 : 0;
    return {has_budget, health->has_answered};
  }
  milliseconds next_delay() const {
    milliseconds delay = store_.options_.first_delay;
    for (int i = 1; i < count_ && delay < store_.options_.delay_max; ++i) {
      delay *= 2;
    }
    return std::min(delay, store_.options_.delay_max);
  }
  milliseconds shortened_by_chance(milliseconds delay) {
    std::uint32_t draw = 0;
    store_.rng_.fill(std::as_writable_bytes(std::span(&draw, 1)));
    const std::int64_t half = delay.count() / 2;
    return milliseconds(delay.count() - half + (half > 0 ? static_cast<std::int64_t>(draw) % (half + 1) : 0));
  }

  bool sleep(milliseconds delay) {
    constexpr milliseconds kStep{250};
    while (delay > milliseconds(0)) {
      if (stopped()) {
        return false;
      }
      const milliseconds step = std::min(delay, kStep);
      store_.executor_.sleep_for(step);
      delay -= step;
    }
    return !stopped();
  }

  bool stopped() const { return store_.stop_ != nullptr && store_.stop_->requested(); }

  RetryStore& store_;
  const base::SteadyTime start_;
  int count_ = 1;
};

template <class Read>
auto RetryStore::retry_read(Read read) -> decltype(read()) {
  Attempts attempts(*this);
  while (true) {
    auto result = read();
    if (result || result.error().code != ErrorCode::Unavailable) {
      attempts.answered();
      return result;
    }
    if (!attempts.wait_for_next()) {
      result.error().message += attempts.told();
      return result;
    }
  }
}

template <class Write>
Outcome RetryStore::retry_write(Write write) {
  Attempts attempts(*this);
  bool any_unknown = false;
  while (true) {
    Outcome outcome = write();
    if (outcome.done()) {
      attempts.answered();
      return outcome;
    }
    any_unknown = any_unknown || outcome.unknown();
    const bool again = outcome.unknown() || outcome.why().code == ErrorCode::Unavailable;
    if (!again || !attempts.wait_for_next()) {
      Error why = outcome.why();
      why.message += attempts.told();
      return any_unknown ? Outcome(Unknown{std::move(why)}) : Outcome(NotDone{std::move(why)});
    }
  }
}

Outcome RetryStore::put(const ObjectName& name, ByteView bytes, PutOptions options) {
  return retry_write([&] { return inner_->put(name, bytes, options); });
}

Result<Bytes> RetryStore::get(const ObjectName& name, std::uint64_t size_bytes_max) {
  return retry_read([&] { return inner_->get(name, size_bytes_max); });
}

Result<> RetryStore::get_range(const ObjectName& name, std::uint64_t offset, MutableBytes out) {
  return retry_read([&] { return inner_->get_range(name, offset, out); });
}

Result<std::uint64_t> RetryStore::head(const ObjectName& name) {
  return retry_read([&] { return inner_->head(name); });
}

Result<ListPage> RetryStore::list(std::string_view prefix, std::string_view after, std::uint32_t count_max) {
  return retry_read([&] { return inner_->list(prefix, after, count_max); });
}

Outcome RetryStore::remove(const ObjectName& name) {
  return retry_write([&] { return inner_->remove(name); });
}

Result<base::WallTime> RetryStore::now() {
  return retry_read([&] { return inner_->now(); });
}

}  // namespace firn::store
