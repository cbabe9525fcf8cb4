// Trying again: what is tried, how often, how long after, and what is said in the end. In virtual time.
#include "repo/store/retry_store.h"

#include <gtest/gtest.h>

#include <map>

#include "repo/base/seeded_executor.h"
#include "repo/store/memory_store.h"
#include "tests/support/fault_store.h"

namespace firn::store {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using test::Fault;
using test::FaultStore;
using test::Operation;

ObjectName name_of(std::string_view text) { return ObjectName::parse(text).value(); }

class RetryStoreTest : public testing::Test {
 protected:
  /// Runs `body` with a retrying store over `faults_`, as a task.
  void run(const std::function<void(ObjectStore&)>& body, const RetryOptions& options = {}) {
    executor_.run([&] {
      RetryStore store(test::client_of(faults_), executor_, rng_, &stop_, options);
      body(store);
    });
  }
  std::chrono::nanoseconds now() { return executor_.clock().steady().since_origin; }

  base::SeededExecutor executor_{1};
  base::SeededRng rng_{1};
  base::StopFlag stop_;
  MemoryStore memory_{executor_};
  FaultStore faults_{memory_, executor_};
  const ObjectName name_ = name_of("data/ab/x");
};

TEST_F(RetryStoreTest, TriesReadsAgainUntilTheyAreAnswered) {
  run([&](ObjectStore& store) {
    ASSERT_TRUE(store.put(name_, as_bytes("x")).done());
    const std::uint64_t first = faults_.request_count();
    faults_.fail_request(first, Fault::ErrorBefore);
    faults_.fail_request(first + 1, Fault::LostAnswer);
    EXPECT_EQ(as_text(store.get(name_, 10).value()), "x");
    EXPECT_EQ(faults_.request_count(), first + 3);
    for (const auto request : {0, 1, 2, 3}) {
      faults_.fail_request(faults_.request_count(), Fault::ErrorBefore);
      Bytes one(1);
      EXPECT_TRUE(request == 0   ? store.get_range(name_, 0, one).has_value()
                  : request == 1 ? store.head(name_).has_value()
                  : request == 2 ? store.list("", "", 10).has_value()
                                 : store.now().has_value());
    }
  });
}

TEST_F(RetryStoreTest, GivesUpAfterItsAttempts) {
  faults_.fail_from(0, Fault::ErrorBefore);
  run(
      [&](ObjectStore& store) {
        const auto got = store.get(name_, 10);
        ASSERT_FALSE(got.has_value());
        EXPECT_EQ(got.error().code, ErrorCode::Unavailable);
        EXPECT_NE(got.error().message.find("(tried 4 times)"), std::string::npos) << got.error().message;
        EXPECT_EQ(faults_.request_count(), 4U);
      },
      {.attempts_max = 4});
}

TEST_F(RetryStoreTest, GivesUpWhenItsTimeIsOver) {
  faults_.fail_from(0, Fault::ErrorBefore);
  run(
      [&](ObjectStore& store) {
        EXPECT_FALSE(store.get(name_, 10).has_value());
        EXPECT_LE(now(), minutes(5));
        EXPECT_GT(now(), minutes(4));
      },
      {.attempts_max = 1'000'000, .total_max = minutes(5), .total_max_at_first = minutes(5)});
}

TEST_F(RetryStoreTest, DoublesItsDelaysAndShortensEachByChance) {
  faults_.fail_from(0, Fault::ErrorBefore);
  std::vector<std::chrono::nanoseconds> times;
  faults_.set_hooks([&](const FaultStore::Request&) { times.push_back(now()); }, {});
  run([&](ObjectStore& store) { EXPECT_FALSE(store.head(name_).has_value()); },
      {.attempts_max = 8, .first_delay = milliseconds(100), .delay_max = milliseconds(1000)});
  ASSERT_EQ(times.size(), 8U);
  bool any_shortened = false;
  for (std::size_t i = 1; i < times.size(); ++i) {
    const milliseconds full = std::min(milliseconds(100) * (1 << (i - 1)), milliseconds(1000));
    const auto delay = std::chrono::duration_cast<milliseconds>(times[i] - times[i - 1]);
    EXPECT_GE(delay, full / 2) << i;
    EXPECT_LE(delay, full + milliseconds(1)) << i;
    any_shortened = any_shortened || delay < full - milliseconds(1);
  }
  EXPECT_TRUE(any_shortened);
}

TEST_F(RetryStoreTest, GivesUpAPlaceThatHasNeverAnsweredSoon) {
  run([&](ObjectStore& store) {
    faults_.fail_from(0, Fault::ErrorBefore);
    EXPECT_FALSE(store.head(name_).has_value());
    EXPECT_LE(now(), seconds(15));
    faults_.heal();
    EXPECT_EQ(store.head(name_).error().code, ErrorCode::NotFound);
    const auto answered = now();
    faults_.fail_from(faults_.request_count(), Fault::ErrorBefore);
    EXPECT_FALSE(store.head(name_).has_value());
    EXPECT_GT(now() - answered, seconds(30));
  });
}

TEST_F(RetryStoreTest, WaitsTheLongestDelayWhileItsBudgetIsUsedUp) {
  run(
      [&](ObjectStore& store) {
        ASSERT_TRUE(store.put(name_, as_bytes("x")).done());
        // Two further attempts are free, the third is not.
        for (const bool is_slow : {false, false, true}) {
          faults_.fail_request(faults_.request_count(), Fault::ErrorBefore);
          const auto before = now();
          EXPECT_TRUE(store.head(name_).has_value());
          EXPECT_EQ(now() - before >= seconds(10), is_slow);
        }
        for (int i = 0; i < 5; ++i) {
          EXPECT_TRUE(store.head(name_).has_value());
        }
        faults_.fail_request(faults_.request_count(), Fault::ErrorBefore);
        const auto before = now();
        EXPECT_TRUE(store.head(name_).has_value());
        EXPECT_LT(now() - before, seconds(1));
      },
      {.delay_max = seconds(20), .budget_max = 2, .budget_per_answer = 0.2});
}

TEST_F(RetryStoreTest, TakesOtherErrorsForAnswers) {
  run([&](ObjectStore& store) {
    EXPECT_EQ(store.get(name_, 10).error().code, ErrorCode::NotFound);
    EXPECT_EQ(faults_.request_count(), 1U);
    faults_.fail_from(1, Fault::Denied);
    EXPECT_EQ(store.head(name_).error().code, ErrorCode::Denied);
    EXPECT_EQ(faults_.request_count(), 2U);
    const Outcome put = store.put(name_, as_bytes("x"));
    EXPECT_FALSE(put.done() || put.unknown());
    EXPECT_EQ(faults_.request_count(), 3U);
  });
}

TEST_F(RetryStoreTest, SendsAWriteAgainWhenItsAnswerWasLost) {
  for (const Fault fault : {Fault::LostRequest, Fault::LostAnswer, Fault::ErrorBefore}) {
    run([&](ObjectStore& store) {
      const ObjectName name = name_of("data/" + std::to_string(static_cast<int>(fault)));
      faults_.fail_request(faults_.request_count(), fault);
      EXPECT_TRUE(store.put(name, as_bytes("x")).done());
      EXPECT_TRUE(memory_.head(name).has_value());
      faults_.fail_request(faults_.request_count(), fault);
      EXPECT_TRUE(store.remove(name).done());
      EXPECT_FALSE(memory_.head(name).has_value());
    });
    EXPECT_EQ(faults_.fired(Operation::Put, fault), 1U);
    EXPECT_EQ(faults_.fired(Operation::Remove, fault), 1U);
  }
}

TEST_F(RetryStoreTest, KnowsThatAWriteWhoseEveryAttemptWasRefusedIsNotDone) {
  faults_.fail_from(0, Fault::ErrorBefore);
  run([&](ObjectStore& store) {
    const Outcome put = store.put(name_, as_bytes("x"));
    EXPECT_FALSE(put.done() || put.unknown());
    EXPECT_EQ(put.why().code, ErrorCode::Unavailable);
  });
}

TEST_F(RetryStoreTest, DoesNotKnowAfterOneLostAnswerWhateverCameLater) {
  for (const Fault later : {Fault::ErrorBefore, Fault::Denied, Fault::Exhausted, Fault::LostRequest}) {
    run([&](ObjectStore& store) {
      const std::uint64_t first = faults_.request_count();
      faults_.fail_request(first, Fault::LostRequest);
      faults_.fail_from(first + 1, later);
      EXPECT_TRUE(store.put(name_, as_bytes("x")).unknown());
      faults_.heal();
    });
  }
}

TEST_F(RetryStoreTest, DoesNotKnowWhenSomethingElseIsThereAfterALostAnswer) {
  run([&](ObjectStore& store) {
    ASSERT_TRUE(memory_.put(name_, as_bytes("other")).done());
    faults_.fail_request(faults_.request_count(), Fault::LostRequest);
    EXPECT_TRUE(store.put(name_, as_bytes("x")).unknown());
    const Outcome known = store.put(name_, as_bytes("x"));
    EXPECT_FALSE(known.unknown());
    EXPECT_EQ(known.why().code, ErrorCode::Exists);
  });
}

TEST_F(RetryStoreTest, ALateWriteIsHarmlessAfterItsRepetition) {
  run([&](ObjectStore& store) {
    faults_.set_late_write_rate(0);
    faults_.fail_request(faults_.request_count(), Fault::LateWrite);
    ASSERT_TRUE(store.put(name_, as_bytes("x")).done());
    faults_.release_late_writes();
    EXPECT_EQ(as_text(store.get(name_, 10).value()), "x");
  });
}

TEST_F(RetryStoreTest, EndsItsWaitingOnStop) {
  faults_.fail_from(0, Fault::ErrorBefore);
  run(
      [&](ObjectStore& store) {
        const auto stopper = executor_.spawn("stopper", [&] {
          executor_.sleep_for(seconds(2));
          stop_.request();
        });
        EXPECT_FALSE(store.get(name_, 10).has_value());
        EXPECT_LT(now(), seconds(3));
        EXPECT_EQ(faults_.request_count(), 1U);
      },
      {.first_delay = minutes(1), .delay_max = minutes(1)});
}

TEST_F(RetryStoreTest, KeepsItsWordOnEveryWriteWhateverHappensToIt) {
  std::uint64_t fired = 0;
  int unknown = 0;
  int not_done = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    base::SeededExecutor executor(seed);
    MemoryStore memory(executor);
    FaultStore faults(memory, executor, seed);
    for (const Fault fault : {Fault::ErrorBefore, Fault::LostRequest, Fault::LostAnswer, Fault::LateWrite}) {
      faults.set_rate(fault, 150);
    }
    std::map<std::string, Outcome> outcomes;
    executor.run([&] {
      {
        RetryStore store(test::client_of(faults), executor, rng_, nullptr, {.attempts_max = 2});
        std::vector<std::unique_ptr<base::Task>> tasks;
        for (int task = 0; task < 3; ++task) {
          tasks.push_back(executor.spawn("puts", [&, task] {
            for (int i = 0; i < 5; ++i) {
              const std::string name = "data/" + std::to_string(task) + "/" + std::to_string(i);
              const Outcome outcome = store.put(name_of(name), as_bytes(name));
              EXPECT_TRUE(!outcome.done() || memory.head(name_of(name)).has_value()) << name;
              outcomes.emplace(name, outcome);
            }
          }));
        }
      }
      faults.release_late_writes();
      for (const auto& [name, outcome] : outcomes) {
        const auto got = memory.get(name_of(name), 100);
        EXPECT_TRUE(outcome.unknown() || got.has_value() == outcome.done()) << name;
        EXPECT_TRUE(!got || as_text(*got) == name);
        unknown += outcome.unknown() ? 1 : 0;
        not_done += !outcome.done() && !outcome.unknown() ? 1 : 0;
      }
    });
    for (const auto& [key, count] : faults.counts()) {
      fired += count;
    }
  }
  EXPECT_GT(fired, 1000U);
  EXPECT_GT(unknown, 100);
  EXPECT_GT(not_done, 10);
}

// The store for tests itself: a fault that does not do what it says would make every test above it worthless.

TEST_F(RetryStoreTest, FaultsDoWhatTheySay) {
  executor_.run([&] {
    const auto with = [&](Fault fault, auto request) {
      faults_.fail_request(faults_.request_count(), fault);
      return request();
    };
    const auto put = [&] { return faults_.put(name_, as_bytes("12345678")); };
    const auto is_there = [&] { return memory_.head(name_).has_value(); };
    EXPECT_TRUE(with(Fault::LostRequest, put).unknown());
    EXPECT_FALSE(is_there());
    faults_.set_late_write_rate(0);
    EXPECT_TRUE(with(Fault::LateWrite, put).unknown());
    EXPECT_FALSE(is_there());
    faults_.release_late_writes();
    EXPECT_TRUE(is_there());
    EXPECT_EQ(with(Fault::Truncated, [&] { return faults_.get(name_, 10); }).value().size(), 4U);
    const Bytes flipped = with(Fault::Flipped, [&] { return faults_.get(name_, 10); }).value();
    EXPECT_EQ(flipped.size(), 8U);
    EXPECT_NE(as_text(flipped), "12345678");
    EXPECT_EQ(with(Fault::NotFound, [&] { return faults_.get(name_, 10); }).error().code,
              ErrorCode::NotFound);
    EXPECT_TRUE(with(Fault::EmptyList, [&] { return faults_.list("", "", 10); })->objects.empty());
    const auto before = now();
    EXPECT_TRUE(with(Fault::Stall, [&] { return faults_.head(name_); }).has_value());
    EXPECT_GE(now() - before, std::chrono::hours(1));
    EXPECT_EQ(as_text(faults_.get(name_, 10).value()), "12345678");
    EXPECT_TRUE(with(Fault::LostAnswer, [&] { return faults_.remove(name_); }).unknown());
    EXPECT_FALSE(is_there());
    EXPECT_EQ(faults_.fired(Operation::Put, Fault::LateWrite), 1U);
    EXPECT_EQ(faults_.fired(Operation::List, Fault::EmptyList), 1U);
    EXPECT_EQ(faults_.fired(Operation::List, Fault::Stall), 0U);
  });
}

TEST_F(RetryStoreTest, FaultsByChanceRepeatWithTheirSeedAndAreCountedByPhase) {
  const auto counts = [&](std::uint64_t seed) {
    FaultStore faults(memory_, executor_, seed);
    faults.set_rate(Fault::NotFound, 300);
    faults.set_rate(Fault::ErrorBefore, 100);
    for (const char* phase : {"first", "second"}) {
      faults.set_phase(phase);
      for (int i = 0; i < 100; ++i) {
        static_cast<void>(faults.head(name_));
        static_cast<void>(faults.list("", "", 1));
      }
    }
    return faults.counts();
  };
  const auto first = counts(1);
  EXPECT_EQ(first, counts(1));
  EXPECT_NE(first, counts(2));
  EXPECT_GT(first.at({"first", Operation::Head, Fault::NotFound}), 10U);
  EXPECT_GT(first.at({"second", Operation::List, Fault::ErrorBefore}), 2U);
  EXPECT_FALSE(first.contains({"first", Operation::List, Fault::NotFound}));
}

TEST_F(RetryStoreTest, ItsHookCanCrashAProcessAtARequest) {
  int answered = 0;
  executor_.run([&] {
    faults_.set_hooks({}, [&](const FaultStore::Request& request) {
      if (request.index == 2) {
        executor_.crash("node");
      }
    });
    const auto process = executor_.spawn_in("node", "puts", [&] {
      for (int i = 0; i < 10; ++i) {
        static_cast<void>(faults_.put(name_of("data/" + std::to_string(i)), as_bytes("x")));
        ++answered;
      }
    });
    process->join();
    EXPECT_EQ(memory_.list("", "", 100)->objects.size(), 3U);
  });
  EXPECT_EQ(answered, 2);
}

}  // namespace
}  // namespace firn::store
