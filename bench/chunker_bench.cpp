// Speed of the chunker's forms on one core, over data that lies in memory.
#include <benchmark/benchmark.h>

#include <string>

#include "chunker/chunker.h"
#include "chunker/cut_selector.h"
#include "chunker/kernels.h"
#include "tests/chunker/data.h"

namespace firn::chunker {
namespace {

constexpr std::size_t kFileBytes = 64u << 20;
constexpr std::size_t kBlockBytes = 4u << 20;
constexpr std::uint64_t kKey = 1;

const data::Bytes& file_of(std::int64_t kind) {
  static const std::vector<data::Bytes> files = {data::random_bytes(kKey, kFileBytes),
                                                 data::log_bytes(kKey, kFileBytes), data::Bytes(kFileBytes)};
  return files[static_cast<std::size_t>(kind)];
}

void count_bytes(benchmark::State& state, std::string_view how) {
  constexpr const char* kKinds[] = {"random", "log", "zeros"};
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(kFileBytes));
  state.SetLabel(std::string(kKinds[state.range(0)]) + ", " + std::string(how));
}

/// One stream: the minimum of each chunk is skipped.
void BM_Stream(benchmark::State& state) {
  const GearTable table = data::table(kKey);
  const CutRules rules = rules_for(kDefaultAverageBytes).value();
  const std::span<const std::byte> file = file_of(state.range(0));
  std::vector<std::uint64_t> cuts;
  for (auto _ : state) {
    cuts.clear();
    ChunkerView chunker(table, rules);
    for (std::size_t at = 0; at < kFileBytes; at += kBlockBytes) {
      chunker.feed(file.subspan(at, kBlockBytes), cuts);
    }
    chunker.finish(cuts);
    benchmark::DoNotOptimize(cuts.data());
  }
  count_bytes(state, "stream");
}
BENCHMARK(BM_Stream)->DenseRange(0, 2);

/// Blocks apart, as the backup takes them: every byte is hashed. By the kernel that the second argument
/// names.
void BM_Blocks(benchmark::State& state) {
  const auto kernel = static_cast<Kernel>(state.range(1));
  if (!use_kernel(kernel)) {
    state.SkipWithError("not on this machine");
    return;
  }
  const GearTable table = data::table(kKey);
  const CutRules rules = rules_for(kDefaultAverageBytes).value();
  const std::span<const std::byte> file = file_of(state.range(0));
  std::vector<Candidate> candidates;
  std::vector<std::uint64_t> cuts;
  for (auto _ : state) {
    cuts.clear();
    CutSelector selector(rules);
    for (std::size_t at = 0; at < kFileBytes; at += kBlockBytes) {
      candidates.clear();
      const std::size_t warmup_bytes = std::min(at, kWarmupBytes);
      find_candidates(table, rules, file.subspan(at - warmup_bytes, warmup_bytes),
                      file.subspan(at, kBlockBytes), at, candidates);
      selector.add(candidates, at + kBlockBytes, cuts);
    }
    selector.finish(cuts);
    benchmark::DoNotOptimize(cuts.data());
  }
  count_bytes(state, to_string(kernel));
}

void every_kernel(benchmark::internal::Benchmark* blocks) {
  for (const Kernel kernel : available_kernels()) {
    for (const std::int64_t kind : {0, 1, 2}) {
      blocks->Args({kind, static_cast<std::int64_t>(kernel)});
    }
  }
}
BENCHMARK(BM_Blocks)->Apply(every_kernel);

}  // namespace
}  // namespace firn::chunker

BENCHMARK_MAIN();
