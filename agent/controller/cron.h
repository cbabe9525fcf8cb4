// Schedules as cron writes them, in a time zone: "30 2 * * 1-5".
//
// Five fields: minute, hour, day of the month, month, day of the week (0 to 7, both ends Sunday), each of
// `*`, a number, a range, a list of these, and steps. Where both days are restricted either one suffices, as
// in cron. A local time that does not exist is left out, one that exists twice counts once. Pure but for the
// system's time zones. Threads: any.
#pragma once

#include <bitset>
#include <optional>
#include <string>
#include <string_view>

#include "repo/base/clock.h"
#include "repo/base/result.h"

namespace firn::controller {

struct Cron {
  std::bitset<60> minutes;
  std::bitset<24> hours;
  std::bitset<32> days;
  std::bitset<13> months;
  std::bitset<7> weekdays;
  bool any_day = false;
  bool any_weekday = false;
};

/// Errors: Invalid (names the field).
Result<Cron> parse_cron(std::string_view text);

/// The first time of the schedule after `time`; empty when there is none within five years. Errors: Invalid
/// (no such time zone).
Result<std::optional<base::WallTime>> next_time(const Cron& cron, const std::string& zone,
                                                base::WallTime time);

}  // namespace firn::controller
