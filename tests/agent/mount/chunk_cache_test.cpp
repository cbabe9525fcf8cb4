#include "agent/mount/chunk_cache.h"

#include <gtest/gtest.h>

#include <latch>
#include <thread>

namespace firn::mount {
namespace {

format::ChunkSecret secret(int number) {
  format::ChunkSecret t;
  t.bytes[0] = static_cast<std::byte>(number);
  return t;
}

struct Cached {
  explicit Cached(ChunkCache::Load load, std::size_t bytes_max = 1 << 20, unsigned tasks = 2,
                  ChunkCache::Neighbours neighbours = {})
      : cache(executor, std::move(load), std::move(neighbours), {.bytes_max = bytes_max, .tasks = tasks}) {}
  base::ThreadExecutor executor{2};
  ChunkCache cache;
};

TEST(ChunkCache, FetchesAChunkOnceForTenReaders) {
  std::atomic<int> loads{0};
  std::latch arrived(10);
  Cached cached([&](ChunkKind, const format::ChunkSecret&) -> Result<Bytes> {
    ++loads;
    arrived.wait();
    return Bytes(1000);
  });
  std::vector<std::jthread> readers;
  std::atomic<int> got{0};
  for (int i = 0; i < 10; ++i) {
    readers.emplace_back([&] {
      arrived.count_down();
      const Call call;
      got += cached.cache.get(ChunkKind::Content, secret(1), call).has_value() ? 1 : 0;
    });
  }
  readers.clear();
  EXPECT_EQ(loads, 1);
  EXPECT_EQ(got, 10);
}

TEST(ChunkCache, KeepsItsBudgetAndForgetsTheLeastRecentlyUsed) {
  std::atomic<int> loads{0};
  Cached cached(
      [&](ChunkKind, const format::ChunkSecret&) -> Result<Bytes> {
        ++loads;
        return Bytes(1000);
      },
      5000);
  const Call call;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(cached.cache.get(ChunkKind::Content, secret(i), call));
    ASSERT_TRUE(cached.cache.get(ChunkKind::Content, secret(0), call));
    EXPECT_LE(cached.cache.bytes_held(), 5000U);
  }
  EXPECT_EQ(loads, 20) << "the one in use was never fetched again";
}

TEST(ChunkCache, GivesAnErrorToWhoAskedAndTriesAgainForTheNext) {
  std::atomic<int> loads{0};
  Cached cached([&](ChunkKind, const format::ChunkSecret&) -> Result<Bytes> {
    if (++loads == 1) {
      return fail(ErrorCode::Unavailable, "away");
    }
    return Bytes(1);
  });
  const Call call;
  const auto first = cached.cache.get(ChunkKind::Content, secret(1), call);
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().message, "away");
  EXPECT_TRUE(cached.cache.get(ChunkKind::Content, secret(1), call));
}

TEST(ChunkCache, EndsAWaitWhenItsCallIsInterrupted) {
  std::latch loading(1);
  std::latch finish(1);
  Cached cached([&](ChunkKind, const format::ChunkSecret&) -> Result<Bytes> {
    loading.count_down();
    finish.wait();
    return Bytes(1);
  });
  Call call;
  std::jthread interrupter([&] {
    loading.wait();
    call.interrupt();
    cached.cache.wake();
  });
  const auto got = cached.cache.get(ChunkKind::Content, secret(1), call);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::Cancelled);
  finish.count_down();
}

TEST(ChunkCache, EndsAllWaitsWhenItStops) {
  std::latch loading(1);
  std::latch finish(1);
  Cached cached([&](ChunkKind, const format::ChunkSecret&) -> Result<Bytes> {
    loading.count_down();
    finish.wait();
    return Bytes(1);
  });
  std::jthread stopper([&] {
    loading.wait();
    cached.cache.stop();
  });
  const Call call;
  EXPECT_FALSE(cached.cache.get(ChunkKind::Content, secret(1), call));
  EXPECT_FALSE(cached.cache.run([]() -> Result<> { return {}; }, call));
  finish.count_down();
}

TEST(ChunkCache, FindsWhatWasFetchedAhead) {
  std::atomic<int> loads{0};
  Cached cached([&](ChunkKind, const format::ChunkSecret&) -> Result<Bytes> {
    ++loads;
    return Bytes(10);
  });
  const std::vector<format::ChunkSecret> ahead = {secret(1), secret(2), secret(1)};
  cached.cache.prefetch(ChunkKind::Content, ahead);
  const Call call;
  EXPECT_TRUE(cached.cache.get(ChunkKind::Content, secret(1), call));
  EXPECT_TRUE(cached.cache.get(ChunkKind::Content, secret(2), call));
  EXPECT_EQ(loads, 2);
}

/// Chunks 10, 11 and 12 lie side by side, others alone; 11 is damaged. Writes down what each request brought.
struct SideBySide {
  explicit SideBySide(std::ptrdiff_t requests_wanted) : served(requests_wanted) {}
  static int number(const format::ChunkSecret& t) { return std::to_integer<int>(t.bytes[0]); }

  ChunkCache::Neighbours neighbours() {
    return {.count = [](std::span<const format::ChunkSecret> wanted) -> std::size_t {
              std::size_t count = 1;
              while (count < wanted.size() && number(wanted[0]) >= 10 && number(wanted[count]) <= 12 &&
                     number(wanted[count]) == number(wanted[count - 1]) + 1) {
                ++count;
              }
              return count;
            },
            .load =
                [this](std::span<const format::ChunkSecret> wanted, const auto& visit) {
                  std::vector<int> request;
                  for (std::size_t i = 0; i < wanted.size(); ++i) {
                    request.push_back(number(wanted[i]));
                    visit(i, request.back() == 11
                                 ? Result<Bytes>(fail(ErrorCode::Corrupt, "damaged"))
                                 : Result<Bytes>(Bytes(wanted[i].bytes.begin(), wanted[i].bytes.end())));
                  }
                  requests.push_back(std::move(request));
                  served.count_down();
                }};
  }
  std::vector<std::vector<int>> requests;  // of one task
  std::latch served;
};

TEST(ChunkCache, FetchesNeighboursAheadInOneRequest) {
  std::atomic<int> loads{0};
  std::latch queued(1);
  SideBySide pack(3);
  // The only task is held up until everything stands in the queue.
  Cached cached(
      [&](ChunkKind, const format::ChunkSecret&) -> Result<Bytes> {
        ++loads;
        queued.wait();
        return Bytes(1);
      },
      1 << 20, 1, pack.neighbours());
  const Call call;
  std::jthread first([&] { EXPECT_TRUE(cached.cache.get(ChunkKind::Content, secret(1), call)); });
  while (loads == 0) {
    std::this_thread::yield();
  }
  const std::vector<format::ChunkSecret> ahead = {secret(5), secret(10), secret(11), secret(12), secret(6)};
  cached.cache.prefetch(ChunkKind::Content, ahead);
  queued.count_down();
  pack.served.wait();
  EXPECT_EQ(pack.requests, (std::vector<std::vector<int>>{{5}, {10, 11, 12}, {6}}));
  for (const int number : {5, 10, 12, 6}) {
    const auto chunk = cached.cache.get(ChunkKind::Content, secret(number), call);
    ASSERT_TRUE(chunk);
    EXPECT_EQ(std::to_integer<int>((*chunk)->front()), number);
  }
  EXPECT_EQ(loads, 1);
  EXPECT_TRUE(cached.cache.get(ChunkKind::Content, secret(11), call)) << "an error is not kept";
  EXPECT_EQ(loads, 2);
}

TEST(ChunkCache, RunsWorkAndGivesItsError) {
  Cached cached([](ChunkKind, const format::ChunkSecret&) -> Result<Bytes> { return Bytes(1); });
  const Call call;
  EXPECT_TRUE(cached.cache.run([]() -> Result<> { return {}; }, call));
  const auto failed = cached.cache.run([]() -> Result<> { return fail(ErrorCode::Denied, "no"); }, call);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "no");
}

}  // namespace
}  // namespace firn::mount
