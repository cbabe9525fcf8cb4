// A fixture that runs a test once on each implementation that this machine has, and bytes to feed it.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "crypto/kernels.h"

namespace firn::crypto::test {

class OnEachImplementation : public testing::TestWithParam<Implementation> {
 protected:
  void SetUp() override {
    if (!use_implementation(GetParam())) {
      GTEST_SKIP() << to_string(GetParam()) << " is not available here";
    }
  }
  void TearDown() override { use_implementation(before_); }

 private:
  Implementation before_ = select_implementation();
};

inline std::string name_of(const testing::TestParamInfo<Implementation>& info) {
  return info.param == Implementation::OpenSsl ? "OpenSsl" : "IpsecMb";
}

inline auto each_implementation() {
  return testing::Values(Implementation::OpenSsl, Implementation::IpsecMb);
}

inline std::vector<std::byte> random_bytes(std::mt19937_64& random, std::size_t size_bytes) {
  std::vector<std::byte> bytes(size_bytes);
  for (std::byte& byte : bytes) {
    byte = std::byte(random() & 0xff);
  }
  return bytes;
}

}  // namespace firn::crypto::test
