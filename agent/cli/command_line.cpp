#include "agent/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <map>

#include "agent/cli/text.h"

namespace firn::cli {
namespace {

constexpr const char* kProgram = "firn";

/// Declares one flag to CLI11, by the kind of its target.
struct FlagAdder {
  CLI::App& app;
  const Flag& flag;

  void operator()(bool* target) const { app.add_flag(flag.names, *target, flag.help); }
  void operator()(int* target) const { app.add_flag(flag.names, *target, flag.help); }
  void operator()(std::vector<std::string>* target) const {
    app.add_option(flag.names, *target, flag.help)->allow_extra_args(false);
  }
  template <class Target>
  void operator()(Target* target) const {
    CLI::Option* option = app.add_option(flag.names, *target, flag.help);
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    if (!flag.choices.empty()) {
      option->check(CLI::IsMember(flag.choices));
    }
  }
};

void add_flag(CLI::App& app, const Flag& flag) { std::visit(FlagAdder{app, flag}, flag.target); }

void add_argument(CLI::App& app, const Argument& argument) {
  CLI::Option* option = std::visit(
      [&](auto* target) { return app.add_option(argument.name, *target, argument.help); }, argument.target);
  option->required(argument.required);
  if (!argument.choices.empty()) {
    option->check(CLI::IsMember(argument.choices));
  }
}

/// The parser of a set of commands.
struct Parser {
  CLI::App root{"", kProgram};
  std::map<const CLI::App*, const Command*> commands;
  bool version = false;

  explicit Parser(const CommandSet& set) {
    root.set_help_flag("-h,--help", "Show help");
    root.add_flag("--version", version, "Show the version");
    // Exactly one: so that an argument that is called like a command stays an argument.
    root.require_subcommand(0, 1);
    for (const Flag& flag : set.globals) {
      add_flag(root, flag);
    }
    std::map<std::string, CLI::App*> groups;
    for (const auto& [name, help] : set.groups) {
      CLI::App* group = root.add_subcommand(name, help);
      group->require_subcommand(0, 1);
      group->fallthrough();
      groups[name] = group;
    }
    for (const auto& command : set.commands) {
      const auto space = command->name.find(' ');
      CLI::App* parent = space == std::string::npos ? &root : groups.at(command->name.substr(0, space));
      CLI::App* app = parent->add_subcommand(
          space == std::string::npos ? command->name : command->name.substr(space + 1), command->summary);
      // Global flags may stand behind the command.
      app->fallthrough();
      for (const Flag& flag : command->flags) {
        add_flag(*app, flag);
      }
      for (const Argument& argument : command->arguments) {
        add_argument(*app, argument);
      }
      commands[app] = command.get();
    }
  }

  /// The innermost command that was named; the root when there was none.
  const CLI::App* named() const {
    const CLI::App* app = &root;
    while (!app->get_subcommands().empty()) {
      app = app->get_subcommands().front();
    }
    return app;
  }

  const Command* command() const {
    const auto found = commands.find(named());
    return found == commands.end() ? nullptr : found->second;
  }
};

std::string help_for(const CommandSet& set, const Parser& parser) {
  if (const Command* command = parser.command()) {
    return help_text(*command);
  }
  const CLI::App* app = parser.named();
  if (app == &parser.root) {
    return help_text(set);
  }
  std::string text = app->get_description() + "\n\nCommands:\n";
  for (const auto& command : set.commands) {
    if (command->name.starts_with(app->get_name() + " ")) {
      text += "  firn " + command->name +
              std::string(14 - std::min<std::size_t>(14, command->name.size()), ' ') + command->summary +
              "\n";
    }
  }
  return text + "\nHelp with examples: firn " + app->get_name() + " COMMAND --help\n";
}

std::string flags_text(const std::vector<Flag>& flags) {
  std::string text;
  for (const Flag& flag : flags) {
    if (flag.hidden) {
      continue;
    }
    std::string help = flag.help;
    if (!flag.choices.empty()) {
      help += " (";
      for (const std::string& choice : flag.choices) {
        help += (choice == flag.choices.front() ? "" : ", ") + choice;
      }
      help += ")";
    }
    if (flag.repeats() && !flag.is_switch()) {
      help += " (may be repeated)";
    }
    const std::string names = "  " + flag_text(flag);
    constexpr std::size_t kIndent = 36;
    const std::string body = wrapped(help, kIndent, 100);
    if (columns_of(names) + 2 > kIndent) {
      text.append(names).append("\n").append(body);
    } else {
      text.append(names).append(body, columns_of(names));
    }
  }
  return text;
}

}  // namespace

const Command* CommandSet::find(const std::string& name) const {
  for (const auto& command : commands) {
    if (command->name == name) {
      return command.get();
    }
  }
  return nullptr;
}

Result<std::variant<const Command*, PrintInstead>> parse_words(const CommandSet& set,
                                                               const std::vector<std::string>& words) {
  using Parsed = std::variant<const Command*, PrintInstead>;
  Parser parser(set);
  const auto hint = [&] {
    const Command* command = parser.command();
    return std::string(" (see ") + kProgram + (command == nullptr ? "" : " " + command->name) + " --help)";
  };
  // CLI11 throws; nothing of that leaves this function.
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    parser.root.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    return Parsed(PrintInstead{help_for(set, parser)});
  } catch (const CLI::Error& error) {
    return fail(ErrorCode::Invalid, error.what() + hint());
  }
  if (parser.version) {
    return Parsed(set.find("version"));
  }
  if (const Command* command = parser.command()) {
    return Parsed(command);
  }
  if (parser.named() == &parser.root && !words.empty()) {
    return fail(ErrorCode::Invalid, "no command was given" + hint());
  }
  return Parsed(PrintInstead{help_for(set, parser)});
}

std::vector<std::string> flag_names(const Flag& flag) {
  std::vector<std::string> names;
  std::string rest = flag.names;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    names.push_back(rest.substr(0, comma));
    rest = comma == std::string::npos ? std::string() : rest.substr(comma + 1);
  }
  return names;
}

std::string flag_text(const Flag& flag) {
  std::string text;
  for (const std::string& name : flag_names(flag)) {
    text += (text.empty() ? "" : ", ") + name;
  }
  if (!text.starts_with("--")) {
    return flag.value.empty() ? text : text + " " + flag.value;
  }
  return "    " + (flag.value.empty() ? text : text + " " + flag.value);
}

std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  std::string out;
  std::string line;
  const auto end_line = [&] {
    out += std::string(indent, ' ') + line + "\n";
    line.clear();
  };
  while (!text.empty()) {
    const auto end = text.find_first_of(" \n");
    const std::string_view word = text.substr(0, end);
    if (!line.empty() && indent + columns_of(line) + 1 + columns_of(word) > width) {
      end_line();
    }
    line += (line.empty() || word.empty() ? "" : " ") + std::string(word);
    if (end == std::string_view::npos) {
      break;
    }
    if (text[end] == '\n') {
      if (line.empty()) {
        out += "\n";
      } else {
        end_line();
      }
    }
    text.remove_prefix(end + 1);
  }
  if (!line.empty()) {
    end_line();
  }
  return out;
}

std::string usage_line(const Command& command) {
  std::string line = std::string(kProgram) + " " + command.name + " [flags]";
  for (const Argument& argument : command.arguments) {
    const std::string name = argument.name + (argument.repeats() ? "…" : "");
    line += argument.required ? " " + name : " [" + name + "]";
  }
  return line;
}

std::string help_text(const CommandSet& set) {
  std::string text =
      "firn keeps deduplicated, encrypted backups of file trees.\n\nUsage: firn COMMAND "
      "[flags]\n\nCommands:\n";
  for (const auto& command : set.commands) {
    text += "  " + command->name + std::string(14 - std::min<std::size_t>(13, command->name.size()), ' ') +
            command->summary + "\n";
  }
  text += "\nFlags of every command:\n" + flags_text(set.globals);
  text +=
      "      --version                     Show the version\n  -h, --help                        Show help\n";
  return text + "\nHelp with examples: firn COMMAND --help\n";
}

std::string help_text(const Command& command) {
  std::string text = command.summary + ".\n\nUsage: " + usage_line(command) + "\n";
  if (!command.text.empty()) {
    text += "\n" + wrapped(command.text, 0, 100);
  }
  if (!command.arguments.empty()) {
    text += "\nArguments:\n";
    for (const Argument& argument : command.arguments) {
      const std::string name = "  " + argument.name;
      const std::string body = wrapped(argument.help, 36, 100);
      text += name + body.substr(std::min(body.size(), name.size()));
    }
  }
  if (!command.flags.empty()) {
    text += "\nFlags:\n" + flags_text(command.flags);
  }
  text += command.examples.size() == 1 ? "\nExample:\n" : "\nExamples:\n";
  for (const Example& example : command.examples) {
    text += "  " + example.command + "\n";
    if (!example.says.empty()) {
      text += wrapped(example.says, 6, 100);
    }
  }
  return text + "\nFlags of every command (-r, -p, --json, …): firn --help.\n";
}

}  // namespace firn::cli
