// How far a long command is, told while it runs: lines redrawn in place on a terminal, JSON status lines, or
// a line a minute where neither is.
//
// RESTIC_PROGRESS_FPS (or FIRN_PROGRESS_FPS) says how often instead. Threads: the sample function runs on a
// task of its own until the Progress is destroyed or ended.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "agent/cli/context.h"
#include "agent/cli/json.h"
#include "repo/base/monitor.h"

namespace firn::cli {

/// One moment of a job.
struct Sample {
  std::string phase;              // "scanning", "backing up"
  std::optional<double> done;     // 0 to 1, where the whole is known
  std::string counts;             // "1,234 files, 5 errors"
  std::uint64_t bytes = 0;        // so far
  std::uint64_t bytes_total = 0;  // 0: not known
  std::string current;            // what is being done
};

class Progress {
 public:
  using TakeSample = std::function<Sample()>;
  using TakeStatus = std::function<Json(std::chrono::nanoseconds elapsed)>;

  /// `status` may be empty: then nothing is told in JSON.
  Progress(Context& context, TakeSample sample, TakeStatus status);
  ~Progress();

  /// Stops, and takes the progress lines away.
  void end();
  std::chrono::nanoseconds elapsed() const;

 private:
  void run();
  void tell();

  Context& context_;
  TakeSample sample_;
  TakeStatus status_;
  const base::SteadyTime start_;
  std::chrono::nanoseconds interval_{0};
  base::Monitor<bool> stopped_;
  std::unique_ptr<base::Task> task_;
  std::uint64_t bytes_before_ = 0;
  base::SteadyTime time_before_;
  double rate_ = 0;  // bytes a second, smoothed
};

/// The lines of a terminal of so many columns: one, or two when it is wide.
std::vector<std::string> status_lines(const Sample& sample, double bytes_per_second,
                                      std::chrono::nanoseconds elapsed, std::size_t columns);
/// "[####------]" of `width` columns in all.
std::string bar_text(double done, std::size_t width);
/// How long it will still take; nothing where nobody can say.
std::optional<std::chrono::nanoseconds> remaining_time(const Sample& sample,
                                                       std::chrono::nanoseconds elapsed);

/// "seconds_elapsed", "seconds_remaining" and "percent_done", as status lines have them.
void add_times(Json& status, const Sample& sample, std::chrono::nanoseconds elapsed);

}  // namespace firn::cli
