// Which snapshots of one group to keep: a pure function from times, tags and a policy to decisions and their
// reasons.
//
// Promise: the rules and the words of restic's forget, so that a policy means here what it means there: one
// snapshot an hour, day, ISO week, month or year, the newest of each; spans counted back from the newest
// snapshot; the oldest snapshot too, while a rule has counts left. Beside that: a snapshot whose time lies in
// the future is kept and counts for no rule, so that a wrong clock pushes nothing out. Not here: groups,
// filters, and the removing (agent/cli/cmd_forget.cpp). Threads: any.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/clock.h"
#include "repo/base/result.h"

namespace firn::retention {

/// A stretch of the calendar: "1y2m3d4h".
struct Span {
  int years = 0;
  int months = 0;
  int days = 0;
  int hours = 0;
  bool operator==(const Span&) const = default;
};
/// "1y2m3d4h", parts in any order. Errors: Invalid.
Result<Span> parse_span(std::string_view text);
/// Without the parts that are zero.
std::string to_string(const Span& span);

/// How many to keep of a kind.
struct Count {
  static constexpr std::int64_t kUnlimited = -1;
  std::int64_t value = 0;
  bool any() const { return value != 0; }
};
/// A number, "unlimited" or "-1". Errors: Invalid.
Result<Count> parse_count(std::string_view text);

enum class Period : std::uint8_t { Each, Hour, Day, Week, Month, Year };
inline constexpr std::size_t kPeriods = 6;

struct Policy {
  /// By Period: keep the last so many snapshots, hourly ones, daily ones …
  Count counts[kPeriods];
  /// By Period: keep those of a span back from the newest; Each: all of them.
  std::optional<Span> within[kPeriods];
  /// Keep what has all tags of one of these; "" stands for having none.
  std::vector<std::vector<std::string>> tags;

  bool empty() const;
};
/// "keep 3 daily, all weekly snapshots and …".
std::string to_string(const Policy& policy);

struct Candidate {
  base::WallTime time;
  std::span<const std::string> tags;
};

struct Decision {
  bool keep = false;
  std::vector<std::string> reasons;  // of keeping
};

/// Seconds east of UTC at a time; hours, days and weeks begin by this clock.
using UtcOffset = std::function<std::int64_t(base::WallTime)>;

/// One decision for each of `newest_first`, which is sorted by falling time.
std::vector<Decision> decide(const Policy& policy, std::span<const Candidate> newest_first,
                             base::WallTime now, const UtcOffset& offset);

}  // namespace firn::retention
