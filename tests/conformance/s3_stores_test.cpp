// The object-store suite on a real S3 server that somebody else started (tests/s3/test_conformance.py).
//
// FIRN_TEST_S3 is the location of an empty place in a bucket, FIRN_TEST_S3_TELLS_EXISTS is 0 where the server
// does not honour If-None-Match; the credentials are where AWS's tools have them. Each test has a prefix of
// its own.
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "repo/base/executor.h"
#include "repo/base/rng.h"
#include "repo/store/location.h"
#include "tests/conformance/object_store_suite.h"

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

std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

class S3Place final : public StorePlace {
 public:
  std::unique_ptr<ObjectStore> connect() override {
    auto store = open_store(url_, {}, {.executor = executor(), .rng = rng(), .variables = variable});
    EXPECT_TRUE(store.has_value()) << store.error().message;
    return store ? *std::move(store) : nullptr;
  }

 private:
  const std::string url_ = variable("FIRN_TEST_S3").value_or("") + "/" + to_hex(rng().bytes<8>());
};

INSTANTIATE_TEST_SUITE_P(Stores, ObjectStoreSuite,
                         testing::Values(StoreCase{
                             .name = "S3",
                             .make_place = [] { return std::make_unique<S3Place>(); },
                             .tells_exists = variable("FIRN_TEST_S3_TELLS_EXISTS") != "0"}),
                         case_name);

}  // namespace
}  // namespace firn::store
