#include "repo/base/tally.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "repo/base/scratch.h"

namespace firn::base {
namespace {

std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> rows_of(Tally& tally) {
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> rows;
  EXPECT_TRUE(tally.finish());
  for (auto row = tally.next(); row && *row; row = tally.next()) {
    const std::string name(reinterpret_cast<const char*>((*row)->name.data()), (*row)->name.size());
    EXPECT_TRUE(rows.emplace(name.c_str(), std::pair((*row)->least, (*row)->sum)).second) << name;
  }
  return rows;
}

TEST(Tally, GivesEachNameOnceWithItsLeastNumberAndTheirSum) {
  MemoryScratch scratch;
  Tally tally(scratch);
  for (const auto& [name, number] : {std::pair("b", 5u), {"a", 7u}, {"b", 3u}, {"b", 9u}}) {
    ASSERT_TRUE(tally.add(as_bytes(std::string_view(name)), number));
  }
  const auto rows = rows_of(tally);
  EXPECT_EQ(rows, (decltype(rows){{"a", {7, 7}}, {"b", {3, 17}}}));
}

TEST(Tally, OfNothingHasNoRows) {
  MemoryScratch scratch;
  Tally tally(scratch);
  EXPECT_TRUE(rows_of(tally).empty());
}

TEST(Tally, CountsMoreThanItsMemoryHolds) {
  MemoryScratch scratch;
  constexpr std::size_t kMemoryBytes = 1 << 20;
  constexpr std::uint64_t kNames = 3 * kMemoryBytes / 40;
  Tally tally(scratch, kMemoryBytes);
  for (const std::uint64_t round : {0u, 1u}) {
    for (std::uint64_t i = 0; i < kNames; ++i) {
      ASSERT_TRUE(tally.add(as_bytes(std::to_string(i * 7919 % kNames)), round));
    }
  }
  ASSERT_TRUE(tally.finish());
  std::uint64_t names = 0;
  std::uint64_t sum = 0;
  for (auto row = tally.next(); row && *row; row = tally.next()) {
    names += 1;
    sum += (*row)->sum;
  }
  EXPECT_EQ(names, kNames);
  EXPECT_EQ(sum, kNames);
}

}  // namespace
}  // namespace firn::base
