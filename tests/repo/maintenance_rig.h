// A repository in memory that is backed up to, forgotten from and pruned.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "repo/maintenance.h"
#include "tests/repo/maintainer.h"
#include "tests/repo/rig.h"

namespace firn::repo {

inline Files files_of(std::uint64_t seed, unsigned count = 6, std::size_t size = 90'000) {
  Files files;
  for (unsigned i = 0; i < count; ++i) {
    files["dir/file" + std::to_string(i)] = random_bytes(seed * 100 + i, size);
  }
  return files;
}

/// A repository, and a node with all roles that backs up and maintains.
struct Place {
  explicit Place(base::Executor& executor, std::uint64_t seed = 1) : world(executor, seed), state(executor) {
    make_repository(world);
    node = std::make_unique<Node>(world, world.store, state, key_file_of(1));
  }

  Result<MaintenanceReport> prune(MaintenanceOptions options = exact()) { return prune(*node, options); }
  static Result<MaintenanceReport> prune(Node& by, MaintenanceOptions options = exact()) {
    base::StopFlag stop;
    MaintenanceProgress progress;
    options.memory_bytes = 8 << 20;
    return maintain(by.repository(), by.index(), by.cache(), by.state(), options, stop, progress);
  }
  static MaintenanceOptions exact() {
    MaintenanceOptions options;
    options.max_unused = {.kind = UnusedLimit::Kind::Bytes, .percent = 0, .bytes = 0};
    return options;
  }
  void forget(const format::SnapshotId& id) {
    const MaintenanceView view = must(load_maintenance(node->repository(), node->cache()));
    const SnapshotList list = must(list_snapshots(node->repository(), node->cache(), view));
    Maintainer maintainer(world, node->repository());
    maintainer.forget(must(find_by_prefix(list, id.hex()))->snapshot.name);
  }
  std::uint64_t stored_bytes() {
    std::uint64_t sum = 0;
    for (const std::string_view prefix : {"data/", "meta/"}) {
      for (const std::string& name : world.names(prefix)) {
        sum += world.bytes(name).size();
      }
    }
    return sum;
  }
  /// What somebody sees who has never been here.
  Files restore(const format::SnapshotId& id) {
    kv::MemoryKv fresh_state(world.executor);
    Node fresh(world, world.store, fresh_state, key_file_of(1));
    return must(fresh.restore(id));
  }

  World world;
  kv::MemoryKv state;
  std::unique_ptr<Node> node;
};

inline void in_a_place(const std::function<void(Place&)>& body) {
  under_each_executor([&](base::Executor& executor) {
    Place place(executor);
    body(place);
  });
}

}  // namespace firn::repo
