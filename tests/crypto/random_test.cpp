// The kernel's random bytes.
#include "crypto/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace firn::crypto {
namespace {

TEST(SystemRandom, FillsAllOfAnyLength) {
  for (const std::size_t size_bytes : {32u, 257u, 1u << 20}) {
    std::vector<std::byte> bytes(size_bytes);
    system_random(bytes);
    // 32 zeros in a row at the end have a probability of 2^-256.
    EXPECT_FALSE(
        std::all_of(bytes.end() - 32, bytes.end(), [](std::byte byte) { return byte == std::byte{0}; }));
  }
  system_random({});
}

TEST(SystemRandom, NeverGivesTheSameTwice) {
  std::vector<std::byte> first(32);
  std::vector<std::byte> second(32);
  system_random(first);
  system_random(second);
  EXPECT_NE(first, second);
}

}  // namespace
}  // namespace firn::crypto
