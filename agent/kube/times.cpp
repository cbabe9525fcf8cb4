#include "agent/kube/times.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>

namespace firn::kube {
namespace {

std::string text(base::WallTime time, bool with_fraction) {
  using namespace std::chrono;
  const sys_time<nanoseconds> point{nanoseconds(time.nanoseconds)};
  const auto day = floor<days>(point);
  const year_month_day date(day);
  const hh_mm_ss clock(floor<microseconds>(point - day));
  std::array<char, 48> out{};
  const int used =
      std::snprintf(out.data(), out.size(), "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(date.year()),
                    static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                    static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                    static_cast<int>(clock.seconds().count()));
  std::string written(out.data(), static_cast<std::size_t>(used));
  if (with_fraction) {
    std::snprintf(out.data(), out.size(), ".%06d", static_cast<int>(clock.subseconds().count()));
    written += out.data();
  }
  return written + "Z";
}

/// Exactly `digits` digits at the front of `rest`.
std::optional<int> take(std::string_view& rest, std::size_t digits) {
  int value = 0;
  if (rest.size() < digits) {
    return std::nullopt;
  }
  const auto [end, failed] = std::from_chars(rest.data(), rest.data() + digits, value);
  if (failed != std::errc{} || end != rest.data() + digits || value < 0) {
    return std::nullopt;
  }
  rest.remove_prefix(digits);
  return value;
}

bool take_mark(std::string_view& rest, char wanted) {
  if (rest.empty() || rest.front() != wanted) {
    return false;
  }
  rest.remove_prefix(1);
  return true;
}

}  // namespace

std::string time_text(base::WallTime time) { return text(time, false); }
std::string micro_time_text(base::WallTime time) { return text(time, true); }

std::optional<base::WallTime> parse_time_text(std::string_view rest) {
  using namespace std::chrono;
  const auto y = take(rest, 4);
  const bool after_year = take_mark(rest, '-');
  const auto mo = take(rest, 2);
  const bool after_month = take_mark(rest, '-');
  const auto d = take(rest, 2);
  const bool after_day = take_mark(rest, 'T');
  const auto h = take(rest, 2);
  const bool after_hour = take_mark(rest, ':');
  const auto mi = take(rest, 2);
  const bool after_minute = take_mark(rest, ':');
  const auto s = take(rest, 2);
  if (!y || !mo || !d || !h || !mi || !s || !after_year || !after_month || !after_day || !after_hour ||
      !after_minute || *h > 23 || *mi > 59 || *s > 60) {
    return std::nullopt;
  }
  const year_month_day date{year(*y), month(static_cast<unsigned>(*mo)), day(static_cast<unsigned>(*d))};
  if (!date.ok() || *y < 1970 || *y > 2260) {
    return std::nullopt;
  }
  std::int64_t nanos = 0;
  if (take_mark(rest, '.')) {
    std::int64_t unit = 100'000'000;
    while (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') {
      nanos += unit * (rest.front() - '0');
      unit /= 10;
      rest.remove_prefix(1);
    }
  }
  if (rest != "Z") {
    return std::nullopt;
  }
  const auto point = sys_days(date) + hours(*h) + minutes(*mi) + seconds(*s) + nanoseconds(nanos);
  return base::WallTime{duration_cast<nanoseconds>(point.time_since_epoch()).count()};
}

}  // namespace firn::kube
