// Where everything that a command says goes through: results to standard output, notes and errors to standard
// error, and the progress lines that are redrawn below them on a terminal.
//
// Promise: lines of several tasks do not mix; an error scrolls above the progress lines. A standard output
// that cannot be written (full disk, closed pipe) is an error of the command: finish() tells. Not here: what
// is said. Threads: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "repo/base/monitor.h"
#include "repo/base/result.h"

namespace firn::cli {

struct OutputOptions {
  int out_fd = 1;
  int err_fd = 2;
  bool json = false;
  bool quiet = false;
  int verbosity = 0;
  bool colour = false;
};

class Output {
 public:
  explicit Output(const OutputOptions& options);

  bool json() const { return options_.json; }
  bool quiet() const { return options_.quiet; }
  int verbosity() const { return options_.verbosity; }
  /// Whether progress lines can be redrawn.
  bool terminal() const { return terminal_; }
  std::size_t width() const;

  /// Bytes for standard output, as they are. Kept back for a while where it is no terminal.
  void write(std::string_view bytes);
  /// A line for standard output.
  void line(std::string_view text);
  /// A line for people only: nothing with --json or --quiet.
  void note(std::string_view text);
  /// The same from -v, -vv on.
  void detail(int verbosity, std::string_view text);
  /// A line on standard error, at once, with firn's name in front.
  void warn(std::string_view text);
  /// A line on standard error, at once.
  void error_line(std::string_view text);

  /// Replaces the progress lines; none takes them away. Nothing happens where there is no terminal.
  void show_status(const std::vector<std::string>& lines);

  /// Text in bold where colour is wanted.
  std::string bold(std::string_view text) const;

  /// The first error that standard output gave so far.
  Result<> outcome();
  /// Writes what was kept back. The first error that standard output gave.
  Result<> finish();

 private:
  struct State {
    std::string pending;
    std::vector<std::string> status;
    std::size_t status_shown = 0;
    Result<> outcome;
  };
  void flush(State& state);
  void put_out(State& state, std::string_view bytes);
  void erase_status(State& state);
  void draw_status(State& state);

  const OutputOptions options_;
  const bool terminal_;
  const bool out_is_terminal_;
  base::Guarded<State> state_;
};

}  // namespace firn::cli
