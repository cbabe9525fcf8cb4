// From words to a command: parses with CLI11, and writes the help.
//
// Threads: one.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "agent/cli/flags.h"

namespace firn::cli {

/// The words ask for something to be printed instead of a command's run.
struct PrintInstead {
  std::string text;
};

/// Writes the flags' targets and finds the command. `words` are without the program's name. Errors: Invalid
/// (says what is wrong and where to look).
Result<std::variant<const Command*, PrintInstead>> parse_words(const CommandSet& set,
                                                               const std::vector<std::string>& words);

/// What `firn --help` and `firn COMMAND --help` print.
std::string help_text(const CommandSet& set);
std::string help_text(const Command& command);

/// "firn backup [flags] PATH…".
std::string usage_line(const Command& command);
/// "-t, --target DIR".
std::string flag_text(const Flag& flag);
/// The flag's names one by one, with their dashes.
std::vector<std::string> flag_names(const Flag& flag);
/// `text` filled into lines of at most `width` columns, each with `indent` blanks in front.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t width = 80);

}  // namespace firn::cli
