// Reproducible tables and files for the chunker's tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "chunker/gear.h"

namespace firn::chunker::data {

using Bytes = std::vector<std::byte>;

/// SplitMix64: the same numbers on every machine, which <random>'s distributions do not promise.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }

 private:
  std::uint64_t state_;
};

inline Bytes random_bytes(std::uint64_t seed, std::size_t size_bytes) {
  Numbers numbers(seed);
  Bytes bytes(size_bytes);
  for (std::byte& value : bytes) {
    value = static_cast<std::byte>(numbers.next() >> 56);
  }
  return bytes;
}

inline Bytes periodic_bytes(std::uint64_t seed, std::size_t period_bytes, std::size_t size_bytes) {
  Bytes bytes = random_bytes(seed, period_bytes);
  bytes.resize(size_bytes);
  for (std::size_t i = period_bytes; i < size_bytes; ++i) {
    bytes[i] = bytes[i - period_bytes];
  }
  return bytes;
}

/// Lines like a log's: few byte values, much repetition.
inline Bytes log_bytes(std::uint64_t seed, std::size_t size_bytes) {
  Numbers numbers(seed);
  std::string text;
  for (std::uint64_t line = 0; text.size() < size_bytes; ++line) {
    // Drawn one by one: compilers differ in the order in which they evaluate operands.
    const std::uint64_t time_us = numbers.below(900);
    const std::uint64_t worker = numbers.below(4);
    text += "2026-01-01T00:00:00Z worker-" + std::to_string(worker) + " request " + std::to_string(line) +
            " took " + std::to_string(time_us) + " us\n";
  }
  Bytes bytes(size_bytes);
  for (std::size_t i = 0; i < size_bytes; ++i) {
    bytes[i] = static_cast<std::byte>(text[i]);
  }
  return bytes;
}

inline GearTable table(std::uint64_t seed) {
  const Bytes key_bytes = random_bytes(seed, GearTable::kKeyBytes);
  return GearTable::from_bytes(std::span<const std::byte, GearTable::kKeyBytes>(key_bytes));
}

}  // namespace firn::chunker::data
