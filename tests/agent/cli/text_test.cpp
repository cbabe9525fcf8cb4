// Sizes, times, permissions and tables.
#include "agent/cli/text.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

#include "agent/cli/errors.h"

namespace firn::cli {
namespace {

/// Sets the machine's time zone for a test.
class TimeZone {
 public:
  explicit TimeZone(const char* zone) {
    ::setenv("TZ", zone, 1);
    ::tzset();
  }
  ~TimeZone() {
    ::unsetenv("TZ");
    ::tzset();
  }
};

TEST(SizeText, HasThreeDigitsAndBinaryUnits) {
  struct Case {
    std::uint64_t bytes;
    const char* text;
  };
  const Case cases[] = {{0, "0 B"},
                        {999, "999 B"},
                        {1000, "0.98 KiB"},
                        {1024, "1.00 KiB"},
                        {10 * 1024 + 512, "10.5 KiB"},
                        {100 * 1024, "100 KiB"},
                        {1023 * 1024, "1.00 MiB"},
                        {16 << 20, "16.0 MiB"},
                        {5ULL << 40, "5.00 TiB"},
                        {UINT64_MAX, "16.0 EiB"}};
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(size_text(bytes), text) << bytes;
  }
}

TEST(CountText, GroupsThousands) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1000), "1,000");
  EXPECT_EQ(count_text(1234567), "1,234,567");
}

TEST(DurationText, GrowsUnitsAsNeeded) {
  using std::chrono::seconds;
  EXPECT_EQ(duration_text(seconds(7)), "0:07");
  EXPECT_EQ(duration_text(seconds(754)), "12:34");
  EXPECT_EQ(duration_text(seconds(3723)), "1:02:03");
  EXPECT_EQ(duration_text(seconds(2 * 86400 + 3723)), "2d 1:02:03");
}

TEST(JsonTime, IsRfc3339WithNanosecondsAndOffset) {
  const format::Timestamp time{.seconds = 1614834367, .nanoseconds = 8};
  {
    const TimeZone zone("UTC");
    EXPECT_EQ(json_time(time), "2021-03-04T05:06:07.000000008Z");
    EXPECT_EQ(json_time(format::Timestamp{.seconds = 1614834367, .nanoseconds = 120000000}),
              "2021-03-04T05:06:07.12Z");
    EXPECT_EQ(json_time(format::Timestamp{.seconds = -1, .nanoseconds = 0}), "1969-12-31T23:59:59Z");
  }
  const TimeZone zone("XXX-05:30");
  EXPECT_EQ(json_time(time), "2021-03-04T10:36:07.000000008+05:30");
}

TEST(JsonTime, SurvivesTimesThatNoCalendarHolds) {
  EXPECT_EQ(json_time(format::Timestamp{.seconds = INT64_MAX, .nanoseconds = 0}), "9999-12-31T23:59:59Z");
  EXPECT_EQ(json_time(format::Timestamp{.seconds = INT64_MIN, .nanoseconds = 0}), "0001-01-01T00:00:00Z");
}

TEST(TimestampOf, CountsNanosecondsUpwardsBefore1970) {
  EXPECT_EQ(timestamp_of(base::WallTime{-1}), (format::Timestamp{.seconds = -1, .nanoseconds = 999999999}));
}

TEST(ParseTime, TakesWhatPeopleWrite) {
  const TimeZone zone("UTC");
  const base::WallTime now{42};
  struct Case {
    const char* text;
    std::int64_t nanoseconds;
  };
  const Case cases[] = {{"now", 42},
                        {"1970-01-02", 86400'000'000'000},
                        {"1970-01-02 01:00", 90000'000'000'000},
                        {"1970-01-02 01:00:01", 90001'000'000'000},
                        {"1970-01-02T01:00:01Z", 90001'000'000'000},
                        {"1970-01-02T01:00:01.5Z", 90001'500'000'000},
                        {"1970-01-02T02:00:01+01:00", 90001'000'000'000},
                        {"1970-01-01T23:00:01-02:00", 90001'000'000'000}};
  for (const auto& [text, nanoseconds] : cases) {
    const auto parsed = parse_time(text, now);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->nanoseconds, nanoseconds) << text;
  }
}

TEST(ParseTime, RefusesWhatIsNoTime) {
  for (const char* text : {"", "yesterday", "2021", "2021-13-01", "2021-01-32", "2021-01-01 25:00",
                           "2021-01-01x", "2021-01-01 05:06:07 ", "9999-01-01", "2021-01-01T00:00:00+1:00"}) {
    EXPECT_FALSE(parse_time(text, {})) << text;
  }
}

TEST(ParseTime, GivesBackWhatJsonTimeWrites) {
  const base::WallTime time{1'700'000'000'123'456'789};
  for (const char* name : {"UTC", "XXX-05:30", "YYY+03"}) {
    const TimeZone zone(name);
    const auto parsed = parse_time(json_time(time), {});
    ASSERT_TRUE(parsed) << name;
    EXPECT_EQ(*parsed, time) << name;
  }
}

TEST(ParseDuration, AddsUnitsUp) {
  using std::chrono::seconds;
  EXPECT_EQ(parse_duration("90s").value(), seconds(90));
  EXPECT_EQ(parse_duration("15m").value(), seconds(900));
  EXPECT_EQ(parse_duration("2h30m").value(), seconds(9000));
  EXPECT_EQ(parse_duration("7d").value(), seconds(7 * 86400));
  EXPECT_EQ(parse_duration("1y2m3d4h").value(), seconds((365 + 60 + 3) * 86400 + 4 * 3600));
  EXPECT_EQ(parse_duration("0").value(), seconds(0));
  for (const char* text : {"", "5", "h", "5x", "-5s", "5s "}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(PermissionsText, LooksAsInLs) {
  using format::FileType;
  EXPECT_EQ(permissions_text(FileType::Directory, 0755), "drwxr-xr-x");
  EXPECT_EQ(permissions_text(FileType::Regular, 0), "----------");
  EXPECT_EQ(permissions_text(FileType::Regular, 04755), "-rwsr-xr-x");
  EXPECT_EQ(permissions_text(FileType::Regular, 06644), "-rwSr-Sr--");
  EXPECT_EQ(permissions_text(FileType::Directory, 01777), "drwxrwxrwt");
  EXPECT_EQ(permissions_text(FileType::Character, 0666), "crw-rw-rw-");
}

TEST(Table, AlignsColumnsAndCellsOfSeveralLines) {
  Table table({"ID", "Tags", "Size"}, {false, false, true});
  table.add({"a", "one\ntwo", "5 B"});
  table.add({"bbb", "", "100 KiB"});
  EXPECT_EQ(table.text(),
            "ID   Tags     Size\n"
            "------------------\n"
            "a    one       5 B\n"
            "     two\n"
            "bbb        100 KiB\n"
            "------------------\n");
}

TEST(Table, CountsCharactersNotBytes) {
  Table table({"Name", "X"});
  table.add({"äöü", "1"});
  EXPECT_EQ(table.text(), "Name  X\n-------\näöü   1\n-------\n");
}

TEST(Shortened, KeepsBothEnds) {
  EXPECT_EQ(shortened("short", 10), "short");
  EXPECT_EQ(shortened("abcdefghij", 5), "ab…ij");
  EXPECT_EQ(shortened("äöüäöüäöü", 5), "äö…öü");
  EXPECT_EQ(columns_of(shortened("a/very/long/path/to/something", 12)), 12U);
  EXPECT_EQ(shortened("abcdef", 2), "..");
}

TEST(Printable, EscapesWhatCouldForgeALine) {
  EXPECT_EQ(printable("a\nb\tc\x1b[31m\x7f"), "a\\nb\\tc\\x1b[31m\\x7f");
  EXPECT_EQ(printable("häns\xff"), "häns\xff");
}

TEST(ExitCodes, SayWhatHappened) {
  const auto code = [](ErrorCode error, bool no_repository) {
    return exit_code_of(Error{error, "x"}, no_repository);
  };
  EXPECT_EQ(code(ErrorCode::WrongKey, false), 12);
  EXPECT_EQ(code(ErrorCode::Cancelled, false), 130);
  EXPECT_EQ(code(ErrorCode::NotFound, true), 10);
  EXPECT_EQ(code(ErrorCode::NotFound, false), 1);
  EXPECT_EQ(code(ErrorCode::Denied, true), 1);
  EXPECT_EQ(code(ErrorCode::Corrupt, false), 1);
}

}  // namespace
}  // namespace firn::cli
