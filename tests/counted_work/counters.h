// Counts what this process does to bytes: hashing, sealing, compressing, copying, filling, allocating.
//
// A program that links counters.cpp has its own definitions of the library functions that do this work in
// front of the libraries'; they count and pass on. Hashing and sealing are counted in OpenSSL, so the test
// chooses that kernel. Copies and fills count from kCopyBytesMin on: smaller ones are records, not data.
// Threads: any; a reading is exact while nobody works.
#pragma once

#include <cstddef>
#include <cstdint>

namespace firn::test {

inline constexpr std::size_t kCopyBytesMin = 8 << 10;

struct Work {
  std::uint64_t hashed_bytes = 0;
  std::uint64_t sealed_bytes = 0;
  std::uint64_t opened_bytes = 0;
  std::uint64_t compressed_bytes = 0;    // before
  std::uint64_t decompressed_bytes = 0;  // after
  std::uint64_t copied_bytes = 0;
  std::uint64_t filled_bytes = 0;
  std::uint64_t allocations = 0;
};

/// Since the program began.
Work work_so_far();

}  // namespace firn::test
