#include "agent/cli/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "agent/cli/errors.h"
#include "agent/cli/text.h"

namespace firn::cli {
namespace {

using std::chrono::nanoseconds;

constexpr std::size_t kWide = 100;

/// Zero: nothing is told.
nanoseconds choose_interval(const Context& context, bool has_json) {
  const Output& out = context.out;
  if (out.quiet() || (out.json() && !has_json)) {
    return nanoseconds(0);
  }
  if (const auto wish = setting(context.world.variable, "PROGRESS_FPS")) {
    const double per_second = std::strtod(wish->c_str(), nullptr);
    if (per_second > 0) {
      return nanoseconds(static_cast<std::int64_t>(1e9 / std::min(per_second, 60.0)));
    }
  }
  if (out.json()) {
    return std::chrono::milliseconds(500);
  }
  return out.terminal() ? nanoseconds(std::chrono::milliseconds(100)) : nanoseconds(std::chrono::minutes(1));
}

}  // namespace

Progress::Progress(Context& context, TakeSample sample, TakeStatus status)
    : context_(context),
      sample_(std::move(sample)),
      status_(std::move(status)),
      start_(context.world.executor.clock().steady()),
      interval_(choose_interval(context, status_ != nullptr)),
      stopped_(context.world.executor),
      time_before_(start_) {
  if (interval_ > nanoseconds(0)) {
    task_ = context.world.executor.spawn("progress", [this] { run(); });
  }
}

Progress::~Progress() { end(); }

void Progress::end() {
  {
    auto stopped = stopped_.lock();
    *stopped = true;
    stopped.notify();
  }
  if (task_) {
    task_->join();
    task_.reset();
    context_.out.show_status({});
  }
}

nanoseconds Progress::elapsed() const { return context_.world.executor.clock().steady() - start_; }

void Progress::run() {
  const base::Clock& clock = context_.world.executor.clock();
  base::SteadyTime next = clock.steady() + interval_;
  while (true) {
    {
      auto stopped = stopped_.lock();
      if (stopped.wait_until(next, [](bool value) { return value; })) {
        return;
      }
    }
    tell();
    next = std::max(next + interval_, clock.steady());
  }
}

void Progress::tell() {
  if (context_.out.json()) {
    context_.out.line(json_text(status_(elapsed())));
    return;
  }
  const Sample sample = sample_();
  const base::SteadyTime now = context_.world.executor.clock().steady();
  const double seconds = std::chrono::duration<double>(now - time_before_).count();
  if (seconds > 0) {
    const double current =
        static_cast<double>(sample.bytes - std::min(sample.bytes, bytes_before_)) / seconds;
    // Half of the weight lies in the last three seconds.
    const double weight = 1 - std::exp2(-seconds / 3);
    rate_ = bytes_before_ == 0 ? current : rate_ + weight * (current - rate_);
    bytes_before_ = sample.bytes;
    time_before_ = now;
  }
  if (context_.out.terminal()) {
    context_.out.show_status(status_lines(sample, rate_, elapsed(), context_.out.width()));
    return;
  }
  std::string line = "[" + duration_text(elapsed()) + "] " + sample.phase;
  if (sample.done) {
    line += " " + percent_text(*sample.done);
  }
  line += "  " + sample.counts + "  " + size_text(sample.bytes);
  context_.out.note(line);
}

std::string bar_text(double done, std::size_t width) {
  if (width < 3) {
    return {};
  }
  const auto filled = static_cast<std::size_t>(std::clamp(done, 0.0, 1.0) * static_cast<double>(width - 2));
  return "[" + std::string(filled, '#') + std::string(width - 2 - filled, '-') + "]";
}

std::optional<nanoseconds> remaining_time(const Sample& sample, nanoseconds elapsed) {
  if (!sample.done || *sample.done <= 0.001) {
    return std::nullopt;
  }
  const double rest = (1 - *sample.done) / *sample.done;
  return nanoseconds(static_cast<std::int64_t>(static_cast<double>(elapsed.count()) * rest));
}

std::vector<std::string> status_lines(const Sample& sample, double bytes_per_second, nanoseconds elapsed,
                                      std::size_t columns) {
  const bool wide = columns >= kWide;
  std::string line = duration_text(elapsed) + " " + sample.phase;
  if (sample.done) {
    line += " " + bar_text(*sample.done, wide ? 22 : 12) + " " + percent_text(*sample.done);
  }
  line += "  " + sample.counts + "  " + size_text(sample.bytes);
  if (sample.bytes_total > 0 && wide) {
    line += " of " + size_text(sample.bytes_total);
  }
  if (bytes_per_second >= 1) {
    line += "  " + size_text(static_cast<std::uint64_t>(bytes_per_second)) + "/s";
  }
  if (const auto rest = remaining_time(sample, elapsed)) {
    line += "  ETA " + duration_text(*rest);
  }
  std::vector<std::string> lines{line};
  if (!sample.current.empty()) {
    if (wide) {
      lines.push_back("  " + printable(sample.current));
    } else if (columns_of(line) + 12 < columns) {
      lines[0] += "  " + shortened(printable(sample.current), columns - columns_of(line) - 3);
    }
  }
  return lines;
}

void add_times(Json& status, const Sample& sample, nanoseconds elapsed) {
  status["seconds_elapsed"] = std::chrono::duration_cast<std::chrono::seconds>(elapsed).count();
  if (const auto rest = remaining_time(sample, elapsed)) {
    status["seconds_remaining"] = std::chrono::duration_cast<std::chrono::seconds>(*rest).count();
  }
  status["percent_done"] = sample.done.value_or(0);
}

}  // namespace firn::cli
