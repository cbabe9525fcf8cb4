// The local index under several threads. A program of its own, so that it also runs under ThreadSanitizer.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "repo/base/executor.h"
#include "repo/index/chunk_index.h"
#include "repo/kv/lmdb_kv.h"
#include "repo/kv/memory_kv.h"
#include "tests/repo/index/model.h"
#include "tests/support/temp_dir.h"

namespace firn::index {
namespace {

using format::ChunkId;
using format::IndexedPack;
using format::IndexName;

/// Look-ups of packs that stay, beside updates and compactions of others.
void run(base::ThreadExecutor& executor, kv::LocalKv& kv) {
  base::MemoryScratch scratch;
  base::SeededRng own_rng(11);
  const auto index = ChunkIndex::open(executor, kv, scratch, {}, {.size_bytes_max = 1 << 30}).value();
  std::vector<IndexedPack> always;
  for (int i = 0; i < 5; ++i) {
    always.push_back(test::random_pack(own_rng, 40));
  }
  {
    const auto update = index->begin_update().value();
    ASSERT_TRUE(update->add_object(test::random_name(own_rng), always));
    ASSERT_TRUE(update->commit());
  }
  std::atomic<bool> stop = false;
  std::vector<std::unique_ptr<base::Task>> readers;
  for (std::uint64_t i = 0; i < 4; ++i) {
    readers.push_back(executor.spawn("reader", [&, i] {
      base::SeededRng rng(i);
      while (!stop) {
        const IndexedPack& pack = always[rng.next() % always.size()];
        const format::PackEntry& entry = pack.entries[rng.next() % pack.entries.size()];
        EXPECT_TRUE(index->contains_live(entry.id).value_or(false));
        EXPECT_EQ(index->find(entry.id).value().size(), 1U);
        EXPECT_FALSE(index->contains_live(test::random_id<ChunkId>(rng)).value_or(true));
      }
    }));
  }
  std::vector<std::unique_ptr<base::Task>> writers;
  for (std::uint64_t i = 0; i < 2; ++i) {
    writers.push_back(executor.spawn("writer", [&, i] {
      base::SeededRng rng(100 + i);
      for (int round = 0; round < 15; ++round) {
        const IndexedPack pack = test::random_pack(rng, 30);
        const IndexName name = test::random_name(rng);
        auto update = index->begin_update();
        ASSERT_TRUE((*update)->add_object(name, std::vector{pack}));
        ASSERT_TRUE((*update)->commit());
        update->reset();
        EXPECT_TRUE(index->contains_live(pack.entries[0].id).value_or(false));
        if (round % 5 == 0) {
          ASSERT_TRUE(index->compact());
        }
        auto second = index->begin_update();
        ASSERT_TRUE((*second)->forget_object(name));
        ASSERT_TRUE((*second)->commit());
        second->reset();
        EXPECT_FALSE(index->contains_live(pack.entries[0].id).value_or(true));
      }
    }));
  }
  writers.clear();
  stop = true;
  readers.clear();
}

TEST(ChunkIndexThreads, AnswerOnLmdbWhileItChanges) {
  const firn::test::TempDir directory(::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "");
  base::ThreadExecutor executor;
  const auto kv = kv::LmdbKv::open_directory(directory.path()).value();
  run(executor, *kv);
}

TEST(ChunkIndexThreads, AnswerInMemoryWhileItChanges) {
  base::ThreadExecutor executor;
  kv::MemoryKv kv(executor);
  run(executor, kv);
}

}  // namespace
}  // namespace firn::index
