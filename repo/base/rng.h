// The randomness seam: keys, nonces, session names, padding and jitter all come from here.
//
// Threads: every member may be called from any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "repo/base/bytes.h"

namespace firn::base {

class Rng {
 public:
  virtual ~Rng() = default;
  /// Fills `out` with bytes that nobody can guess.
  virtual void fill(MutableBytes out) = 0;

  template <std::size_t N>
  std::array<std::byte, N> bytes() {
    std::array<std::byte, N> out{};
    fill(out);
    return out;
  }
};

/// The kernel's generator. A draw is a system call: callers with many small draws take them in one.
class SystemRng final : public Rng {
 public:
  void fill(MutableBytes out) override;
};

/// The same bytes for the same seed, for simulation and tests. Never for a repository that holds data.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed);
  void fill(MutableBytes out) override;
  std::uint64_t next();
  /// 0 to bound - 1; bound is at least 1.
  std::uint64_t below(std::uint64_t bound);

 private:
  std::uint64_t next_locked();

  std::mutex mutex_;
  std::uint64_t state_[4];
};

}  // namespace firn::base
