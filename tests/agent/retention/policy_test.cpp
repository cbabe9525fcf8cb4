// What a retention policy keeps, by tables of times. tests/e2e/test_forget.py compares with restic itself.
#include "agent/retention/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

namespace firn::retention {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

base::WallTime at(int year, unsigned month, unsigned day, int hour = 12, int minute = 0) {
  const auto days = std::chrono::sys_days(std::chrono::year(year) / std::chrono::month(month) / day);
  const auto time =
      std::chrono::seconds(days.time_since_epoch()) + std::chrono::hours(hour) + std::chrono::minutes(minute);
  return {std::chrono::nanoseconds(time).count()};
}
const base::WallTime kNow = at(2030, 1, 1);

std::int64_t utc(base::WallTime) { return 0; }

struct Kept {
  std::size_t place;  // in the list, newest first
  std::vector<std::string> reasons;
  bool operator==(const Kept&) const = default;
};
void PrintTo(const Kept& kept, std::ostream* out) {
  *out << kept.place << ": " << testing::PrintToString(kept.reasons);
}

std::vector<Kept> kept(const Policy& policy, const std::vector<base::WallTime>& newest_first,
                       base::WallTime now = kNow, const UtcOffset& offset = utc) {
  std::vector<Candidate> candidates;
  for (const base::WallTime time : newest_first) {
    candidates.push_back({.time = time, .tags = {}});
  }
  const auto decisions = decide(policy, candidates, now, offset);
  std::vector<Kept> all;
  for (std::size_t i = 0; i < decisions.size(); ++i) {
    EXPECT_EQ(decisions[i].keep, !decisions[i].reasons.empty());
    if (decisions[i].keep) {
      all.push_back({.place = i, .reasons = decisions[i].reasons});
    }
  }
  return all;
}

Policy count(Period period, std::int64_t value) {
  Policy policy;
  policy.counts[static_cast<std::size_t>(period)] = Count{value};
  return policy;
}
Policy within(Period period, const Span& span) {
  Policy policy;
  policy.within[static_cast<std::size_t>(period)] = span;
  return policy;
}

TEST(RetentionPolicy, LastKeepsTheNewest) {
  EXPECT_THAT(kept(count(Period::Each, 2), {at(2026, 1, 3), at(2026, 1, 2), at(2026, 1, 1)}),
              ElementsAre(Kept{0, {"last snapshot"}}, Kept{1, {"last snapshot"}}));
}

TEST(RetentionPolicy, APeriodKeepsItsNewestSnapshot) {
  EXPECT_THAT(
      kept(count(Period::Day, 2), {at(2026, 1, 3, 20), at(2026, 1, 3, 10), at(2026, 1, 2), at(2026, 1, 1)}),
      ElementsAre(Kept{0, {"daily snapshot"}}, Kept{2, {"daily snapshot"}}));
}

TEST(RetentionPolicy, TheOldestStaysWhileARuleHasCountsLeft) {
  EXPECT_THAT(
      kept(count(Period::Hour, 5), {at(2026, 1, 1, 11), at(2026, 1, 1, 10, 30), at(2026, 1, 1, 10, 5)}),
      ElementsAre(Kept{0, {"hourly snapshot"}}, Kept{1, {"hourly snapshot"}},
                  Kept{2, {"oldest hourly snapshot"}}));
}

TEST(RetentionPolicy, UnlimitedKeepsOneOfEveryPeriod) {
  EXPECT_THAT(
      kept(count(Period::Year, Count::kUnlimited),
           {at(2026, 1, 1), at(2025, 7, 1), at(2025, 1, 1), at(2001, 1, 1)}),
      ElementsAre(Kept{0, {"yearly snapshot"}}, Kept{1, {"yearly snapshot"}}, Kept{3, {"yearly snapshot"}}));
}

TEST(RetentionPolicy, WeeksAreThoseOfTheIsoCalendar) {
  // Thursday 31 December 2026 to Sunday 3 January 2027 are one week; Monday begins another.
  EXPECT_THAT(kept(count(Period::Week, 2),
                   {at(2027, 1, 4), at(2027, 1, 3), at(2026, 12, 31), at(2026, 12, 27), at(2026, 12, 1)}),
              ElementsAre(Kept{0, {"weekly snapshot"}}, Kept{1, {"weekly snapshot"}}));
  // 53 weeks: the last of 2026 and the first of 2020 are not of the same year.
  EXPECT_THAT(kept(count(Period::Week, 9), {at(2021, 1, 3), at(2020, 12, 28), at(2020, 1, 1)}),
              ElementsAre(Kept{0, {"weekly snapshot"}}, Kept{2, {"weekly snapshot"}}));
}

TEST(RetentionPolicy, SpansAreCountedFromTheNewestAndByTheCalendar) {
  // 31 March less one month would be 31 February, which is 3 March.
  EXPECT_THAT(kept(within(Period::Each, {.months = 1}),
                   {at(2026, 3, 31), at(2026, 3, 4), at(2026, 3, 3), at(2026, 2, 28)}),
              ElementsAre(Kept{0, {"within 1m"}}, Kept{1, {"within 1m"}}));
  EXPECT_THAT(kept(within(Period::Day, {.years = 1, .days = 2, .hours = 3}),
                   {at(2026, 3, 31), at(2026, 3, 31, 3), at(2025, 3, 29, 10), at(2025, 3, 29, 9)}),
              ElementsAre(Kept{0, {"daily within 1y2d3h"}}, Kept{2, {"daily within 1y2d3h"}}));
}

TEST(RetentionPolicy, ATimeInTheFutureIsKeptAndCountsForNothing) {
  const auto now = at(2026, 1, 3, 13);
  EXPECT_THAT(kept(count(Period::Each, 1), {at(2200, 1, 1), at(2026, 1, 3), at(2026, 1, 2)}, now),
              ElementsAre(Kept{0, {"time in the future"}}, Kept{1, {"last snapshot"}}));
  EXPECT_THAT(kept(within(Period::Each, {.days = 1}), {at(2200, 1, 1), at(2026, 1, 3), at(2026, 1, 1)}, now),
              ElementsAre(Kept{0, {"time in the future"}}, Kept{1, {"within 1d"}}));
}

TEST(RetentionPolicy, DaysBeginByTheClockOfThePlace) {
  const auto nine_hours_east = [](base::WallTime) -> std::int64_t { return 9 * 3600; };
  // 14:00 and 16:00 in UTC are two days there.
  EXPECT_THAT(kept(count(Period::Day, 2), {at(2026, 1, 1, 16), at(2026, 1, 1, 14), at(2026, 1, 1, 1)}, kNow,
                   nine_hours_east),
              ElementsAre(Kept{0, {"daily snapshot"}}, Kept{1, {"daily snapshot"}}));
}

TEST(RetentionPolicy, OneOfSeveralTagListsIsEnough) {
  const std::vector<std::string> ab = {"a", "b"};
  const std::vector<std::string> c = {"c"};
  const std::vector<Candidate> candidates = {{.time = at(2026, 1, 3), .tags = ab},
                                             {.time = at(2026, 1, 2), .tags = c},
                                             {.time = at(2026, 1, 1), .tags = {}}};
  struct Case {
    std::vector<std::vector<std::string>> wanted;
    std::vector<bool> keeps;
  };
  const Case cases[] = {{{{"a"}}, {true, false, false}},
                        {{{"a", "b"}}, {true, false, false}},
                        {{{"a", "c"}}, {false, false, false}},
                        {{{"a"}, {"c"}}, {true, true, false}},
                        {{{""}}, {false, false, true}}};
  for (const Case& one : cases) {
    Policy policy;
    policy.tags = one.wanted;
    std::vector<bool> keeps;
    for (const Decision& decision : decide(policy, candidates, kNow, utc)) {
      keeps.push_back(decision.keep);
    }
    EXPECT_EQ(keeps, one.keeps) << testing::PrintToString(one.wanted);
  }
}

TEST(RetentionPolicy, NothingIsDecidedOfNothing) {
  EXPECT_THAT(decide(count(Period::Each, 1), {}, kNow, utc), IsEmpty());
}

TEST(RetentionPolicy, SpansAndCountsAreReadAsTheyAreShown) {
  for (const char* text : {"1y2m3d4h", "7d", "12h", "2y"}) {
    const auto span = parse_span(text);
    ASSERT_TRUE(span) << text;
    EXPECT_EQ(to_string(*span), text);
  }
  for (const char* text : {"", "7", "d", "7x", "-1d", "1d2", "99999999999d", "4000y", "1.5d"}) {
    EXPECT_FALSE(parse_span(text)) << text;
  }
  EXPECT_EQ(parse_count("3")->value, 3);
  EXPECT_EQ(parse_count("unlimited")->value, Count::kUnlimited);
  EXPECT_EQ(parse_count("-1")->value, Count::kUnlimited);
  for (const char* text : {"", "-2", "x", "3x", "99999999999999999999"}) {
    EXPECT_FALSE(parse_count(text)) << text;
  }
}

}  // namespace
}  // namespace firn::retention
