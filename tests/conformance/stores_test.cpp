// The object-store suite on every store that needs no server.
#include <gtest/gtest.h>

#include "repo/base/executor.h"
#include "repo/base/rng.h"
#include "repo/store/local_store.h"
#include "repo/store/memory_store.h"
#include "repo/store/retry_store.h"
#include "tests/conformance/object_store_suite.h"
#include "tests/support/forwarding_store.h"
#include "tests/support/temp_dir.h"

namespace firn::store {
namespace {

base::ThreadExecutor& executor() {
  static base::ThreadExecutor instance(2);
  return instance;
}

base::SystemRng& rng() {
  static base::SystemRng instance;
  return instance;
}

class MemoryPlace final : public StorePlace {
 public:
  std::unique_ptr<ObjectStore> connect() override { return test::client_of(store_); }

 private:
  MemoryStore store_{executor()};
};

class RetryPlace final : public StorePlace {
 public:
  std::unique_ptr<ObjectStore> connect() override {
    return std::make_unique<RetryStore>(test::client_of(store_), executor(), rng());
  }

 private:
  MemoryStore store_{executor()};
};

class LocalPlace final : public StorePlace {
 public:
  explicit LocalPlace(const std::string& parent) : directory_(parent) {}
  std::unique_ptr<ObjectStore> connect() override {
    auto store = LocalStore::open(directory_.path(), rng(), executor().clock());
    EXPECT_TRUE(store.has_value());
    return store ? *std::move(store) : nullptr;
  }

 private:
  test::TempDir directory_;
};

INSTANTIATE_TEST_SUITE_P(
    Stores, ObjectStoreSuite,
    testing::Values(StoreCase{.name = "Memory", .make_place = [] { return std::make_unique<MemoryPlace>(); }},
                    StoreCase{.name = "Retry", .make_place = [] { return std::make_unique<RetryPlace>(); }},
                    StoreCase{.name = "LocalOnDisk",
                              .make_place = [] { return std::make_unique<LocalPlace>(testing::TempDir()); },
                              .serves_processes = true},
                    StoreCase{.name = "LocalOnTmpfs",
                              .make_place = [] { return std::make_unique<LocalPlace>("/dev/shm"); },
                              .serves_processes = true}),
    case_name);

}  // namespace
}  // namespace firn::store
