// A simulated machine: its files, its cache, and the store that it talks to through faults, all from one
// seed.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "repo/base/seeded_executor.h"
#include "repo/kv/memory_kv.h"
#include "repo/store/memory_store.h"
#include "tests/support/engine.h"
#include "tests/support/fault_store.h"
#include "tests/support/memory_fs.h"

namespace firn::test {

inline std::string text_of(std::size_t size, std::uint64_t seed) {
  base::SeededRng rng(seed);
  std::string text(size, '\0');
  rng.fill(std::as_writable_bytes(std::span(text.data(), text.size())));
  return text;
}

/// A machine: its files, its cache, and the store that it talks to through faults.
struct World {
  explicit World(std::uint64_t seed)
      : executor({.seed = seed}),
        rng(seed),
        memory(executor),
        store(memory, executor, seed),
        state(executor) {
    tree.write("/data/empty", "");
    tree.write("/data/tiny", "hello");
    for (unsigned i = 0; i < 12; ++i) {
      tree.write("/data/small/" + std::to_string(i), text_of(20'000, 10 + i));
    }
    tree.write("/data/large", text_of(2'500'000, 3));
    tree.write("/data/sparse", "");
    tree.write_at("/data/sparse", 5'000'000, text_of(70'000, 4));
    tree.link("/data/small/again", "/data/small/3");
    tree.symlink("/data/link", "small/1");
  }

  Engine open() {
    auto engine = Engine::open(services, store, state, test::key_file());
    EXPECT_TRUE(engine) << engine.error().message;
    return *std::move(engine);
  }
  void init() {
    // The smallest packs, so that a small tree has several.
    repo::InitOptions options;
    options.parameters.pack_size = 1 << 20;
    const auto made = repo::Repository::init(services, store, test::key_file(), options);
    ASSERT_TRUE(made) << made.error().message;
  }
  Result<Engine::BackedUp> back_up(Engine& engine) { return engine.backup(tree.source(), "/data"); }

  /// Restores into an empty tree. An error, or problems, are what was declared.
  struct Restored {
    std::string dump;
    std::vector<std::string> declared;
  };
  Restored restore(Engine& engine, const format::SnapshotId& id) {
    MemoryTree target;
    restore::RestoreOptions options;
    options.target = "/out";
    options.subpath = "data";
    options.root_metadata = true;
    const auto restored = engine.restore(target.target(), id, options);
    if (!restored) {
      return {{}, {restored.error().message}};
    }
    return {target.dump("/out"), restored->problems};
  }
  void expect_restores(Engine& engine, const format::SnapshotId& id, const std::string& expected) {
    const Restored restored = restore(engine, id);
    EXPECT_THAT(restored.declared, testing::IsEmpty());
    EXPECT_EQ(restored.dump, expected);
  }

  base::SeededExecutor executor;
  base::SeededRng rng;
  base::MemoryScratch scratch;
  store::MemoryStore memory;
  FaultStore store;
  kv::MemoryKv state;
  MemoryTree tree;
  repo::Services services{executor, rng, executor.clock(), scratch};
};

}  // namespace firn::test
