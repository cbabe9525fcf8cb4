// The object-store suite on every store: those that need no server, and, where FIRN_TEST_S3_URL names a
// bucket of its own for the tests (with AWS_… beside it, and a file in FIRN_TEST_S3_CACERT for https), S3.
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

#include "repo/base/executor.h"
#include "repo/base/rng.h"
#include "repo/store/local_store.h"
#include "repo/store/location.h"
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

/// A prefix of its own in the bucket for each test; what it leaves there goes with the bucket.
class S3Place final : public StorePlace {
 public:
  explicit S3Place(const std::string& bucket_url) {
    const char* const ca_file = std::getenv("FIRN_TEST_S3_CACERT");
    options_.ca_file = ca_file == nullptr ? "" : ca_file;
    url_ = bucket_url + "/conformance-" + to_hex(rng().bytes<8>());
  }
  std::unique_ptr<ObjectStore> connect() override {
    auto store = open_store(url_, options_,
                            {.executor = executor(),
                             .rng = rng(),
                             .stop = nullptr,
                             .variables = [](const std::string& name) -> std::optional<std::string> {
                               const char* const value = std::getenv(name.c_str());
                               return value == nullptr ? std::nullopt : std::optional<std::string>(value);
                             }});
    EXPECT_TRUE(store.has_value()) << (store ? "" : store.error().message);
    return store ? *std::move(store) : nullptr;
  }

 private:
  StoreOptions options_;
  std::string url_;
};

std::vector<StoreCase> s3_cases() {
  const char* const url = std::getenv("FIRN_TEST_S3_URL");
  if (url == nullptr) {
    return {};
  }
  return {StoreCase{.name = "S3",
                    .make_place = [url] { return std::make_unique<S3Place>(url); },
                    .serves_processes = true,
                    .lists_slowly = true,
                    // A Date header has whole seconds, and some servers make it once a second.
                    .clock_slack_nanoseconds = 2'000'000'000}};
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ObjectStoreSuite);
INSTANTIATE_TEST_SUITE_P(Servers, ObjectStoreSuite, testing::ValuesIn(s3_cases()), case_name);

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
