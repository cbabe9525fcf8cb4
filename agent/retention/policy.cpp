#include "agent/retention/policy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

namespace firn::retention {
namespace {

constexpr std::int64_t kNanoseconds = 1'000'000'000;
constexpr std::array<const char*, kPeriods> kCountReasons = {"last snapshot",    "hourly snapshot",
                                                             "daily snapshot",   "weekly snapshot",
                                                             "monthly snapshot", "yearly snapshot"};
constexpr std::array<const char*, kPeriods> kWithinReasons = {
    "within", "hourly within", "daily within", "weekly within", "monthly within", "yearly within"};
constexpr std::array<const char*, kPeriods> kAdjectives = {"latest", "hourly",  "daily",
                                                           "weekly", "monthly", "yearly"};

/// A moment as the wall clock of a place shows it.
struct Civil {
  std::chrono::sys_days day;
  std::int64_t nanoseconds_of_day = 0;
};

Civil civil_of(base::WallTime time, const UtcOffset& offset) {
  const auto local = std::chrono::nanoseconds(time.nanoseconds) + std::chrono::seconds(offset(time));
  const auto day = std::chrono::floor<std::chrono::days>(local);
  return {.day = std::chrono::sys_days(day), .nanoseconds_of_day = (local - day).count()};
}

/// Where a local time is skipped or comes twice, one of the two neighbours.
base::WallTime wall_of(const Civil& civil, const UtcOffset& offset) {
  const std::int64_t local =
      std::chrono::nanoseconds(civil.day.time_since_epoch()).count() + civil.nanoseconds_of_day;
  base::WallTime guess{local - offset(base::WallTime{local}) * kNanoseconds};
  return {local - offset(guess) * kNanoseconds};
}

/// The number of an ISO week, with its year, so that equal numbers are equal weeks.
std::int64_t iso_week(std::chrono::sys_days day) {
  // A week belongs to the year of its Thursday.
  const std::chrono::weekday weekday(day);
  const auto thursday = day + std::chrono::days(4 - static_cast<int>(weekday.iso_encoding()));
  const auto year = std::chrono::year_month_day(thursday).year();
  const auto first = std::chrono::sys_days(year / std::chrono::January / 1);
  return static_cast<int>(year) * 100LL + (thursday - first).count() / 7;
}

/// Equal for two snapshots of the same hour, day …; `place` tells snapshots apart.
std::int64_t period_of(Period period, const Civil& civil, std::size_t place) {
  const std::chrono::year_month_day date(civil.day);
  const std::int64_t year = static_cast<int>(date.year());
  const std::int64_t days = civil.day.time_since_epoch().count();
  switch (period) {
    case Period::Each:
      return static_cast<std::int64_t>(place);
    case Period::Hour:
      return days * 24 + civil.nanoseconds_of_day / (3600 * kNanoseconds);
    case Period::Day:
      return days;
    case Period::Week:
      return iso_week(civil.day);
    case Period::Month:
      return year * 12 + static_cast<unsigned>(date.month());
    case Period::Year:
      return year;
  }
  return 0;
}

/// `time` less `span`. A day that its month does not have runs over into the next: 31 March less a month is
/// 3 March.
base::WallTime back_from(base::WallTime time, const Span& span, const UtcOffset& offset) {
  Civil civil = civil_of(time, offset);
  const std::chrono::year_month_day date(civil.day);
  const auto month =
      date.year() / date.month() - std::chrono::years(span.years) - std::chrono::months(span.months);
  civil.day = std::chrono::sys_days(month / 1) + std::chrono::days(static_cast<unsigned>(date.day()) - 1) -
              std::chrono::days(span.days);
  return {wall_of(civil, offset).nanoseconds - span.hours * 3600LL * kNanoseconds};
}

bool has_tags(std::span<const std::string> tags, const std::vector<std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& tag) {
    return (tag.empty() && tags.empty()) || std::find(tags.begin(), tags.end(), tag) != tags.end();
  });
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) {
    text += (text.empty() ? "" : ", ") + part;
  }
  return text;
}

/// The running state of one rule: what it kept last, and how many it may still keep.
struct Rule {
  Period period = Period::Each;
  std::int64_t left = 0;
  std::optional<base::WallTime> after;  // only snapshots after this
  std::optional<std::int64_t> last;
  std::string reason;

  bool takes(const Civil& civil, base::WallTime time, std::size_t place, bool oldest,
             std::vector<std::string>& reasons) {
    if (left == 0 || (after && time <= *after)) {
      return false;
    }
    const std::int64_t value = period_of(period, civil, place);
    const bool same = last == value;
    if (same && !oldest) {
      return false;
    }
    last = value;
    left -= left > 0 ? 1 : 0;
    reasons.push_back((same ? "oldest " : "") + reason);
    return true;
  }
};

std::vector<Rule> rules_of(const Policy& policy, base::WallTime newest, const UtcOffset& offset) {
  std::vector<Rule> rules;
  const auto within = [&](std::size_t i) {
    if (policy.within[i]) {
      rules.push_back({.period = static_cast<Period>(i),
                       .left = Count::kUnlimited,
                       .after = back_from(newest, *policy.within[i], offset),
                       .last = std::nullopt,
                       .reason = std::string(kWithinReasons[i]) + " " + to_string(*policy.within[i])});
    }
  };
  // In the order in which restic names its reasons.
  within(0);
  for (std::size_t i = 0; i < kPeriods; ++i) {
    if (policy.counts[i].any()) {
      rules.push_back({.period = static_cast<Period>(i),
                       .left = policy.counts[i].value,
                       .after = std::nullopt,
                       .last = std::nullopt,
                       .reason = kCountReasons[i]});
    }
  }
  for (std::size_t i = 1; i < kPeriods; ++i) {
    within(i);
  }
  return rules;
}

}  // namespace

Result<Span> parse_span(std::string_view text) {
  const auto invalid = [&] {
    return fail(ErrorCode::Invalid,
                "\"" + std::string(text) + "\" is no span: write years, months, days and hours as 1y2m3d4h");
  };
  Span span;
  std::string_view rest = text;
  if (rest.empty()) {
    return invalid();
  }
  while (!rest.empty()) {
    int number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    // A century and more is a slip of the finger; the calendar below holds it all the same.
    if (error != std::errc() || number < 0 || number > 1'000'000 || end == rest.data() + rest.size()) {
      return invalid();
    }
    int* part = nullptr;
    switch (*end) {
      case 'y':
        part = &span.years;
        break;
      case 'm':
        part = &span.months;
        break;
      case 'd':
        part = &span.days;
        break;
      case 'h':
        part = &span.hours;
        break;
      default:
        return invalid();
    }
    *part = number;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()) + 1);
  }
  if (span.years > 200 || span.months > 2400 || span.days > 73000) {
    return invalid();
  }
  return span;
}

std::string to_string(const Span& span) {
  std::string text;
  for (const auto& [number, unit] :
       {std::pair{span.years, 'y'}, {span.months, 'm'}, {span.days, 'd'}, {span.hours, 'h'}}) {
    if (number != 0) {
      text += std::to_string(number) + unit;
    }
  }
  return text;
}

Result<Count> parse_count(std::string_view text) {
  if (text == "unlimited" || text == "-1") {
    return Count{Count::kUnlimited};
  }
  Count count;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count.value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || count.value < 0) {
    return fail(ErrorCode::Invalid, "\"" + std::string(text) + "\" is no number of snapshots");
  }
  return count;
}

bool Policy::empty() const {
  return tags.empty() &&
         std::none_of(std::begin(counts), std::end(counts), [](Count c) { return c.any(); }) &&
         std::none_of(std::begin(within), std::end(within),
                      [](const auto& span) { return span.has_value(); });
}

std::string to_string(const Policy& policy) {
  std::vector<std::string> counted;
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < kPeriods; ++i) {
    const std::int64_t count = policy.counts[i].value;
    if (count != 0) {
      counted.push_back((count < 0 ? "all" : std::to_string(count)) + " " + kAdjectives[i]);
    }
  }
  if (!counted.empty()) {
    parts.push_back(joined(counted) + " snapshots");
  }
  for (std::size_t i = 0; i < kPeriods; ++i) {
    if (policy.within[i]) {
      parts.push_back((i == 0 ? "all" : kAdjectives[i]) + std::string(" snapshots within ") +
                      to_string(*policy.within[i]) + " of the newest");
    }
  }
  for (const auto& tags : policy.tags) {
    parts.push_back("all snapshots with tags [" + joined(tags) + "]");
  }
  return parts.empty() ? "keep nothing" : "keep " + joined(parts);
}

std::vector<Decision> decide(const Policy& policy, std::span<const Candidate> newest_first,
                             base::WallTime now, const UtcOffset& offset) {
  std::vector<Decision> decisions(newest_first.size());
  const auto past = std::find_if(newest_first.begin(), newest_first.end(),
                                 [&](const Candidate& one) { return one.time <= now; });
  std::vector<Rule> rules;
  if (past != newest_first.end()) {
    rules = rules_of(policy, past->time, offset);
  }
  for (std::size_t i = 0; i < newest_first.size(); ++i) {
    const Candidate& one = newest_first[i];
    Decision& decision = decisions[i];
    for (const auto& wanted : policy.tags) {
      if (has_tags(one.tags, wanted)) {
        decision.reasons.push_back("has tags [" + joined(wanted) + "]");
      }
    }
    if (one.time > now) {
      decision.reasons.emplace_back("time in the future");
    } else {
      const Civil civil = civil_of(one.time, offset);
      for (Rule& rule : rules) {
        // Of a plain span every snapshot is taken, each being a period of its own.
        rule.takes(civil, one.time, i, i + 1 == newest_first.size(), decision.reasons);
      }
    }
    decision.keep = !decision.reasons.empty();
  }
  return decisions;
}

}  // namespace firn::retention
