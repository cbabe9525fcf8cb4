// What ObjectStore promises, as one suite for every store.
//
// A program instantiates it with its stores:
//   INSTANTIATE_TEST_SUITE_P(Memory, ObjectStoreSuite, testing::Values(StoreCase{...}), case_name);
// A place outlives its clients; a client of its own per thread or process is what real use looks like.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "repo/base/rng.h"
#include "repo/store/object_store.h"

namespace firn::store {

/// Where objects are kept for one test.
class StorePlace {
 public:
  virtual ~StorePlace() = default;
  /// A new client of this place.
  virtual std::unique_ptr<ObjectStore> connect() = 0;
};

struct StoreCase {
  const char* name;
  std::function<std::unique_ptr<StorePlace>()> make_place;
  bool tells_exists = true;                  // a PUT of other bytes under a name in use is NotDone(Exists)
  bool serves_processes = false;             // clients may be in several processes
  bool lists_slowly = false;                 // a few of the many listings will do
  std::int64_t clock_slack_nanoseconds = 0;  // by which now() and the times in a listing may differ
  std::size_t large_bytes = (64U << 20) + 1;
};

inline std::string case_name(const testing::TestParamInfo<StoreCase>& instance) {
  return instance.param.name;
}

inline ObjectName name_of(std::string_view text) {
  auto name = ObjectName::parse(text);
  EXPECT_TRUE(name.has_value()) << text;
  return name ? *name : ObjectName();
}

/// Bytes that tell from where they are: a cut or a mixture of two never looks whole.
inline Bytes pattern(std::uint64_t seed, std::size_t size_bytes) {
  Bytes bytes(size_bytes);
  base::SeededRng(seed).fill(bytes);
  return bytes;
}

class ObjectStoreSuite : public testing::TestWithParam<StoreCase> {
 protected:
  void SetUp() override {
    place_ = GetParam().make_place();
    ASSERT_TRUE(place_);
    store_ = place_->connect();
    ASSERT_TRUE(store_);
  }

  void put(std::string_view name, ByteView bytes) {
    const Outcome outcome = store_->put(name_of(name), bytes);
    ASSERT_TRUE(outcome.done()) << name << ": " << outcome.why().message;
  }
  void put_all(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      put(name, as_bytes(name));
    }
  }
  /// All names in pages of `count_max`.
  std::vector<std::string> list(std::string_view prefix, std::uint32_t count_max, std::string after = "") {
    std::vector<std::string> names;
    while (true) {
      const auto page = store_->list(prefix, after, count_max);
      if (!page) {
        ADD_FAILURE() << page.error().message;
        return names;
      }
      EXPECT_LE(page->objects.size(), count_max);
      for (const ListedObject& object : page->objects) {
        names.push_back(object.name.str());
      }
      if (page->last) {
        return names;
      }
      if (page->objects.empty()) {
        ADD_FAILURE() << "a page with nothing in it that is not the last";
        return names;
      }
      after = names.back();
    }
  }
  static std::vector<std::string> expected(std::vector<std::string> names, std::string_view prefix,
                                           std::string_view after = "") {
    std::erase_if(names, [&](const std::string& name) { return !name.starts_with(prefix) || name <= after; });
    std::sort(names.begin(), names.end());
    return names;
  }

  std::unique_ptr<StorePlace> place_;
  std::unique_ptr<ObjectStore> store_;
};

/// Names whose order is easily got wrong: '-' and '.' sort before '/', digits and letters after.
inline std::vector<std::string> tricky_names() {
  return {"config/00000001",
          "sessions/ab",
          "sessions/ab.end",
          "sessions/ab.hb",
          "sessions/ab-1",
          "sessions/abc",
          "sessions/abc.end",
          "index/0000/a-1",
          "index/0000/a-2",
          "index/0000/a/deeper",
          "index/0000-x",
          "index/0000.y",
          "index/00000",
          "index/0001/b",
          "data/00/0",
          "data/00/00",
          "data/0-/x",
          "data/0./x",
          "data/0/x",
          "data/ff/ff",
          "data.x",
          "data-x",
          "data0",
          "maint/fence/1",
          "maint/condemn/1",
          "z"};
}

TEST_P(ObjectStoreSuite, GivesBackWhatWasPut) {
  for (const std::size_t size : {0U, 1U, 16U, 4095U, 4096U, 100'000U}) {
    SCOPED_TRACE(size);
    const std::string name = "data/ab/" + std::to_string(size);
    const Bytes bytes = pattern(size + 1, size);
    put(name, bytes);
    const auto got = store_->get(name_of(name), size);
    ASSERT_TRUE(got.has_value()) << got.error().message;
    EXPECT_EQ(*got, bytes);
    EXPECT_EQ(store_->head(name_of(name)).value(), size);
  }
}

TEST_P(ObjectStoreSuite, RefusesToGiveMoreThanAllowed) {
  put("data/ab/x", as_bytes("12345"));
  const auto got = store_->get(name_of("data/ab/x"), 4);
  ASSERT_FALSE(got.has_value());
  EXPECT_EQ(got.error().code, ErrorCode::Corrupt);
  EXPECT_NE(got.error().message.find("data/ab/x"), std::string::npos);
}

TEST_P(ObjectStoreSuite, CallsMissingObjectsNotFound) {
  put("data/ab/there", as_bytes("x"));
  Bytes one(1);
  for (const char* name :
       {"data/ab/missing", "data/cd/missing", "missing", "data/ab", "data", "data/ab/there/below"}) {
    SCOPED_TRACE(name);
    const auto got = store_->get(name_of(name), 10);
    ASSERT_FALSE(got.has_value());
    EXPECT_EQ(got.error().code, ErrorCode::NotFound) << got.error().message;
    EXPECT_NE(got.error().message.find(name), std::string::npos);
    EXPECT_EQ(store_->get_range(name_of(name), 0, one).error().code, ErrorCode::NotFound);
    EXPECT_EQ(store_->head(name_of(name)).error().code, ErrorCode::NotFound);
  }
}

TEST_P(ObjectStoreSuite, ReadsRangesUpToTheLastByteAndNotBeyond) {
  constexpr std::size_t kSize = 10'000;
  const Bytes bytes = pattern(1, kSize);
  put("data/ab/x", bytes);
  const std::pair<std::uint64_t, std::size_t> inside[] = {
      {0, 0}, {0, 1}, {0, kSize}, {1, kSize - 1}, {kSize, 0}, {kSize - 1, 1}, {4095, 2}, {4096, 4096}};
  for (const auto& [offset, length] : inside) {
    SCOPED_TRACE(testing::Message() << offset << "+" << length);
    Bytes out(length);
    const auto read = store_->get_range(name_of("data/ab/x"), offset, out);
    ASSERT_TRUE(read.has_value()) << read.error().message;
    EXPECT_TRUE(equal(out, ByteView(bytes).subspan(offset, length)));
  }
  const std::pair<std::uint64_t, std::size_t> beyond[] = {{0, kSize + 1}, {kSize, 1},      {kSize - 1, 2},
                                                          {kSize + 1, 1}, {1ULL << 40, 1}, {~0ULL, 1},
                                                          {~0ULL - 5, 10}};
  for (const auto& [offset, length] : beyond) {
    SCOPED_TRACE(testing::Message() << offset << "+" << length);
    Bytes out(length);
    EXPECT_EQ(store_->get_range(name_of("data/ab/x"), offset, out).error().code, ErrorCode::Corrupt);
  }
}

TEST_P(ObjectStoreSuite, TakesAnEqualObjectForDone) {
  put("data/ab/x", as_bytes("same"));
  put("data/ab/x", as_bytes("same"));
  EXPECT_EQ(as_text(store_->get(name_of("data/ab/x"), 10).value()), "same");
}

TEST_P(ObjectStoreSuite, KeepsTheFirstOfTwoDifferentObjects) {
  if (!GetParam().tells_exists) {
    GTEST_SKIP() << "this store cannot tell";
  }
  put("data/ab/x", as_bytes("first"));
  for (const char* other : {"other", "firs", "first!", ""}) {
    const Outcome outcome = store_->put(name_of("data/ab/x"), as_bytes(other));
    ASSERT_FALSE(outcome.done());
    EXPECT_FALSE(outcome.unknown());
    EXPECT_EQ(outcome.why().code, ErrorCode::Exists);
    EXPECT_NE(outcome.why().message.find("data/ab/x"), std::string::npos);
  }
  EXPECT_EQ(as_text(store_->get(name_of("data/ab/x"), 10).value()), "first");
}

TEST_P(ObjectStoreSuite, ReplacesWhenTold) {
  put("sessions/a.hb", as_bytes("first"));
  ASSERT_TRUE(store_->put(name_of("sessions/a.hb"), as_bytes("second, longer"), {.replace = true}).done());
  EXPECT_EQ(as_text(store_->get(name_of("sessions/a.hb"), 100).value()), "second, longer");
  ASSERT_TRUE(store_->put(name_of("sessions/new.hb"), as_bytes("new"), {.replace = true}).done());
  EXPECT_EQ(as_text(store_->get(name_of("sessions/new.hb"), 100).value()), "new");
}

TEST_P(ObjectStoreSuite, RemovesOnceAndForAll) {
  put("data/ab/x", as_bytes("x"));
  put("data/ab/y", as_bytes("y"));
  EXPECT_TRUE(store_->remove(name_of("data/ab/x")).done());
  EXPECT_TRUE(store_->remove(name_of("data/ab/x")).done());
  EXPECT_TRUE(store_->remove(name_of("data/ab/never")).done());
  EXPECT_TRUE(store_->remove(name_of("never/never/never")).done());
  EXPECT_EQ(store_->head(name_of("data/ab/x")).error().code, ErrorCode::NotFound);
  EXPECT_EQ(list("", 10), std::vector<std::string>{"data/ab/y"});
  put("data/ab/x", as_bytes("something else"));
}

TEST_P(ObjectStoreSuite, DoesNotRemoveWhatLiesBelowAName) {
  put("data/ab/x", as_bytes("x"));
  EXPECT_TRUE(store_->remove(name_of("data/ab")).done());
  EXPECT_TRUE(store_->remove(name_of("data")).done());
  EXPECT_TRUE(store_->head(name_of("data/ab/x")).has_value());
}

TEST_P(ObjectStoreSuite, TakesNamesOfEveryShape) {
  std::vector<std::string> names = tricky_names();
  names.emplace_back(200, 'x');
  names.emplace_back("a/b/c/d/e/f/g/h/i/j/k/l/m");
  names.emplace_back("0");
  names.emplace_back("caps/" + std::string(64, 'a') + "/" + std::string(32, 'b'));
  names.emplace_back("maint/seal/" + std::string(64, 'a') + "-" + std::string(64, 'b'));
  names.emplace_back("x.y.z/a.-.b/c..d");
  put_all(names);
  for (const std::string& name : names) {
    EXPECT_EQ(as_text(store_->get(name_of(name), 200).value_or(Bytes())), name);
  }
  EXPECT_EQ(list("", 1000), expected(names, ""));
}

TEST_P(ObjectStoreSuite, ListsInByteOrderOfWholeNames) {
  base::SeededRng rng(7);
  std::vector<std::string> names;
  for (int i = 0; i < 300; ++i) {
    std::string name;
    const std::uint64_t parts = 1 + rng.below(3);
    for (std::uint64_t part = 0; part < parts; ++part) {
      name += part == 0 ? "" : "/";
      name += "ab01"[rng.below(4)];
      for (std::uint64_t more = rng.below(3); more > 0; --more) {
        name += "ab0.-"[rng.below(5)];
      }
    }
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  // No name may be a folder of another.
  std::vector<std::string> kept;
  for (const std::string& name : names) {
    const auto below = std::lower_bound(names.begin(), names.end(), name + "/");
    if (below == names.end() || !below->starts_with(name + "/")) {
      kept.push_back(name);
    }
  }
  put_all(kept);
  for (const std::uint32_t count_max : {1U, 2U, 7U, 1000U}) {
    EXPECT_EQ(list("", count_max), kept) << count_max;
  }
}

TEST_P(ObjectStoreSuite, ListsWhatBeginsWithAPrefixAndSortsAfterAName) {
  const std::vector<std::string> names = tricky_names();
  put_all(names);
  std::vector<std::string> afters = names;
  for (const char* more : {"", "a", "data", "data/", "data/0", "data/00", "data/00/", "index/0000/a",
                           "index/0000/", "sessions/ab.", "sessions/ab0", "zz", "/", "\x7f"}) {
    afters.emplace_back(more);
  }
  int combination = 0;
  for (const char* prefix :
       {"", "data/", "data", "data/0", "data/00/", "index/0000/", "index/0000", "sessions/ab", "sessions/ab.",
        "sessions/", "maint/", "z", "nothing", "nothing/at/all", "data/00/0/"}) {
    for (const std::string& after : afters) {
      if (GetParam().lists_slowly && ++combination % 5 != 0) {
        continue;
      }
      SCOPED_TRACE(testing::Message() << "prefix \"" << prefix << "\" after \"" << after << "\"");
      for (const std::uint32_t count_max : {1U, 3U, 100U}) {
        EXPECT_EQ(list(prefix, count_max, after), expected(names, prefix, after));
      }
    }
  }
}

TEST_P(ObjectStoreSuite, CallsAnEmptyListingTheLastPage) {
  const auto page = store_->list("snapshots/", "", 10);
  ASSERT_TRUE(page.has_value()) << page.error().message;
  EXPECT_TRUE(page->last);
  EXPECT_TRUE(page->objects.empty());
}

TEST_P(ObjectStoreSuite, TellsSizesAndTimesInItsListing) {
  const auto before = store_->now();
  put("data/ab/small", as_bytes("123"));
  put("data/ab/zero", {});
  const auto after = store_->now();
  ASSERT_TRUE(before && after);
  const auto page = store_->list("data/", "", 10);
  ASSERT_TRUE(page.has_value());
  ASSERT_EQ(page->objects.size(), 2U);
  EXPECT_EQ(page->objects[0].size_bytes, 3U);
  EXPECT_EQ(page->objects[1].size_bytes, 0U);
  for (const ListedObject& object : page->objects) {
    const std::int64_t slack = GetParam().clock_slack_nanoseconds;
    EXPECT_GE((object.stored.nanoseconds + slack) / 1'000'000'000, before->nanoseconds / 1'000'000'000);
    EXPECT_LE(object.stored.nanoseconds, after->nanoseconds + slack);
  }
}

TEST_P(ObjectStoreSuite, ListsAllThroughPages) {
  const std::vector<std::string> names = tricky_names();
  put_all(names);
  std::vector<std::string> seen;
  const auto listed = list_all(*store_, "", [&](const ListedObject& object) -> Result<> {
    seen.push_back(object.name.str());
    return {};
  });
  ASSERT_TRUE(listed.has_value());
  EXPECT_EQ(seen, expected(names, ""));
  const auto stopped = list_all(
      *store_, "", [](const ListedObject&) -> Result<> { return fail(ErrorCode::Cancelled, "enough"); });
  ASSERT_FALSE(stopped.has_value());
  EXPECT_EQ(stopped.error().code, ErrorCode::Cancelled);
}

TEST_P(ObjectStoreSuite, TakesLargeObjects) {
  const Bytes bytes = pattern(9, GetParam().large_bytes);
  put("data/ab/large", bytes);
  const auto got = store_->get(name_of("data/ab/large"), bytes.size());
  ASSERT_TRUE(got.has_value()) << got.error().message;
  EXPECT_TRUE(equal(*got, bytes));
  Bytes tail(70'000);
  ASSERT_TRUE(store_->get_range(name_of("data/ab/large"), bytes.size() - tail.size(), tail).has_value());
  EXPECT_TRUE(equal(tail, ByteView(bytes).last(tail.size())));
}

TEST_P(ObjectStoreSuite, ShowsEachClientWhatAnotherHasDone) {
  const auto other = place_->connect();
  for (int i = 0; i < 20; ++i) {
    const std::string name = "index/0000/" + std::to_string(100 + i);
    put(name, as_bytes(name));
    EXPECT_TRUE(other->head(name_of(name)).has_value());
    EXPECT_EQ(other->list("index/", "", 100)->objects.size(), static_cast<std::size_t>(i + 1));
  }
  ASSERT_TRUE(other->remove(name_of("index/0000/105")).done());
  EXPECT_EQ(store_->head(name_of("index/0000/105")).error().code, ErrorCode::NotFound);
  EXPECT_EQ(list("index/", 100).size(), 19U);
}

TEST_P(ObjectStoreSuite, IntroducesItself) {
  EXPECT_FALSE(store_->describe().empty());
  EXPECT_GE(store_->parallel_requests(), 1U);
  EXPECT_LE(store_->parallel_requests(), 64U);
}

/// `count` threads with a client each.
inline void in_threads(StorePlace& place, int count, const std::function<void(ObjectStore&, int)>& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&place, &body, i] {
      const auto store = place.connect();
      body(*store, i);
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST_P(ObjectStoreSuite, ShowsReadersTheOldOrTheNewButNoMixture) {
  constexpr int kRounds = 100;
  const ObjectName name = name_of("sessions/a.hb");
  std::map<std::size_t, Bytes> versions;
  const auto version_bytes = [](int n) { return static_cast<std::size_t>(1000 + n * 200); };
  for (int n = 0; n <= kRounds; ++n) {
    versions.emplace(version_bytes(n), pattern(static_cast<std::uint64_t>(n) + 1, version_bytes(n)));
  }
  put(name.str(), versions.at(version_bytes(0)));
  std::atomic<bool> done{false};
  std::thread writer([&] {
    const auto store = place_->connect();
    for (int n = 1; n <= kRounds; ++n) {
      EXPECT_TRUE(store->put(name, versions.at(version_bytes(n)), {.replace = true}).done());
    }
    done = true;
  });
  in_threads(*place_, 2, [&](ObjectStore& store, int) {
    std::size_t last_size = 0;
    do {
      const auto got = store.get(name, 1 << 20);
      ASSERT_TRUE(got.has_value()) << got.error().message;
      const auto whole = versions.find(got->size());
      ASSERT_TRUE(whole != versions.end() && whole->second == *got);
      EXPECT_GE(got->size(), last_size);
      last_size = got->size();
      const auto page = store.list("sessions/", "", 10);
      ASSERT_TRUE(page.has_value());
      EXPECT_EQ(page->objects.size(), 1U);
    } while (!done);
  });
  writer.join();
}

TEST_P(ObjectStoreSuite, TakesManyDifferentPutsAtOnce) {
  constexpr int kThreads = 8;
  constexpr int kEach = 25;
  in_threads(*place_, kThreads, [&](ObjectStore& store, int thread) {
    for (int i = 0; i < kEach; ++i) {
      const std::string name = "data/" + std::to_string(i % 10) + "/" + std::to_string(thread * kEach + i);
      EXPECT_TRUE(store.put(name_of(name), as_bytes(name)).done());
    }
  });
  const auto names = list("data/", 1000);
  EXPECT_EQ(names.size(), static_cast<std::size_t>(kThreads * kEach));
  for (const std::string& name : names) {
    EXPECT_EQ(as_text(store_->get(name_of(name), 100).value()), name);
  }
}

TEST_P(ObjectStoreSuite, TakesEqualPutsAtOnceForDone) {
  const Bytes bytes = pattern(3, 50'000);
  for (int round = 0; round < 10; ++round) {
    const ObjectName name = name_of("data/ab/" + std::to_string(round));
    in_threads(*place_, 6, [&](ObjectStore& store, int) {
      const Outcome outcome = store.put(name, bytes);
      EXPECT_TRUE(outcome.done()) << outcome.why().message;
    });
    EXPECT_EQ(store_->get(name, bytes.size()).value(), bytes);
  }
}

TEST_P(ObjectStoreSuite, LetsOneOfManyDifferentPutsOfANameWin) {
  if (!GetParam().tells_exists) {
    GTEST_SKIP() << "this store cannot tell";
  }
  for (int round = 0; round < 10; ++round) {
    const ObjectName name = name_of("data/ab/" + std::to_string(round));
    std::atomic<int> winners{0};
    std::atomic<int> winner{-1};
    in_threads(*place_, 6, [&](ObjectStore& store, int thread) {
      const Outcome outcome = store.put(name, pattern(static_cast<std::uint64_t>(thread) + 1, 20'000));
      if (outcome.done()) {
        ++winners;
        winner = thread;
      } else {
        EXPECT_EQ(outcome.why().code, ErrorCode::Exists);
      }
    });
    EXPECT_EQ(winners, 1);
    EXPECT_EQ(store_->get(name, 20'000).value(), pattern(static_cast<std::uint64_t>(winner) + 1, 20'000));
  }
}

/// `count` child processes; each ends well when `body` says so.
inline void in_processes(int count, const std::function<bool(int)>& body) {
  std::vector<pid_t> children;
  for (int i = 0; i < count; ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::_exit(body(i) ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
}

TEST_P(ObjectStoreSuite, ServesSeveralProcessesAtOnce) {
  if (!GetParam().serves_processes) {
    GTEST_SKIP() << "one process only";
  }
  constexpr int kProcesses = 4;
  constexpr int kEach = 30;
  // Half of the names are everybody's, with equal bytes; half are a process's own.
  const auto own_name = [](int process, int i) {
    return "index/0000/" + std::to_string(process) + "-" + std::to_string(i);
  };
  const auto shared_name = [](int i) { return "data/" + std::to_string(i % 7) + "/" + std::to_string(i); };
  in_processes(kProcesses, [&](int process) {
    const auto store = place_->connect();
    for (int i = 0; i < kEach; ++i) {
      if (!store->put(name_of(own_name(process, i)), as_bytes(own_name(process, i))).done() ||
          !store->put(name_of(shared_name(i)), pattern(static_cast<std::uint64_t>(i), 10'000)).done()) {
        return false;
      }
    }
    return true;
  });
  EXPECT_EQ(list("index/", 1000).size(), static_cast<std::size_t>(kProcesses * kEach));
  for (int i = 0; i < kEach; ++i) {
    EXPECT_EQ(store_->get(name_of(shared_name(i)), 10'000).value(),
              pattern(static_cast<std::uint64_t>(i), 10'000));
  }
}

TEST_P(ObjectStoreSuite, LeavesNothingPartialWhenAProcessIsKilled) {
  if (!GetParam().serves_processes) {
    GTEST_SKIP() << "one process only";
  }
  constexpr int kKills = 40;
  constexpr std::size_t kSize = 300'000;
  base::SeededRng rng(17);
  std::size_t answered = 0;
  for (int kill_number = 0; kill_number < kKills; ++kill_number) {
    std::array<int, 2> pipe_ends{};
    ASSERT_EQ(::pipe(pipe_ends.data()), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const auto store = place_->connect();
      for (int i = 0;; ++i) {
        const int number = kill_number * 1000 + i;
        const ObjectName name = name_of("data/" + std::to_string(i % 3) + "/" + std::to_string(number));
        const bool done = store->put(name, pattern(static_cast<std::uint64_t>(number), kSize)).done();
        if (!done || ::write(pipe_ends[1], "x", 1) != 1) {
          ::_exit(1);
        }
      }
    }
    ::close(pipe_ends[1]);
    // The child dies somewhere in the put after the last one that is waited for.
    char answer = 0;
    for (std::uint64_t wait_for = rng.below(4); wait_for > 0 && ::read(pipe_ends[0], &answer, 1) == 1;
         --wait_for) {
      ++answered;
    }
    for (std::atomic<std::uint64_t> spin = rng.below(500'000); spin > 0; --spin) {
    }
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    while (::read(pipe_ends[0], &answer, 1) == 1) {
      ++answered;
    }
    ::close(pipe_ends[0]);
  }
  const auto names = list("", 10'000);
  EXPECT_GE(names.size(), answered);
  EXPECT_LE(names.size(), answered + kKills);
  for (const std::string& name : names) {
    const std::uint64_t number = std::stoull(name.substr(name.rfind('/') + 1));
    EXPECT_EQ(store_->get(name_of(name), kSize).value_or(Bytes()), pattern(number, kSize)) << name;
  }
}

}  // namespace firn::store
