// Sizes, times, durations, permissions and tables as people read them, and times as scripts do.
//
// Threads: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/clock.h"
#include "repo/base/result.h"
#include "repo/format/tree.h"

namespace firn::cli {

/// Binary units with three digits: "0 B", "999 B", "1.00 KiB", "12.3 MiB", "123 GiB".
std::string size_text(std::uint64_t bytes);
/// "1,234,567".
std::string count_text(std::uint64_t count);
/// "0:07", "12:34", "1:02:03", "2d 3:04:05".
std::string duration_text(std::chrono::nanoseconds duration);
/// 0 to 1 as "12.3%".
std::string percent_text(double fraction);
/// `part` of `whole`, at most 1; 0 when there is nothing.
double fraction_of(std::uint64_t part, std::uint64_t whole);

/// RFC 3339 with nanoseconds and the machine's offset: "2026-03-04T05:06:07.000000008+01:00"; "Z" for none.
std::string json_time(const format::Timestamp& time);
std::string json_time(base::WallTime time);
/// "2026-03-04 05:06:07" in the machine's time zone.
std::string plain_time(const format::Timestamp& time);
std::string plain_time(base::WallTime time);
format::Timestamp timestamp_of(base::WallTime time);

/// "2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05" in the machine's time zone, or RFC 3339, or "now".
/// Errors: Invalid.
Result<base::WallTime> parse_time(std::string_view text, base::WallTime now);
/// "90s", "15m", "2h30m", "7d", "1y2m3d4h" as restic writes durations. Errors: Invalid.
Result<std::chrono::seconds> parse_duration(std::string_view text);

/// "drwxr-xr-x" as ls shows it.
std::string permissions_text(format::FileType type, std::uint16_t mode);

/// Columns that line up. The first row is the heading; a number column is aligned to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> heading, std::vector<bool> right_aligned = {});
  /// A cell may hold several lines.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  std::size_t rows() const { return rows_.size(); }
  /// With a rule under the heading and below the last row; every line ends with a newline and no blanks.
  std::string text() const;

 private:
  std::vector<std::string> heading_;
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

/// How many columns of a terminal a text takes: characters, not bytes. Bytes that are not UTF-8 count one
/// each.
std::size_t columns_of(std::string_view text);
/// At most `columns` columns of it; what is left out in the middle becomes "…".
std::string shortened(std::string_view text, std::size_t columns);

}  // namespace firn::cli
