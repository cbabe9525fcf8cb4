// The randomness seam: keys, nonces, session names, padding and jitter all come from here.
//
// Threads: every member may be called from any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

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

/// The kernel's generator, drawn in blocks.
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

 private:
  std::uint64_t state_[4];
};

}  // namespace firn::base
