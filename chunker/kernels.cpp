// The choice between kernels, and the self-test that it rests on.
#include "chunker/kernels.h"

#include <array>
#include <atomic>
#include <vector>

#include "chunker/detail/markers.h"

namespace firn::chunker {

namespace {

using detail::LineMarker;

/// Numbers that need not be random, only the same everywhere and without a short period.
std::vector<std::byte> test_bytes(std::size_t size_bytes) {
  std::vector<std::byte> bytes(size_bytes);
  std::uint32_t state = 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

bool finds_what_the_scalar_scan_finds(const LineMarker& marker) {
  constexpr std::size_t kFileBytes = 48u << 10;
  const auto bytes = test_bytes(GearTable::kKeyBytes + kFileBytes);
  const auto table = GearTable::from_bytes(std::span(bytes).first<GearTable::kKeyBytes>());
  const auto file = std::span(bytes).last(kFileBytes);
  // Candidates in every line, in some, in almost none; a block that begins the file, and one that does not.
  for (const std::uint32_t loose_bits : {5u, 8u, 12u}) {
    const CutRules rules{.min_bytes = 0,
                         .normal_bytes = 0,
                         .max_bytes = 0,
                         .strict_bits = loose_bits + 1,
                         .loose_bits = loose_bits};
    for (const std::size_t start : {std::size_t{0}, kWarmupBytes + 1}) {
      std::vector<Candidate> expected;
      std::vector<Candidate> found;
      const auto warmup = file.first(start);
      const auto block = file.subspan(start);
      detail::find_candidates_with(nullptr, table, rules, warmup, block, start, expected);
      detail::find_candidates_with(&marker, table, rules, warmup, block, start, found);
      if (found != expected || expected.empty()) {
        return false;
      }
    }
  }
  return true;
}

struct Tested {
  std::vector<Kernel> kernels{Kernel::Scalar};
  std::vector<const LineMarker*> markers{nullptr};  // of kernels, in the same order
};

const Tested& tested() {
  static const Tested all = [] {
    Tested passed;
    for (const LineMarker& marker : detail::line_markers()) {
      if (finds_what_the_scalar_scan_finds(marker)) {
        passed.kernels.push_back(marker.kernel);
        passed.markers.push_back(&marker);
      }
    }
    return passed;
  }();
  return all;
}

std::atomic<const LineMarker*>& current() {
  static std::atomic<const LineMarker*> marker(tested().markers.back());
  return marker;
}

}  // namespace

std::string_view to_string(Kernel kernel) {
  constexpr std::array<std::string_view, 4> kNames = {"scalar", "avx2", "avx512", "neon"};
  return kNames[static_cast<std::size_t>(kernel)];
}

std::span<const Kernel> available_kernels() { return tested().kernels; }

Kernel select_kernel() {
  const LineMarker* const marker = detail::current_marker();
  return marker == nullptr ? Kernel::Scalar : marker->kernel;
}

bool use_kernel(Kernel kernel) {
  for (std::size_t i = 0; i < tested().kernels.size(); ++i) {
    if (tested().kernels[i] == kernel) {
      current().store(tested().markers[i]);
      return true;
    }
  }
  return false;
}

const LineMarker* detail::current_marker() { return current().load(std::memory_order_relaxed); }

}  // namespace firn::chunker
