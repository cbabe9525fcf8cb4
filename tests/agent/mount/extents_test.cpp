#include "agent/mount/extents.h"

#include <gtest/gtest.h>

namespace firn::mount {
namespace {

constexpr std::uint64_t kHuge = 6ULL << 40;

TEST(Extents, OfAFileWithoutHolesAreOneRun) {
  const Extents extents({}, 100);
  const Extents::Run run = extents.at(99);
  EXPECT_FALSE(run.is_hole);
  EXPECT_EQ(run.begin, 0U);
  EXPECT_EQ(run.end, 100U);
  EXPECT_EQ(run.content_begin, 0U);
  EXPECT_EQ(extents.seek_data(0), 0U);
  EXPECT_EQ(extents.seek_hole(0), 100U);
}

TEST(Extents, PlaceDataAfterTheHolesBeforeIt) {
  // hole 0-10, data 10-20, hole 20-50, data 50-60, hole 60-kHuge
  const Extents extents({{0, 10}, {20, 30}, {60, kHuge - 60}}, kHuge);
  EXPECT_TRUE(extents.at(9).is_hole);
  EXPECT_EQ(extents.at(9).end, 10U);
  EXPECT_EQ(extents.at(10).content_begin, 0U);
  EXPECT_EQ(extents.at(19).end, 20U);
  EXPECT_EQ(extents.at(55).begin, 50U);
  EXPECT_EQ(extents.at(55).content_begin, 10U);
  EXPECT_TRUE(extents.at(kHuge - 1).is_hole);
  EXPECT_EQ(extents.at(kHuge - 1).end, kHuge);
}

TEST(Extents, AnswerSeekAsLseekDoes) {
  const Extents extents({{0, 10}, {20, 30}, {60, kHuge - 60}}, kHuge);
  EXPECT_EQ(extents.seek_data(0), 10U);
  EXPECT_EQ(extents.seek_data(15), 15U);
  EXPECT_EQ(extents.seek_data(20), 50U);
  EXPECT_EQ(extents.seek_data(60), std::nullopt);
  EXPECT_EQ(extents.seek_data(kHuge), std::nullopt);
  EXPECT_EQ(extents.seek_hole(0), 0U);
  EXPECT_EQ(extents.seek_hole(12), 20U);
  EXPECT_EQ(extents.seek_hole(50), 60U);
  EXPECT_EQ(extents.seek_hole(kHuge), std::nullopt);
}

TEST(Extents, OfAnEmptyFileHaveNothingToSeek) {
  const Extents extents({}, 0);
  EXPECT_EQ(extents.seek_data(0), std::nullopt);
  EXPECT_EQ(extents.seek_hole(0), std::nullopt);
}

}  // namespace
}  // namespace firn::mount
