// How fast a tree is written and read: entries a second on one core, pages in memory, nothing sealed.
// Targets: writing 1 M/s, reading 2 M/s.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <unordered_map>

#include "repo/tree/tree_diff.h"
#include "repo/tree/tree_reader.h"
#include "repo/tree/tree_writer.h"

namespace firn {
namespace {

constexpr std::uint32_t kEntries = 200'000;
constexpr std::uint32_t kPerDirectory = 40;
constexpr format::CutSeeds kSeeds{.bundle = 1, .page = 2};

/// Names pages by a counter: hashing is crypto_bench's.
class Pages final : public tree::PageSource, public tree::PageSink {
 public:
  Result<Bytes> read_page(format::ChunkType, const format::ChunkSecret& t) override { return pages_.at(t); }
  Result<Bytes> read_refs(const format::ChunkId&) override { return fail(ErrorCode::NotFound, "not kept"); }
  Result<tree::StoredPage> store_page(format::ChunkType, ByteView plain) override {
    format::ChunkSecret t;
    const std::uint64_t number = pages_.size() + 1;
    std::memcpy(t.bytes.data(), &number, sizeof(number));
    pages_.emplace(t, to_bytes(plain));
    return tree::StoredPage{t, {}};
  }
  Result<format::ChunkId> store_refs(ByteView) override { return format::ChunkId{}; }

 private:
  std::unordered_map<format::ChunkSecret, Bytes> pages_;
};

/// Small files in bundles, as a source tree has them.
format::Entry entry(std::uint32_t number) {
  char name[32];
  std::snprintf(name, sizeof(name), "source-file-%06u.c", number);
  format::Entry entry;
  entry.name = name;
  entry.mode = 0644;
  entry.uid = entry.gid = 1000;
  entry.mtime = entry.ctime = {1'700'000'000 + number, 123'456'789};
  entry.inode = 1'000'000 + number;
  entry.size_bytes = 5000;
  entry.digest = format::ContentDigest{};
  format::Slice slice{{}, number % 100 * 5000, 5000};
  const std::uint32_t bundle = number / 100;
  std::memcpy(slice.chunk.bytes.data(), &bundle, sizeof(bundle));
  entry.content.form = format::BlobForm::Slices;
  entry.content.slices = {slice};
  return entry;
}

std::string directory(std::uint32_t number) {
  char path[64];
  std::snprintf(path, sizeof(path), "home/user/project/src/part-%06u", number / kPerDirectory);
  return path;
}

tree::WrittenTree write(Pages& pages, const std::vector<format::Entry>& entries,
                        const std::vector<std::string>& directories) {
  tree::TreeWriter writer(pages, kSeeds);
  for (std::uint32_t i = 0; i < entries.size(); ++i) {
    if (!writer.add(directories[i / kPerDirectory], entries[i])) {
      std::abort();
    }
  }
  return writer.finish().value();
}

struct Fixture {
  Fixture() {
    for (std::uint32_t i = 0; i < kEntries; ++i) {
      entries.push_back(entry(i));
      if (i % kPerDirectory == 0) {
        directories.push_back(directory(i));
      }
    }
    tree = write(pages, entries, directories);
  }
  std::vector<format::Entry> entries;
  std::vector<std::string> directories;
  Pages pages;
  tree::WrittenTree tree;
};

const Fixture& fixture() {
  static const Fixture it;
  return it;
}

Pages& source() { return const_cast<Pages&>(fixture().pages); }

void count(benchmark::State& state) { state.SetItemsProcessed(state.iterations() * kEntries); }

void write_tree(benchmark::State& state) {
  const Fixture& it = fixture();
  for (auto _ : state) {
    Pages pages;
    benchmark::DoNotOptimize(write(pages, it.entries, it.directories));
  }
  count(state);
}
BENCHMARK(write_tree)->Unit(benchmark::kMillisecond);

void copy_tree(benchmark::State& state) {
  for (auto _ : state) {
    Pages pages;
    tree::TreeReader reader(source(), fixture().tree.t);
    tree::TreeWriter writer(pages, kSeeds);
    while (reader.next().value()) {
      if (!writer.add(reader.key().directory, reader.entry())) {
        std::abort();
      }
    }
    benchmark::DoNotOptimize(writer.finish());
  }
  count(state);
}
BENCHMARK(copy_tree)->Unit(benchmark::kMillisecond);

void read_tree(benchmark::State& state) {
  for (auto _ : state) {
    tree::TreeReader reader(source(), fixture().tree.t);
    while (reader.next().value()) {
      benchmark::DoNotOptimize(reader.entry());
    }
  }
  count(state);
}
BENCHMARK(read_tree)->Unit(benchmark::kMillisecond);

void join_with_parent(benchmark::State& state) {
  const Fixture& it = fixture();
  for (auto _ : state) {
    tree::ParentCursor parent(source(), it.tree.t);
    for (std::uint32_t i = 0; i < kEntries; ++i) {
      if (parent.at({it.directories[i / kPerDirectory], it.entries[i].name}).value() == nullptr) {
        std::abort();
      }
    }
  }
  count(state);
}
BENCHMARK(join_with_parent)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace firn

BENCHMARK_MAIN();
