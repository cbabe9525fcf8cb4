#include "agent/mount/time_template.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace firn::mount {
namespace {

constexpr std::array kMonths = {"January", "February", "March",     "April",   "May",      "June",
                                "July",    "August",   "September", "October", "November", "December"};
constexpr std::array kDays = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

std::string padded(int number, std::size_t width, char fill = '0') {
  std::string text = std::to_string(number);
  return text.size() < width ? std::string(width - text.size(), fill) + text : text;
}

std::string short_name(const char* name) { return std::string(name).substr(0, 3); }

int hour_of_twelve(int hour) { return hour % 12 == 0 ? 12 : hour % 12; }

/// "+01:00", "+0100" or "+01"; "Z" for none where the template begins with Z.
std::string zone(std::string_view form, int offset_s) {
  if (form.front() == 'Z' && offset_s == 0) {
    return "Z";
  }
  const int minutes = std::abs(offset_s) / 60;
  std::string text = (offset_s < 0 ? "-" : "+") + padded(minutes / 60, 2);
  if (form.size() > 3) {
    text += (form.find(':') != std::string_view::npos ? ":" : "") + padded(minutes % 60, 2);
  }
  return text;
}

struct Part {
  std::string_view form;
  std::string (*text)(const LocalTime&);
};

// A form that another one begins with stands behind it.
const std::array kParts = {
    Part{"January", [](const LocalTime& t) { return std::string(kMonths.at(std::size_t(t.month - 1))); }},
    Part{"Jan", [](const LocalTime& t) { return short_name(kMonths.at(std::size_t(t.month - 1))); }},
    Part{"Monday", [](const LocalTime& t) { return std::string(kDays.at(std::size_t(t.weekday))); }},
    Part{"Mon", [](const LocalTime& t) { return short_name(kDays.at(std::size_t(t.weekday))); }},
    Part{"MST", [](const LocalTime& t) { return t.zone_name; }},
    Part{"2006", [](const LocalTime& t) { return padded(t.year, 4); }},
    Part{"002", [](const LocalTime& t) { return padded(t.day_of_year, 3); }},
    Part{"01", [](const LocalTime& t) { return padded(t.month, 2); }},
    Part{"02", [](const LocalTime& t) { return padded(t.day, 2); }},
    Part{"03", [](const LocalTime& t) { return padded(hour_of_twelve(t.hour), 2); }},
    Part{"04", [](const LocalTime& t) { return padded(t.minute, 2); }},
    Part{"05", [](const LocalTime& t) { return padded(t.second, 2); }},
    Part{"06", [](const LocalTime& t) { return padded(t.year % 100, 2); }},
    Part{"15", [](const LocalTime& t) { return padded(t.hour, 2); }},
    Part{"PM", [](const LocalTime& t) { return std::string(t.hour < 12 ? "AM" : "PM"); }},
    Part{"pm", [](const LocalTime& t) { return std::string(t.hour < 12 ? "am" : "pm"); }},
    Part{"Z07:00", [](const LocalTime& t) { return zone("Z07:00", t.utc_offset_s); }},
    Part{"Z0700", [](const LocalTime& t) { return zone("Z0700", t.utc_offset_s); }},
    Part{"-07:00", [](const LocalTime& t) { return zone("-07:00", t.utc_offset_s); }},
    Part{"-0700", [](const LocalTime& t) { return zone("-0700", t.utc_offset_s); }},
    Part{"-07", [](const LocalTime& t) { return zone("-07", t.utc_offset_s); }},
    Part{"_2", [](const LocalTime& t) { return padded(t.day, 2, ' '); }},
    Part{"1", [](const LocalTime& t) { return std::to_string(t.month); }},
    Part{"2", [](const LocalTime& t) { return std::to_string(t.day); }},
    Part{"3", [](const LocalTime& t) { return std::to_string(hour_of_twelve(t.hour)); }},
    Part{"4", [](const LocalTime& t) { return std::to_string(t.minute); }},
    Part{"5", [](const LocalTime& t) { return std::to_string(t.second); }},
};

/// The length of ".000" or ",999" at the beginning; 0 where there is none.
std::size_t fraction_length(std::string_view rest) {
  if (rest.size() < 2 || (rest[0] != '.' && rest[0] != ',') || (rest[1] != '0' && rest[1] != '9')) {
    return 0;
  }
  const std::size_t end = std::min(rest.find_first_not_of(rest[1], 1), rest.size());
  const bool goes_on = end < rest.size() && rest[end] >= '0' && rest[end] <= '9';
  return goes_on || end > 10 ? 0 : end;
}

std::string fraction(std::string_view form, int nanosecond) {
  std::string digits = padded(nanosecond, 9).substr(0, form.size() - 1);
  if (form[1] == '9') {
    digits.erase(digits.find_last_not_of('0') + 1);
  }
  return digits.empty() ? std::string() : form[0] + digits;
}

}  // namespace

LocalTime local_time(base::WallTime time) {
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  std::int64_t seconds = time.nanoseconds / kNanoseconds;
  std::int64_t rest = time.nanoseconds % kNanoseconds;
  if (rest < 0) {
    rest += kNanoseconds;
    seconds -= 1;
  }
  const time_t moment = seconds;
  struct tm parts {};
  ::localtime_r(&moment, &parts);
  return {.year = parts.tm_year + 1900,
          .month = parts.tm_mon + 1,
          .day = parts.tm_mday,
          .hour = parts.tm_hour,
          .minute = parts.tm_min,
          .second = parts.tm_sec,
          .nanosecond = static_cast<int>(rest),
          .weekday = parts.tm_wday,
          .day_of_year = parts.tm_yday + 1,
          .utc_offset_s = static_cast<int>(parts.tm_gmtoff),
          .zone_name = parts.tm_zone == nullptr ? "" : parts.tm_zone};
}

std::string format_time(std::string_view time_template, const LocalTime& time) {
  std::string text;
  for (std::string_view rest = time_template; !rest.empty();) {
    if (const std::size_t length = fraction_length(rest); length > 0) {
      text += fraction(rest.substr(0, length), time.nanosecond);
      rest.remove_prefix(length);
      continue;
    }
    const auto part = std::find_if(kParts.begin(), kParts.end(),
                                   [&](const Part& one) { return rest.starts_with(one.form); });
    if (part == kParts.end()) {
      text += rest.front();
      rest.remove_prefix(1);
      continue;
    }
    text += part->text(time);
    rest.remove_prefix(part->form.size());
  }
  return text;
}

Result<> check_time_template(std::string_view time_template) {
  if (time_template.empty()) {
    return fail(ErrorCode::Invalid, "the time template is empty");
  }
  if (time_template.find_first_of("/\\") != std::string_view::npos) {
    return fail(ErrorCode::Invalid, "the time template has a slash: it makes one name");
  }
  return {};
}

}  // namespace firn::mount
