// Which code looks for candidates in blocks: scalar everywhere, vectors where the processor has them and a
// self-test found that both find the same candidates.
//
// Every kernel gives the same candidates, so the choice changes nothing but speed (one core of an AMD Zen 5,
// bench/chunker_bench: docs/decisions/chunker-kernels.md). Threads: any thread may call. use_kernel() is for
// tests and benchmarks; calls that already run finish with what they began with.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace firn::chunker {

enum class Kernel : std::uint8_t {
  Scalar,
  Avx2,    // 8 lanes; words fetched one by one, added up in vectors
  Avx512,  // 16 lanes; words looked up in registers (AVX-512 VBMI: Ice Lake, Zen 4 and later)
  Neon,    // 8 lanes, as Avx2
};

std::string_view to_string(Kernel kernel);

/// What this machine can run and the self-test lets pass (the first call runs it, under a millisecond), the
/// slowest first. Scalar is always among them.
std::span<const Kernel> available_kernels();

/// What find_candidates() uses: the fastest available one, or what use_kernel() said last.
Kernel select_kernel();

/// Makes all later calls in this process use `kernel`. False, nothing changed: not available.
bool use_kernel(Kernel kernel);

}  // namespace firn::chunker
