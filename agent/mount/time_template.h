// Times by example, as restic's --time-template has them: a template shows how the moment
// 2006-01-02 15:04:05 -07:00 (a Monday) is to be written. "2006-01-02T15:04:05Z07:00" is RFC 3339.
//
// Known: 2006 06, January Jan 01 1, Monday Mon, 02 _2 2, 002 (day of the year), 15 03 3, 04 4, 05 5, PM pm,
// .000 .999 (any number of digits; nines drop trailing zeros), MST, -0700 -07:00 -07 Z0700 Z07:00. Everything
// else stands for itself. Pure functions. Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "repo/base/clock.h"
#include "repo/base/result.h"

namespace firn::mount {

inline constexpr std::string_view kTimeTemplateDefault = "2006-01-02T15:04:05Z07:00";

/// A moment as a wall clock somewhere shows it.
struct LocalTime {
  int year = 1970;
  int month = 1;  // 1 to 12
  int day = 1;
  int hour = 0;
  int minute = 0;
  int second = 0;
  int nanosecond = 0;
  int weekday = 4;        // 0 = Sunday
  int day_of_year = 1;    // 1 to 366
  int utc_offset_s = 0;   // east of Greenwich
  std::string zone_name;  // "CET"
};

/// In the machine's time zone.
LocalTime local_time(base::WallTime time);

std::string format_time(std::string_view time_template, const LocalTime& time);

/// Errors: Invalid (empty, or with a slash: the text becomes one name).
Result<> check_time_template(std::string_view time_template);

}  // namespace firn::mount
