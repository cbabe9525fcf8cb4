// Objects in memory: for tests, simulation and dry runs.
//
// Promise: as ObjectStore, but for durability. Every request begins and ends with Executor::yield(), so that
// a seeded run can put another task between any two of them. Times are those of the executor's clock.
// Threads: any.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "repo/base/executor.h"
#include "repo/base/monitor.h"
#include "repo/store/object_store.h"

namespace firn::store {

class MemoryStore final : public ObjectStore {
 public:
  explicit MemoryStore(base::Executor& executor) : executor_(executor) {}

  Outcome put(const ObjectName& name, ByteView bytes, PutOptions options = {}) override;
  Result<Bytes> get(const ObjectName& name, std::uint64_t size_bytes_max) override;
  Result<> get_range(const ObjectName& name, std::uint64_t offset, MutableBytes out) override;
  Result<std::uint64_t> head(const ObjectName& name) override;
  Result<ListPage> list(std::string_view prefix, std::string_view after, std::uint32_t count_max) override;
  Outcome remove(const ObjectName& name) override;
  Result<base::WallTime> now() override;
  std::string describe() const override { return "memory"; }
  unsigned parallel_requests() const override { return 16; }

 private:
  struct Object {
    std::shared_ptr<const Bytes> bytes;  // shared with reads that are still copying
    base::WallTime stored;
  };
  using Objects = std::map<std::string, Object, std::less<>>;

  Result<std::shared_ptr<const Bytes>> find(const ObjectName& name);

  base::Executor& executor_;
  base::Guarded<Objects> objects_;
};

}  // namespace firn::store
