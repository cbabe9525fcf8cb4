// The machine's clocks and generators, and the seeded generator.
#include "repo/base/clock.h"

#include <gtest/gtest.h>

#include <set>

#include "repo/base/rng.h"

namespace firn::base {
namespace {

TEST(SystemClock, NeverGoesBack) {
  const SystemClock clock;
  SteadyTime last = clock.steady();
  for (int i = 0; i < 1000; ++i) {
    const SteadyTime next = clock.steady();
    EXPECT_GE(next, last);
    last = next;
  }
}

TEST(SystemClock, ShowsNanosecondsSince1970) {
  // 2024-01-01 to 2100-01-01: another unit or origin would fall outside.
  const WallTime now = SystemClock().wall();
  EXPECT_GT(now.nanoseconds, 1'704'067'200'000'000'000);
  EXPECT_LT(now.nanoseconds, 4'102'444'800'000'000'000);
}

TEST(SystemRng, GivesOtherBytesEachTime) {
  SystemRng rng;
  EXPECT_NE(rng.bytes<32>(), rng.bytes<32>());
}

TEST(SystemRng, FillsLargeBuffersToTheEnd) {
  // getrandom gives at most 256 bytes without interruption and 32 MiB at all.
  Bytes bytes(1 << 20);
  SystemRng().fill(bytes);
  const MutableBytes tail(bytes.data() + bytes.size() - 64, 64);
  EXPECT_GT(std::set<std::byte>(tail.begin(), tail.end()).size(), 16U);
}

TEST(SeededRng, GivesTheSameBytesForTheSameSeed) {
  SeededRng first(42);
  SeededRng second(42);
  SeededRng other(43);
  const auto bytes = first.bytes<100>();
  EXPECT_EQ(bytes, second.bytes<100>());
  EXPECT_NE(bytes, other.bytes<100>());
}

TEST(SeededRng, FollowsThePublishedGenerator) {
  // xoshiro256** whose state is the first four outputs of splitmix64(0), by an independent implementation.
  SeededRng rng(0);
  EXPECT_EQ(rng.next(), 0x99ec5f36cb75f2b4ULL);
  EXPECT_EQ(rng.next(), 0xbf6e1f784956452aULL);
  EXPECT_EQ(rng.next(), 0x1a5f849d4933e6e0ULL);
}

TEST(SeededRng, StaysBelowTheBound) {
  SeededRng rng(7);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    seen.insert(rng.below(5));
  }
  EXPECT_EQ(seen, (std::set<std::uint64_t>{0, 1, 2, 3, 4}));
}

}  // namespace
}  // namespace firn::base
