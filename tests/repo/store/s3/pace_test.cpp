// The number of requests at once, on links that are made of virtual time.
#include "repo/store/s3/pace.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "repo/base/seeded_executor.h"

namespace firn::store::s3 {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

/// A link that all requests share: an answer comes a round trip after its body has got its turn.
class Link {
 public:
  Link(base::SeededExecutor& executor, milliseconds round_trip, double bytes_per_second)
      : executor_(executor), round_trip_(round_trip), bytes_per_second_(bytes_per_second) {}

  void carry(std::uint64_t bytes) {
    const auto now = executor_.clock().steady();
    const auto takes =
        nanoseconds(static_cast<std::int64_t>(static_cast<double>(bytes) / bytes_per_second_ * 1e9));
    free_at_ = std::max(free_at_, now) + takes;
    executor_.sleep_for(free_at_ - now + round_trip_);
  }

 private:
  base::SeededExecutor& executor_;
  const milliseconds round_trip_;
  const double bytes_per_second_;
  base::SteadyTime free_at_;
};

struct Outcome {
  double bytes_per_second = 0;
  unsigned limit = 0;
};

/// `tasks` ask for `bytes` over and over, for `time`; counted is the second half of it.
Outcome run(milliseconds round_trip, double link_bytes_per_second, std::uint64_t bytes, unsigned limit_max,
            seconds time = seconds(20)) {
  base::SeededExecutor executor(1);
  Outcome outcome;
  executor.run([&] {
    Pace pace(executor, limit_max, nullptr);
    Link link(executor, round_trip, link_bytes_per_second);
    const auto began = executor.clock().steady();
    std::uint64_t counted = 0;
    {
      std::vector<std::unique_ptr<base::Task>> tasks;
      for (int task = 0; task < 64; ++task) {
        tasks.push_back(executor.spawn("requests", [&] {
          while (executor.clock().steady() - began < time) {
            pace.enter();
            link.carry(bytes);
            pace.leave({.bytes = bytes});
            counted += executor.clock().steady() - began > time / 2 ? bytes : 0;
          }
        }));
      }
    }
    outcome.limit = pace.limit();
    outcome.bytes_per_second = static_cast<double>(counted) / (static_cast<double>(time.count()) / 2);
  });
  return outcome;
}

TEST(Pace, FindsTheLinksBandwidthAtAnyRoundTrip) {
  constexpr double kLink = 100e6;
  for (const milliseconds round_trip : {milliseconds(1), milliseconds(30), milliseconds(100)}) {
    for (const std::uint64_t bytes : {512ULL << 10, 4ULL << 20}) {
      SCOPED_TRACE(testing::Message() << round_trip.count() << " ms, " << bytes << " bytes");
      const Outcome outcome = run(round_trip, kLink, bytes, 64);
      EXPECT_GE(outcome.bytes_per_second, 0.9 * kLink) << "limit " << outcome.limit;
    }
  }
}

TEST(Pace, AsksForNoMoreAtOnceThanHelps) {
  // One request at a time fills this link: eight are more than enough, and more do not help.
  EXPECT_LE(run(milliseconds(1), 20e6, 4ULL << 20, 64).limit, 20U);
  EXPECT_GE(run(milliseconds(100), 1e9, 1ULL << 20, 64).limit, 50U);
}

TEST(Pace, KeepsToItsLargest) {
  EXPECT_LE(run(milliseconds(100), 1e9, 1ULL << 20, 5, seconds(5)).limit, 5U);
  EXPECT_EQ(run(milliseconds(100), 1e9, 1ULL << 20, 1, seconds(5)).limit, 1U);
}

TEST(Pace, IsCutByThrottlingOnceARound) {
  base::SeededExecutor executor(1);
  executor.run([&] {
    Pace pace(executor, 64, nullptr);
    const unsigned before = pace.limit();
    for (int i = 0; i < 5; ++i) {
      pace.enter();
      pace.leave({.throttled = true});
    }
    const unsigned once = pace.limit();
    EXPECT_LT(once, before);
    EXPECT_GE(once, before / 2);
    for (int i = 0; i < 50; ++i) {
      executor.sleep_for(seconds(1));
      pace.enter();
      pace.leave({.throttled = true});
    }
    EXPECT_EQ(pace.limit(), 1U);
  });
}

TEST(Pace, LeavesAServerAloneForAsLongAsItAsks) {
  base::SeededExecutor executor(1);
  base::StopFlag stop;
  executor.run([&] {
    Pace pace(executor, 64, &stop);
    pace.enter();
    pace.leave({.throttled = true, .leave_alone = seconds(20)});
    const auto before = executor.clock().steady();
    pace.enter();
    EXPECT_GE(executor.clock().steady() - before, seconds(20));
    pace.leave({.throttled = true, .leave_alone = seconds(20)});
    stop.request();
    const auto stopped = executor.clock().steady();
    pace.enter();
    EXPECT_LT(executor.clock().steady() - stopped, seconds(1));
    pace.leave({});
  });
}

}  // namespace
}  // namespace firn::store::s3
