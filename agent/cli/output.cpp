#include "agent/cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "agent/cli/text.h"
#include "repo/base/files.h"

namespace firn::cli {
namespace {
constexpr std::size_t kPendingBytesMax = 64 << 10;
constexpr std::size_t kColumnsUnknown = 80;
}  // namespace

// Progress is drawn on standard error's terminal when both are one, so that results can be piped away.
Output::Output(const OutputOptions& options)
    : options_(options),
      terminal_(!options.json && !options.quiet && ::isatty(options.out_fd) == 1),
      out_is_terminal_(::isatty(options.out_fd) == 1) {}

std::size_t Output::width() const {
  winsize size{};
  if (::ioctl(options_.out_fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  return kColumnsUnknown;
}

void Output::flush(State& state) {
  if (!state.pending.empty() && state.outcome) {
    state.outcome = base::write_all(options_.out_fd, as_bytes(state.pending), "standard output");
  }
  state.pending.clear();
}

void Output::put_out(State& state, std::string_view bytes) {
  state.pending += bytes;
  if (out_is_terminal_ || state.pending.size() >= kPendingBytesMax) {
    flush(state);
  }
}

void Output::erase_status(State& state) {
  if (state.status_shown == 0) {
    return;
  }
  // To the first status line, then everything below goes.
  std::string codes = "\r";
  if (state.status_shown > 1) {
    codes += "\x1b[" + std::to_string(state.status_shown - 1) + "A";
  }
  put_out(state, codes + "\x1b[J");
  state.status_shown = 0;
}

void Output::draw_status(State& state) {
  if (!terminal_ || state.status.empty()) {
    return;
  }
  const std::size_t columns = width();
  std::string text;
  for (const std::string& status : state.status) {
    text += (text.empty() ? "" : "\n") + shortened(status, columns > 1 ? columns - 1 : 1);
  }
  put_out(state, text);
  state.status_shown = state.status.size();
}

void Output::write(std::string_view bytes) {
  auto state = state_.lock();
  erase_status(*state);
  put_out(*state, bytes);
  // Half a line must not be followed by progress.
  if (bytes.ends_with('\n')) {
    draw_status(*state);
  }
}

void Output::line(std::string_view text) { write(std::string(text) + "\n"); }

void Output::note(std::string_view text) {
  if (!options_.json && !options_.quiet) {
    line(text);
  }
}

void Output::detail(int verbosity, std::string_view text) {
  if (options_.verbosity >= verbosity) {
    note(text);
  }
}

void Output::warn(std::string_view text) { error_line("firn: " + std::string(text)); }

void Output::error_line(std::string_view text) {
  auto state = state_.lock();
  erase_status(*state);
  flush(*state);
  // Nowhere is left to tell of an error here.
  static_cast<void>(base::write_all(options_.err_fd, as_bytes(std::string(text) + "\n"), "standard error"));
  draw_status(*state);
}

void Output::show_status(const std::vector<std::string>& lines) {
  if (!terminal_) {
    return;
  }
  auto state = state_.lock();
  erase_status(*state);
  state->status = lines;
  draw_status(*state);
}

std::string Output::bold(std::string_view text) const {
  return options_.colour ? "\x1b[1m" + std::string(text) + "\x1b[0m" : std::string(text);
}

Result<> Output::outcome() { return state_.lock()->outcome; }

Result<> Output::finish() {
  auto state = state_.lock();
  erase_status(*state);
  state->status.clear();
  flush(*state);
  return state->outcome;
}

}  // namespace firn::cli
