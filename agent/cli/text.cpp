#include "agent/cli/text.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <optional>
#include <utility>

namespace firn::cli {
namespace {

constexpr std::int64_t kNanoseconds = 1'000'000'000;

template <class... Arguments>
std::string print(const char* format, Arguments... arguments) {
  std::array<char, 160> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), format, arguments...);
  return {buffer.data(), static_cast<std::size_t>(std::max(length, 0))};
}

/// Takes an unsigned number of at most `digits_max` digits from the front of `text`.
bool take_number(std::string_view& text, std::size_t digits_min, std::size_t digits_max, int& out) {
  std::size_t digits = 0;
  while (digits < text.size() && digits < digits_max && text[digits] >= '0' && text[digits] <= '9') {
    ++digits;
  }
  if (digits < digits_min || digits == 0) {
    return false;
  }
  std::from_chars(text.data(), text.data() + digits, out);
  text.remove_prefix(digits);
  return true;
}

bool take_char(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) {
    return false;
  }
  text.remove_prefix(1);
  return true;
}

struct CivilTime {
  struct tm fields {};
  std::int64_t nanoseconds = 0;
  std::optional<std::int64_t> offset_seconds;  // the machine's where there is none
};

bool parse_civil(std::string_view text, CivilTime& out) {
  struct tm& fields = out.fields;
  if (!take_number(text, 4, 4, fields.tm_year) || !take_char(text, '-') ||
      !take_number(text, 2, 2, fields.tm_mon) || !take_char(text, '-') ||
      !take_number(text, 2, 2, fields.tm_mday)) {
    return false;
  }
  fields.tm_year -= 1900;
  fields.tm_mon -= 1;
  fields.tm_isdst = -1;
  if (fields.tm_mon > 11 || fields.tm_mday < 1 || fields.tm_mday > 31) {
    return false;
  }
  if (text.empty()) {
    return true;
  }
  if ((!take_char(text, 'T') && !take_char(text, ' ')) || !take_number(text, 2, 2, fields.tm_hour) ||
      !take_char(text, ':') || !take_number(text, 2, 2, fields.tm_min)) {
    return false;
  }
  if (take_char(text, ':') && !take_number(text, 2, 2, fields.tm_sec)) {
    return false;
  }
  if (take_char(text, '.')) {
    int fraction = 0;
    const std::size_t before = text.size();
    if (!take_number(text, 1, 9, fraction)) {
      return false;
    }
    out.nanoseconds = fraction;
    for (std::size_t digits = before - text.size(); digits < 9; ++digits) {
      out.nanoseconds *= 10;
    }
  }
  if (take_char(text, 'Z')) {
    out.offset_seconds = 0;
  } else if (!text.empty() && (text.front() == '+' || text.front() == '-')) {
    const int sign = text.front() == '-' ? -1 : 1;
    int hours = 0;
    int minutes = 0;
    text.remove_prefix(1);
    if (!take_number(text, 2, 2, hours) || !take_char(text, ':') || !take_number(text, 2, 2, minutes)) {
      return false;
    }
    out.offset_seconds = sign * (hours * 3600 + minutes * 60);
  }
  return text.empty() && fields.tm_hour < 24 && fields.tm_min < 60 && fields.tm_sec < 61;
}

}  // namespace

std::string size_text(std::uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1000) {
    return print("%u B", static_cast<unsigned>(bytes));
  }
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  // 999.5 would be shown with four digits.
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  const int decimals = value < 9.995 ? 2 : (value < 99.95 ? 1 : 0);
  return print("%.*f %s", decimals, value, kUnits[unit]);
}

std::string count_text(std::uint64_t count) {
  std::string text = std::to_string(count);
  for (std::size_t at = text.size(); at > 3;) {
    at -= 3;
    text.insert(at, ",");
  }
  return text;
}

std::string duration_text(std::chrono::nanoseconds duration) {
  const auto total = std::max<std::int64_t>(0, duration.count() / kNanoseconds);
  const int seconds = static_cast<int>(total % 60);
  const int minutes = static_cast<int>(total / 60 % 60);
  const int hours = static_cast<int>(total / 3600 % 24);
  if (total >= 86400) {
    return print("%lldd %d:%02d:%02d", static_cast<long long>(total / 86400), hours, minutes, seconds);
  }
  return total >= 3600 ? print("%d:%02d:%02d", hours, minutes, seconds) : print("%d:%02d", minutes, seconds);
}

std::string percent_text(double fraction) { return print("%.1f%%", 100 * fraction); }

double fraction_of(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : std::min(1.0, static_cast<double>(part) / static_cast<double>(whole));
}

format::Timestamp timestamp_of(base::WallTime time) {
  std::int64_t seconds = time.nanoseconds / kNanoseconds;
  std::int64_t rest = time.nanoseconds % kNanoseconds;
  if (rest < 0) {
    rest += kNanoseconds;
    seconds -= 1;
  }
  return {.seconds = seconds, .nanoseconds = static_cast<std::uint32_t>(rest)};
}

std::string json_time(const format::Timestamp& time) {
  const time_t seconds = time.seconds;
  struct tm local {};
  // A time that no calendar of this machine holds, as a damaged inode may have it.
  if (::localtime_r(&seconds, &local) == nullptr || local.tm_year < -1900 || local.tm_year > 8099) {
    return time.seconds < 0 ? "0001-01-01T00:00:00Z" : "9999-12-31T23:59:59Z";
  }
  std::string text = print("%04d-%02d-%02dT%02d:%02d:%02d", local.tm_year + 1900, local.tm_mon + 1,
                           local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec);
  if (time.nanoseconds != 0) {
    text += print(".%09u", time.nanoseconds);
    text.erase(text.find_last_not_of('0') + 1);
  }
  const long offset = local.tm_gmtoff;
  if (offset == 0) {
    return text + "Z";
  }
  const long minutes = (offset < 0 ? -offset : offset) / 60;
  return text + print("%c%02ld:%02ld", offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

std::string json_time(base::WallTime time) { return json_time(timestamp_of(time)); }

std::string plain_time(const format::Timestamp& time) {
  std::string text = json_time(time).substr(0, 19);
  text[10] = ' ';
  return text;
}

std::string plain_time(base::WallTime time) { return plain_time(timestamp_of(time)); }

Result<base::WallTime> parse_time(std::string_view text, base::WallTime now) {
  if (text == "now") {
    return now;
  }
  CivilTime civil;
  // Years that nanoseconds in 64 bits can hold.
  if (!parse_civil(text, civil) || civil.fields.tm_year + 1900 < 1678 || civil.fields.tm_year + 1900 > 2261) {
    return fail(ErrorCode::Invalid,
                "\"" + std::string(text) + "\" is no time: write \"2006-01-02 15:04:05\", RFC 3339, or now");
  }
  const std::int64_t seconds = civil.offset_seconds ? ::timegm(&civil.fields) - *civil.offset_seconds
                                                    : static_cast<std::int64_t>(::mktime(&civil.fields));
  return base::WallTime{seconds * kNanoseconds + civil.nanoseconds};
}

Result<std::chrono::seconds> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::int64_t seconds;
  };
  // In restic's durations of days and longer "m" is a month; a duration of hours or less has minutes.
  const bool of_days = text.find_first_of("yd") != std::string_view::npos;
  const std::array<Unit, 6> units = {{{"y", 365 * 86400},
                                      {"d", 86400},
                                      {"h", 3600},
                                      {"min", 60},
                                      {"m", of_days ? 30 * 86400 : 60},
                                      {"s", 1}}};
  const auto invalid = [&] {
    return fail(ErrorCode::Invalid,
                "\"" + std::string(text) + "\" is no duration: write 90s, 15m, 2h30m or 7d");
  };
  std::string_view rest = text;
  std::int64_t total = 0;
  if (rest.empty()) {
    return invalid();
  }
  while (!rest.empty()) {
    int number = 0;
    if (!take_number(rest, 1, 9, number)) {
      return invalid();
    }
    const auto unit = std::find_if(units.begin(), units.end(),
                                   [&](const Unit& candidate) { return rest.starts_with(candidate.name); });
    if (unit == units.end()) {
      if (rest.empty() && number == 0) {
        break;
      }
      return invalid();
    }
    total += number * unit->seconds;
    rest.remove_prefix(unit->name.size());
  }
  return std::chrono::seconds(total);
}

std::string permissions_text(format::FileType type, std::uint16_t mode) {
  constexpr std::string_view kTypes = "?-dlpsbc";
  const auto index = static_cast<std::size_t>(type);
  std::string text(1, index < kTypes.size() ? kTypes[index] : '?');
  for (int shift = 6; shift >= 0; shift -= 3) {
    text += (mode >> shift & 4) != 0 ? 'r' : '-';
    text += (mode >> shift & 2) != 0 ? 'w' : '-';
    text += (mode >> shift & 1) != 0 ? 'x' : '-';
  }
  const auto special = [&](int bit, std::size_t place, char with_x, char without_x) {
    if ((mode & bit) != 0) {
      text[place] = text[place] == 'x' ? with_x : without_x;
    }
  };
  special(04000, 3, 's', 'S');
  special(02000, 6, 's', 'S');
  special(01000, 9, 't', 'T');
  return text;
}

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string shortened(std::string_view text, std::size_t columns) {
  if (columns_of(text) <= columns) {
    return std::string(text);
  }
  if (columns < 4) {
    return std::string(columns, '.');
  }
  std::vector<std::size_t> starts;  // of the characters
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) {
      starts.push_back(i);
    }
  }
  const std::size_t left = (columns - 1) / 2;
  const std::size_t right = columns - 1 - left;
  return std::string(text.substr(0, starts[left])) + "…" +
         std::string(text.substr(starts[starts.size() - right]));
}

Table::Table(std::vector<std::string> heading, std::vector<bool> right_aligned)
    : heading_(std::move(heading)), right_(std::move(right_aligned)) {
  right_.resize(heading_.size());
}

void Table::add(std::vector<std::string> cells) {
  cells.resize(heading_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  const auto lines_of = [](std::string_view cell) {
    std::vector<std::string_view> lines;
    while (true) {
      const auto end = cell.find('\n');
      lines.push_back(cell.substr(0, end));
      if (end == std::string_view::npos) {
        return lines;
      }
      cell.remove_prefix(end + 1);
    }
  };
  std::vector<std::size_t> widths(heading_.size());
  const auto measure = [&](const std::vector<std::string>& cells) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      for (const std::string_view line : lines_of(cells[i])) {
        widths[i] = std::max(widths[i], columns_of(line));
      }
    }
  };
  measure(heading_);
  for (const auto& row : rows_) {
    measure(row);
  }

  std::string out;
  const auto add_row = [&](const std::vector<std::string>& cells) {
    std::size_t height = 1;
    for (const auto& cell : cells) {
      height = std::max(height, lines_of(cell).size());
    }
    for (std::size_t line = 0; line < height; ++line) {
      std::string text;
      for (std::size_t i = 0; i < cells.size(); ++i) {
        const auto lines = lines_of(cells[i]);
        const std::string_view part = line < lines.size() ? lines[line] : std::string_view();
        const std::string padding(widths[i] - columns_of(part), ' ');
        text += (i == 0 ? "" : "  ");
        text += right_[i] ? padding : "";
        text += part;
        text += right_[i] ? "" : padding;
      }
      text.erase(text.find_last_not_of(' ') + 1);
      out += text + "\n";
    }
  };
  std::size_t total = widths.empty() ? 0 : 2 * (widths.size() - 1);
  for (const std::size_t width : widths) {
    total += width;
  }
  const std::string rule = std::string(total, '-') + "\n";
  add_row(heading_);
  out += rule;
  for (const auto& row : rows_) {
    add_row(row);
  }
  out += rule;
  return out;
}

}  // namespace firn::cli
