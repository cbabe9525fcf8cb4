#include "agent/controller/cron.h"

#include <date/tz.h>

#include <array>
#include <charconv>
#include <exception>
#include <vector>

namespace firn::controller {
namespace {

constexpr int kDaysAheadMax = 5 * 366;

struct Field {
  const char* name;
  int min;
  int max;
};
constexpr std::array<Field, 5> kFields{
    {{"minute", 0, 59}, {"hour", 0, 23}, {"day of month", 1, 31}, {"month", 1, 12}, {"day of week", 0, 7}}};

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

std::optional<int> number(std::string_view text, int min, int max) {
  int value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size() || value < min || value > max) {
    return std::nullopt;
  }
  return value;
}

/// One of a field's parts, "1-30/5": sets its values.
bool read_part(std::string_view part, const Field& field, std::vector<bool>& values) {
  int step = 1;
  const auto slash = part.find('/');
  if (slash != std::string_view::npos) {
    const auto wanted = number(part.substr(slash + 1), 1, field.max);
    if (!wanted) {
      return false;
    }
    step = *wanted;
    part = part.substr(0, slash);
  }
  int first = field.min;
  int last = field.max;
  if (part != "*") {
    const auto dash = part.find('-');
    const auto low = number(part.substr(0, dash), field.min, field.max);
    const auto high =
        dash == std::string_view::npos ? low : number(part.substr(dash + 1), field.min, field.max);
    if (!low || !high || *low > *high) {
      return false;
    }
    first = *low;
    last = dash == std::string_view::npos && slash != std::string_view::npos ? field.max : *high;
  }
  for (int value = first; value <= last; value += step) {
    values[static_cast<std::size_t>(value)] = true;
  }
  return true;
}

bool day_matches(const Cron& cron, const date::local_days& day) {
  const date::year_month_day civil(day);
  const unsigned weekday = date::weekday(day).c_encoding();
  const bool by_day = cron.days[static_cast<unsigned>(civil.day())];
  const bool by_weekday = cron.weekdays[weekday];
  if (!cron.months[static_cast<unsigned>(civil.month())]) {
    return false;
  }
  return cron.any_day || cron.any_weekday ? by_day && by_weekday : by_day || by_weekday;
}

std::optional<base::WallTime> next_in(const Cron& cron, const date::time_zone& zone, base::WallTime time) {
  using namespace std::chrono;
  const date::sys_time<seconds> from{floor<seconds>(nanoseconds(time.nanoseconds))};
  date::local_days day = date::floor<date::days>(zone.to_local(from));
  for (int ahead = 0; ahead < kDaysAheadMax; ++ahead, day += date::days(1)) {
    if (!day_matches(cron, day)) {
      continue;
    }
    for (int hour = 0; hour < 24; ++hour) {
      for (int minute = 0; cron.hours[static_cast<std::size_t>(hour)] && minute < 60; ++minute) {
        const date::local_seconds local = day + hours(hour) + minutes(minute);
        const date::local_info info = zone.get_info(local);
        if (!cron.minutes[static_cast<std::size_t>(minute)] || info.result == date::local_info::nonexistent) {
          continue;
        }
        const auto there = date::sys_seconds(local.time_since_epoch() - info.first.offset);
        if (there > from) {
          return base::WallTime{nanoseconds(there.time_since_epoch()).count()};
        }
      }
    }
  }
  return std::nullopt;
}

}  // namespace

Result<Cron> parse_cron(std::string_view text) {
  std::vector<std::string_view> fields;
  for (const std::string_view field : split(text, ' ')) {
    if (!field.empty()) {
      fields.push_back(field);
    }
  }
  if (fields.size() != kFields.size()) {
    return fail(ErrorCode::Invalid,
                "schedule '" + std::string(text) +
                    "': five fields are wanted: minute, hour, day of month, month, day of week");
  }
  std::array<std::vector<bool>, 5> values;
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    values[i].resize(static_cast<std::size_t>(kFields[i].max) + 1);
    for (const std::string_view part : split(fields[i], ',')) {
      if (!read_part(part, kFields[i], values[i])) {
        return fail(ErrorCode::Invalid, "schedule '" + std::string(text) + "': '" + std::string(part) +
                                            "' is no " + kFields[i].name);
      }
    }
  }
  Cron cron;
  const auto take = [&](std::size_t field, auto& bits) {
    for (std::size_t i = 0; i < values[field].size(); ++i) {
      if (values[field][i]) {
        bits.set(i % bits.size());
      }
    }
  };
  take(0, cron.minutes);
  take(1, cron.hours);
  take(2, cron.days);
  take(3, cron.months);
  take(4, cron.weekdays);
  cron.any_day = fields[2].front() == '*';
  cron.any_weekday = fields[4].front() == '*';
  return cron;
}

Result<std::optional<base::WallTime>> next_time(const Cron& cron, const std::string& zone,
                                                base::WallTime time) {
  // The library throws where a zone is not known, or the system has no zones.
  try {
    return next_in(cron, *date::locate_zone(zone.empty() || zone == "UTC" ? "Etc/UTC" : zone), time);
  } catch (const std::exception&) {
    return fail(ErrorCode::Invalid, "there is no time zone '" + zone + "'");
  }
}

}  // namespace firn::controller
