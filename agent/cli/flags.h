// The command line as a description: commands, their flags and arguments, said once and used by the parser,
// the help, the man pages and the completions.
//
// CLI11 does the parsing (command_line.cpp) and nobody else sees it. Targets that flags write to must outlive
// the parse; commands keep theirs in their `run`. Threads: one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "repo/base/result.h"

namespace firn::cli {

struct Context;

/// What a value is, for completions.
enum class Hint : std::uint8_t { Nothing, File, Directory, Snapshot };

struct Flag {
  std::string names;  // "-t,--target"
  std::string value;  // how the value is called: "DIR"; empty for a switch
  std::string help;   // a sentence without its period
  std::vector<std::string> choices;
  Hint hint = Hint::Nothing;
  /// bool: a switch; int: a switch that counts; vector: given several times.
  std::variant<bool*, int*, std::string*, std::optional<std::string>*, std::optional<std::uint64_t>*,
               std::vector<std::string>*>
      target;
  bool hidden = false;  // accepted, and not in help

  bool is_switch() const { return target.index() < 2; }
  bool repeats() const { return target.index() == 1 || target.index() == 5; }
};

struct Argument {
  std::string name;  // "SNAP"
  std::string help;
  bool required = true;
  std::vector<std::string> choices;
  Hint hint = Hint::Nothing;
  std::variant<std::string*, std::vector<std::string>*> target;

  bool repeats() const { return target.index() == 1; }
};

struct Example {
  std::string command;
  std::string says;
};

struct Command {
  std::string name;     // "backup"; "key add" is a command below the group "key"
  std::string summary;  // one line without a period
  std::string text;     // paragraphs
  std::vector<Example> examples;
  std::vector<Flag> flags;
  std::vector<Argument> arguments;
  /// The exit code, or the error that ends the program.
  std::function<Result<int>(Context&)> run;

  Flag& flag(Flag flag) { return flags.emplace_back(std::move(flag)); }
  Argument& argument(Argument argument) { return arguments.emplace_back(std::move(argument)); }
};

/// All of the program's commands, in the order of its help, and the flags that stand with every command.
struct CommandSet {
  std::vector<Flag> globals;
  std::vector<std::unique_ptr<Command>> commands;
  /// Groups and what they are about: {"key", "Manage keys"}.
  std::vector<std::pair<std::string, std::string>> groups;

  Command& add(Command command) {
    return *commands.emplace_back(std::make_unique<Command>(std::move(command)));
  }
  const Command* find(const std::string& name) const;
};

}  // namespace firn::cli
