#include "repo/store/s3/times.h"

#include <array>
#include <chrono>
#include <cstdio>

namespace firn::store::s3 {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

struct Calendar {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

Calendar calendar_of(base::WallTime time) {
  using namespace std::chrono;
  const sys_seconds seconds_since{floor<seconds>(nanoseconds(time.nanoseconds))};
  const auto days_since = floor<days>(seconds_since);
  const year_month_day date(days_since);
  const hh_mm_ss<seconds> clock(seconds_since - days_since);
  return {int(date.year()),
          unsigned(date.month()),
          unsigned(date.day()),
          static_cast<int>(clock.hours().count()),
          static_cast<int>(clock.minutes().count()),
          static_cast<int>(clock.seconds().count())};
}

std::optional<base::WallTime> time_of(const Calendar& c, std::int64_t nanoseconds) {
  using namespace std::chrono;
  const year_month_day date{year(c.year), month(c.month), day(c.day)};
  // What nanoseconds in 64 bits can say.
  if (!date.ok() || c.year < 1970 || c.year > 2261 || c.hour > 23 || c.minute > 59 || c.second > 60) {
    return std::nullopt;
  }
  const auto whole =
      sys_days(date).time_since_epoch() + hours(c.hour) + minutes(c.minute) + seconds(c.second);
  return base::WallTime{duration_cast<seconds>(whole).count() * kSecond + nanoseconds};
}

/// Takes text apart from the left; once something is not there, nothing is.
class Taker {
 public:
  explicit Taker(std::string_view text) : text_(text) {}
  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && text_.empty(); }
  bool next_is(char c) const { return ok_ && !text_.empty() && text_.front() == c; }
  void literal(std::string_view wanted) {
    ok_ = ok_ && text_.starts_with(wanted);
    text_.remove_prefix(ok_ ? wanted.size() : 0);
  }
  int number(std::size_t digits) {
    int value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      const std::optional<int> next = digit();
      value = value * 10 + next.value_or(0);
      ok_ = ok_ && next;
    }
    return value;
  }
  std::optional<int> digit() {
    if (!ok_ || text_.empty() || text_.front() < '0' || text_.front() > '9') {
      return std::nullopt;
    }
    const int value = text_.front() - '0';
    text_.remove_prefix(1);
    return value;
  }
  template <std::size_t N>
  unsigned one_of(const std::array<std::string_view, N>& words) {
    for (unsigned i = 0; i < N; ++i) {
      if (ok_ && text_.starts_with(words[i])) {
        text_.remove_prefix(words[i].size());
        return i;
      }
    }
    ok_ = false;
    return 0;
  }

 private:
  std::string_view text_;
  bool ok_ = true;
};

}  // namespace

std::string compact_time(base::WallTime time) {
  const Calendar c = calendar_of(time);
  std::array<char, 80> out{};
  std::snprintf(out.data(), out.size(), "%04d%02u%02uT%02d%02d%02dZ", c.year, c.month, c.day, c.hour,
                c.minute, c.second);
  return out.data();
}

std::string iso_time(base::WallTime time) {
  const Calendar c = calendar_of(time);
  std::array<char, 80> out{};
  std::snprintf(out.data(), out.size(), "%04d-%02u-%02uT%02d:%02d:%02dZ", c.year, c.month, c.day, c.hour,
                c.minute, c.second);
  return out.data();
}

std::optional<base::WallTime> parse_iso_time(std::string_view text) {
  Taker taker(text);
  Calendar c;
  c.year = taker.number(4);
  taker.literal("-");
  c.month = static_cast<unsigned>(taker.number(2));
  taker.literal("-");
  c.day = static_cast<unsigned>(taker.number(2));
  taker.literal("T");
  c.hour = taker.number(2);
  taker.literal(":");
  c.minute = taker.number(2);
  taker.literal(":");
  c.second = taker.number(2);
  std::int64_t fraction = 0;
  if (taker.next_is('.')) {
    taker.literal(".");
    std::int64_t unit = kSecond / 10;
    for (std::optional<int> digit = taker.digit(); digit && unit > 0; unit /= 10) {
      fraction += *digit * unit;
      digit = unit > 1 ? taker.digit() : std::nullopt;
    }
  }
  taker.literal("Z");
  return taker.at_end() ? time_of(c, fraction) : std::nullopt;
}

std::optional<base::WallTime> parse_http_date(std::string_view text) {
  constexpr std::array<std::string_view, 7> kDays = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
  constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  Taker taker(text);
  Calendar c;
  taker.one_of(kDays);
  taker.literal(", ");
  c.day = static_cast<unsigned>(taker.number(2));
  taker.literal(" ");
  c.month = taker.one_of(kMonths) + 1;
  taker.literal(" ");
  c.year = taker.number(4);
  taker.literal(" ");
  c.hour = taker.number(2);
  taker.literal(":");
  c.minute = taker.number(2);
  taker.literal(":");
  c.second = taker.number(2);
  taker.literal(" GMT");
  return taker.at_end() ? time_of(c, 0) : std::nullopt;
}

}  // namespace firn::store::s3
