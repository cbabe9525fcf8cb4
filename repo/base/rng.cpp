#include "repo/base/rng.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "repo/base/check.h"

namespace firn::base {

void SystemRng::fill(MutableBytes out) {
  while (!out.empty()) {
    const ssize_t count = ::getrandom(out.data(), out.size(), 0);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    // Every kernel that can run firn has getrandom; without randomness no key may be made.
    FIRN_CHECK(count > 0);
    out = out.subspan(static_cast<std::size_t>(count));
  }
}

// xoshiro256** (Blackman and Vigna), its state filled by splitmix64 as its authors advise.
SeededRng::SeededRng(std::uint64_t seed) {
  for (std::uint64_t& word : state_) {
    seed += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    word = z ^ (z >> 31);
  }
}

std::uint64_t SeededRng::next() {
  const std::scoped_lock lock(mutex_);
  return next_locked();
}

std::uint64_t SeededRng::below(std::uint64_t bound) {
  FIRN_CHECK(bound > 0);
  // The bias of a remainder is below bound / 2^64: nothing that a test could see.
  return next() % bound;
}

std::uint64_t SeededRng::next_locked() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

void SeededRng::fill(MutableBytes out) {
  const std::scoped_lock lock(mutex_);
  while (!out.empty()) {
    std::uint64_t word = next_locked();
    const std::size_t count = std::min(out.size(), sizeof word);
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = static_cast<std::byte>(word & 0xff);
      word >>= 8;
    }
    out = out.subspan(count);
  }
}

}  // namespace firn::base
