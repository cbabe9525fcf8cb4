// The local index: how fast it is filled, and how fast it answers. Entries per second.
//
// FIRN_BENCH_ENTRIES (default 1,000,000) says how many entries it holds; TMPDIR where.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "repo/base/executor.h"
#include "repo/base/rng.h"
#include "repo/index/chunk_index.h"
#include "repo/kv/lmdb_kv.h"

namespace {

using namespace firn;

constexpr std::size_t kEntriesPerPack = 64;
constexpr std::size_t kPacksPerObject = 64;

std::uint64_t entries_wanted() {
  const char* text = std::getenv("FIRN_BENCH_ENTRIES");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 1'000'000;
}

template <class T>
T require(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "index_bench: %s\n", result.error().message.c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) {
    return *std::move(result);
  }
}

/// splitmix64 over the number of a chunk: ids that can be made again.
format::ChunkId chunk_id(std::uint64_t number) {
  format::ChunkId id;
  for (std::size_t i = 0; i < id.bytes.size(); i += sizeof(std::uint64_t)) {
    std::uint64_t z = number * 4 + i / 8 + 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    z ^= z >> 31;
    std::memcpy(id.bytes.data() + i, &z, sizeof(z));
  }
  return id;
}

/// An index in a directory of its own.
class Subject {
 public:
  Subject() {
    directory_ = std::filesystem::temp_directory_path().string() + "/firn-index-bench-XXXXXX";
    if (::mkdtemp(directory_.data()) == nullptr) {
      std::exit(1);
    }
    kv_ = require(kv::LmdbKv::open_directory(directory_));
    open();
  }
  ~Subject() {
    index_.reset();
    kv_.reset();
    std::filesystem::remove_all(directory_);
  }

  void open() {
    index_.reset();
    index_ = require(index::ChunkIndex::open(executor_, *kv_, scratch_, {}, {}));
  }
  void close() { require(index_->close()); }

  /// Chunks `first` to `first + count` - 1, in one update.
  void add(std::uint64_t first, std::uint64_t count) {
    const auto update = require(index_->begin_update());
    format::IndexedPack pack;
    std::size_t packs = 0;
    for (std::uint64_t number = first; number < first + count; ++number) {
      if (pack.entries.empty() && packs % kPacksPerObject == 0) {
        require(update->begin_object({.level = 0, .session = {}, .n = objects_++}));
      }
      const auto offset = static_cast<std::uint32_t>(24 + pack.entries.size() * 1028);
      pack.entries.push_back({chunk_id(number), offset, {.plain = 1000, .stored = 1028}});
      const bool last = number + 1 == first + count;
      if (pack.entries.size() == kEntriesPerPack || last) {
        pack.name.id = format::PackId{chunk_id(~number).bytes};
        require(update->add_pack(pack));
        pack.entries.clear();
        packs += 1;
        if (packs % kPacksPerObject == 0 || last) {
          require(update->end_object());
        }
      }
    }
    require(update->commit());
  }

  index::ChunkIndex& index() { return *index_; }

 private:
  std::string directory_;
  base::ThreadExecutor executor_;
  base::DirectoryScratch scratch_{std::filesystem::temp_directory_path().string()};
  std::unique_ptr<kv::LmdbKv> kv_;
  std::unique_ptr<index::ChunkIndex> index_;
  std::uint32_t objects_ = 0;
};

/// Filled once, for the benchmarks that only ask.
Subject& full() {
  static Subject subject;
  static const bool filled = (subject.add(0, entries_wanted()), true);
  static_cast<void>(filled);
  return subject;
}

void Rebuild(benchmark::State& state) {
  for ([[maybe_unused]] auto round : state) {
    Subject subject;
    subject.add(0, entries_wanted());
    const auto statistics = require(subject.index().statistics());
    state.counters["bytes/entry"] =
        static_cast<double>(statistics.size_bytes) / static_cast<double>(statistics.entries);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * entries_wanted()));
}
BENCHMARK(Rebuild)->Unit(benchmark::kMillisecond)->UseRealTime();

/// What a session adds with each of its index objects.
void AddSixtyFourPacks(benchmark::State& state) {
  constexpr std::uint64_t kCount = kEntriesPerPack * kPacksPerObject;
  Subject subject;
  subject.add(0, entries_wanted());
  std::uint64_t next = entries_wanted();
  for ([[maybe_unused]] auto round : state) {
    subject.add(next, kCount);
    next += kCount;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kCount));
}
BENCHMARK(AddSixtyFourPacks)->Unit(benchmark::kMillisecond)->UseRealTime();

void AskForWhatIsThere(benchmark::State& state) {
  index::ChunkIndex& index = full().index();
  base::SeededRng rng(static_cast<std::uint64_t>(state.thread_index()));
  for ([[maybe_unused]] auto round : state) {
    benchmark::DoNotOptimize(require(index.contains_live(chunk_id(rng.below(entries_wanted())))));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(AskForWhatIsThere)->Threads(1)->Threads(2)->UseRealTime();

void AskForWhatIsNew(benchmark::State& state) {
  index::ChunkIndex& index = full().index();
  std::uint64_t number = entries_wanted() + (static_cast<std::uint64_t>(state.thread_index()) << 40);
  for ([[maybe_unused]] auto round : state) {
    benchmark::DoNotOptimize(require(index.contains_live(chunk_id(number++))));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(AskForWhatIsNew)->Threads(1)->Threads(2)->UseRealTime();

void FindCopies(benchmark::State& state) {
  index::ChunkIndex& index = full().index();
  base::SeededRng rng(5);
  for ([[maybe_unused]] auto round : state) {
    benchmark::DoNotOptimize(require(index.find(chunk_id(rng.below(entries_wanted())))));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(FindCopies)->UseRealTime();

/// After close(): the filter is read, the rows are not.
void OpenAgain(benchmark::State& state) {
  Subject subject;
  subject.add(0, entries_wanted());
  subject.close();
  for ([[maybe_unused]] auto round : state) {
    subject.open();
    subject.close();
  }
}
BENCHMARK(OpenAgain)->Unit(benchmark::kMillisecond)->UseRealTime();

void Compact(benchmark::State& state) {
  for ([[maybe_unused]] auto round : state) {
    require(full().index().compact());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * entries_wanted()));
}
BENCHMARK(Compact)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
