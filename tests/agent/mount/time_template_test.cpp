#include "agent/mount/time_template.h"

#include <gtest/gtest.h>

namespace firn::mount {
namespace {

const LocalTime kTime{.year = 2026,
                      .month = 3,
                      .day = 4,
                      .hour = 17,
                      .minute = 6,
                      .second = 7,
                      .nanosecond = 120'000'000,
                      .weekday = 3,
                      .day_of_year = 63,
                      .utc_offset_s = 5400,
                      .zone_name = "XYZ"};

struct Case {
  const char* time_template;
  const char* text;
};

TEST(TimeTemplate, WritesEachPartAsTheReferenceTimeShowsIt) {
  const Case cases[] = {
      {"2006-01-02T15:04:05Z07:00", "2026-03-04T17:06:07+01:30"},
      {"2006-01-02_15-04-05", "2026-03-04_17-06-07"},
      {"Monday, 2 January 06", "Wednesday, 4 March 26"},
      {"Mon _2 Jan 3:4:5 PM pm MST", "Wed  4 Mar 5:6:7 PM pm XYZ"},
      {"002 1 03 -0700 -07 Z0700", "063 3 05 +0130 +01 +0130"},
      {"05.000", "07.120"},
      {"05.999999", "07.12"},
      {"20060102150405", "20260304170607"},
      {"plain", "plain"},
  };
  for (const auto& [time_template, text] : cases) {
    EXPECT_EQ(format_time(time_template, kTime), text) << time_template;
  }
}

TEST(TimeTemplate, WritesZForNoOffsetOnlyWhereItIsAskedFor) {
  LocalTime time = kTime;
  time.utc_offset_s = 0;
  EXPECT_EQ(format_time("Z07:00", time), "Z");
  EXPECT_EQ(format_time("-07:00", time), "+00:00");
  time.utc_offset_s = -3600 * 9;
  EXPECT_EQ(format_time("Z07:00", time), "-09:00");
}

TEST(TimeTemplate, CountsTwelveAtNoonAndMidnight) {
  LocalTime time = kTime;
  time.hour = 0;
  EXPECT_EQ(format_time("3PM", time), "12AM");
  time.hour = 12;
  EXPECT_EQ(format_time("03pm", time), "12pm");
}

TEST(TimeTemplate, OfATimeBefore1970HasItsNanosecondsUpwards) {
  EXPECT_EQ(local_time(base::WallTime{-1}).nanosecond, 999'999'999);
}

TEST(TimeTemplate, MustBeOneName) {
  EXPECT_FALSE(check_time_template(""));
  EXPECT_FALSE(check_time_template("2006/01"));
  EXPECT_TRUE(check_time_template(kTimeTemplateDefault));
}

}  // namespace
}  // namespace firn::mount
