#include <gtest/gtest.h>

#include "repo/base/result.h"

namespace firn {
namespace {

TEST(Error, GetsItsPlaceInFrontOfItsMessage) {
  EXPECT_EQ((Error{ErrorCode::Corrupt, "too short"}.in("packs/1").message), "packs/1: too short");
}

TEST(Error, NamesAPlaceOnce) {
  EXPECT_EQ((Error{ErrorCode::Corrupt, "packs/1 is too short"}.in("packs/1").message),
            "packs/1 is too short");
}

}  // namespace
}  // namespace firn
