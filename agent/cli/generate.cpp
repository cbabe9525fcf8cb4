#include "agent/cli/generate.h"

#include <algorithm>

#include "agent/cli/command_line.h"

namespace firn::cli {
namespace {

// Man pages.

/// Text in which roff sees no commands.
std::string roff(std::string_view text) {
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) {
      out += "\\&";
    }
    line_begins = c == '\n';
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

std::string paragraphs(const std::string& text) {
  std::string out;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const auto end = std::min(text.find("\n\n", begin), text.size());
    out += ".PP\n" + roff(text.substr(begin, end - begin)) + "\n";
    begin = end + 2;
  }
  return out;
}

std::string man_flags(const std::vector<Flag>& flags) {
  std::string out;
  for (const Flag& flag : flags) {
    if (flag.hidden) {
      continue;
    }
    std::string names;
    for (const std::string& name : flag_names(flag)) {
      names += (names.empty() ? "" : ", ") + ("\\fB" + roff(name) + "\\fR");
    }
    out += ".TP\n" + names + (flag.value.empty() ? "" : " \\fI" + roff(flag.value) + "\\fR") + "\n";
    std::string help = flag.help;
    for (const std::string& choice : flag.choices) {
      help += (choice == flag.choices.front() ? ": " : ", ") + choice;
    }
    if (flag.repeats() && !flag.is_switch()) {
      help += ". May be repeated";
    }
    out += roff(help) + ".\n";
  }
  return out;
}

std::string page_name(const Command& command) {
  std::string name = "firn-" + command.name;
  std::replace(name.begin(), name.end(), ' ', '-');
  return name;
}

std::string heading(const std::string& name) {
  std::string upper = name;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return ".TH \"" + roff(upper) + "\" 1 \"\" \"firn " FIRN_VERSION "\" \"firn\"\n";
}

constexpr const char* kExitCodes =
    ".SH EXIT CODES\n.TP\n0\nDone.\n.TP\n1\nFailed; the message says why.\n.TP\n3\nA source could not be "
    "read; "
    "the snapshot exists and lacks it.\n.TP\n10\nThere is no repository.\n.TP\n12\nPassword or key open "
    "nothing.\n.TP\n130\nInterrupted.\n";

constexpr const char* kEnvironment =
    ".SH ENVIRONMENT\nEach variable is also read under the name that restic has for it: RESTIC_REPOSITORY, "
    "…\n"
    ".TP\nFIRN_REPOSITORY, FIRN_REPOSITORY_FILE\nWhere the repository is.\n"
    ".TP\nFIRN_PASSWORD, FIRN_PASSWORD_FILE, FIRN_PASSWORD_COMMAND, FIRN_KEY_FILE\nWhat opens it.\n"
    ".TP\nFIRN_KEY_HINT\nThe key that is tried first.\n"
    ".TP\nFIRN_CACHE_DIR\nWhere local caches are.\n"
    ".TP\nFIRN_HOST\nThe host that snapshots are of.\n"
    ".TP\nFIRN_MEMORY\nThe memory budget.\n"
    ".TP\nFIRN_PROGRESS_FPS\nHow often progress is told, a second.\n"
    ".TP\nNO_COLOR\nNo colour on a terminal.\n"
    ".TP\nTMPDIR\nWhere the temporary directory of \\-\\-no\\-cache is made.\n";

std::string command_page(const Command& command) {
  const std::string name = page_name(command);
  std::string out = heading(name);
  out += ".SH NAME\n" + roff(name + " - " + command.summary) + "\n";
  out += ".SH SYNOPSIS\n\\fB" + roff("firn " + command.name) + "\\fR [\\fIflags\\fR]";
  for (const Argument& argument : command.arguments) {
    const std::string text = "\\fI" + roff(argument.name) + "\\fR" + (argument.repeats() ? "\\&..." : "");
    out += argument.required ? " " + text : " [" + text + "]";
  }
  out += "\n.SH DESCRIPTION\n" + paragraphs(command.text);
  if (!command.arguments.empty()) {
    out += ".SH ARGUMENTS\n";
    for (const Argument& argument : command.arguments) {
      out += ".TP\n\\fI" + roff(argument.name) + "\\fR\n" + roff(argument.help) + ".\n";
    }
  }
  if (!command.flags.empty()) {
    out += ".SH FLAGS\n" + man_flags(command.flags);
  }
  out += ".PP\nFlags of every command stand in \\fBfirn\\fR(1).\n.SH EXAMPLES\n";
  for (const Example& example : command.examples) {
    out += ".PP\n.nf\n" + roff(example.command) + "\n.fi\n";
    if (!example.says.empty()) {
      out += ".PP\n" + roff(example.says) + "\n";
    }
  }
  out += kExitCodes;
  return out + ".SH SEE ALSO\n\\fBfirn\\fR(1)\n";
}

std::string main_page(const CommandSet& set) {
  std::string out = heading("firn");
  out += ".SH NAME\nfirn \\- deduplicated, encrypted backups of file trees\n";
  out += ".SH SYNOPSIS\n\\fBfirn\\fR \\fIcommand\\fR [\\fIflags\\fR]\n";
  out +=
      ".SH DESCRIPTION\nfirn cuts files into pieces by their content, stores each piece once, encrypted, and "
      "keeps as many snapshots of a tree as are wanted.\n.SH COMMANDS\n";
  for (const auto& command : set.commands) {
    out += ".TP\n\\fB" + roff(page_name(*command)) + "\\fR(1)\n" + roff(command->summary) + ".\n";
  }
  out += ".SH FLAGS\n" + man_flags(set.globals);
  return out + kEnvironment + kExitCodes;
}

// Completions.

/// The words that stand first, groups once.
std::vector<std::pair<std::string, std::string>> first_words(const CommandSet& set) {
  std::vector<std::pair<std::string, std::string>> words;
  for (const auto& command : set.commands) {
    const auto space = command->name.find(' ');
    if (space == std::string::npos) {
      words.emplace_back(command->name, command->summary);
      continue;
    }
    const std::string group = command->name.substr(0, space);
    if (std::none_of(words.begin(), words.end(), [&](const auto& word) { return word.first == group; })) {
      const auto about = std::find_if(set.groups.begin(), set.groups.end(),
                                      [&](const auto& candidate) { return candidate.first == group; });
      words.emplace_back(group, about == set.groups.end() ? "" : about->second);
    }
  }
  return words;
}

std::vector<std::string> shown_names(const std::vector<Flag>& flags) {
  std::vector<std::string> names;
  for (const Flag& flag : flags) {
    if (!flag.hidden) {
      const auto own = flag_names(flag);
      names.insert(names.end(), own.begin(), own.end());
    }
  }
  return names;
}

std::string joined(const std::vector<std::string>& words, const char* separator) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : separator) + word;
  }
  return text;
}

/// The cases of a bash `case` for the values of flags.
std::string bash_values(const std::vector<Flag>& flags) {
  std::string out;
  for (const Flag& flag : flags) {
    if (flag.hidden || flag.is_switch()) {
      continue;
    }
    std::string action = "return";
    if (!flag.choices.empty()) {
      action = "COMPREPLY=($(compgen -W '" + joined(flag.choices, " ") + "' -- \"$cur\")); return";
    } else if (flag.hint == Hint::File) {
      action = "COMPREPLY=($(compgen -f -- \"$cur\")); return";
    } else if (flag.hint == Hint::Directory) {
      action = "COMPREPLY=($(compgen -d -- \"$cur\")); return";
    } else if (flag.hint == Hint::Snapshot) {
      action = "COMPREPLY=($(compgen -W 'latest' -- \"$cur\")); return";
    }
    out += "      " + joined(flag_names(flag), "|") + ") " + action + " ;;\n";
  }
  return out;
}

std::string argument_choices(const Command& command) {
  std::vector<std::string> words;
  for (const Argument& argument : command.arguments) {
    words.insert(words.end(), argument.choices.begin(), argument.choices.end());
    if (argument.hint == Hint::Snapshot) {
      words.emplace_back("latest");
    }
  }
  return joined(words, " ");
}

/// Text inside '…' of a shell.
std::string single_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return out + "'";
}

/// Text inside a zsh specification in '…'.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') {
      out += '\\';
    }
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return out;
}

std::string zsh_action(Hint hint, const std::vector<std::string>& choices) {
  if (!choices.empty()) {
    return "(" + joined(choices, " ") + ")";
  }
  switch (hint) {
    case Hint::File:
      return "_files";
    case Hint::Directory:
      return "_files -/";
    case Hint::Snapshot:
      return "(latest)";
    case Hint::Nothing:
      break;
  }
  return " ";
}

std::string zsh_flags(const std::vector<Flag>& flags) {
  std::string out;
  for (const Flag& flag : flags) {
    if (flag.hidden) {
      continue;
    }
    const auto names = flag_names(flag);
    for (const std::string& name : names) {
      const std::string others = flag.repeats() ? "*" : "(" + joined(names, " ") + ")";
      out.append(" \\\n    '").append(others).append(name).append("[" + zsh_text(flag.help) + "]");
      if (!flag.is_switch()) {
        out += ":" + zsh_text(flag.value) + ":" + zsh_action(flag.hint, flag.choices);
      }
      out += "'";
    }
  }
  return out;
}

std::string zsh_command(const Command& command) {
  std::string out = zsh_flags(command.flags);
  std::size_t place = 1;
  for (const Argument& argument : command.arguments) {
    out += " \\\n    '" + (argument.repeats() ? std::string("*") : std::to_string(place)) + ":" +
           zsh_text(argument.name) + ":" + zsh_action(argument.hint, argument.choices) + "'";
    ++place;
  }
  return out;
}

}  // namespace

std::map<std::string, std::string> man_pages(const CommandSet& set) {
  std::map<std::string, std::string> pages;
  pages["firn.1"] = main_page(set);
  for (const auto& command : set.commands) {
    pages[page_name(*command) + ".1"] = command_page(*command);
  }
  return pages;
}

std::string bash_completion(const CommandSet& set) {
  std::vector<std::string> first;
  for (const auto& [word, about] : first_words(set)) {
    first.push_back(word);
  }
  std::string out =
      "# bash completion for firn\n_firn() {\n  local cur prev command word i\n"
      "  COMPREPLY=()\n  cur=${COMP_WORDS[COMP_CWORD]}\n  prev=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  command=\n  for ((i = 1; i < COMP_CWORD; i++)); do\n    word=${COMP_WORDS[i]}\n"
      "    case \"$command $word\" in\n";
  for (const std::string& word : first) {
    out.append("      ' ").append(word).append("') command=").append(word).append(" ;;\n");
  }
  for (const auto& command : set.commands) {
    if (command->name.find(' ') != std::string::npos) {
      out += "      '" + command->name + "') command='" + command->name + "' ;;\n";
    }
  }
  out += "    esac\n  done\n";
  out += "  case $prev in\n" + bash_values(set.globals) + "  esac\n  case $command in\n";
  out += "    '') COMPREPLY=($(compgen -W '" + joined(first, " ") + " " +
         joined(shown_names(set.globals), " ") + " --help --version' -- \"$cur\")) ;;\n";
  for (const auto& [group, about] : set.groups) {
    std::vector<std::string> below;
    for (const auto& command : set.commands) {
      if (command->name.starts_with(group + " ")) {
        below.push_back(command->name.substr(group.size() + 1));
      }
    }
    out += "    " + group + ") COMPREPLY=($(compgen -W '" + joined(below, " ") + "' -- \"$cur\")) ;;\n";
  }
  for (const auto& command : set.commands) {
    out +=
        "    '" + command->name + "')\n      case $prev in\n" + bash_values(command->flags) + "      esac\n";
    out += "      if [[ $cur == -* ]]; then\n        COMPREPLY=($(compgen -W '" +
           joined(shown_names(command->flags), " ") + " " + joined(shown_names(set.globals), " ") +
           " --help' -- \"$cur\"))\n      else\n        COMPREPLY=($(compgen -W '" +
           argument_choices(*command) + "' -- \"$cur\") $(compgen -f -- \"$cur\"))\n      fi\n      ;;\n";
  }
  return out + "  esac\n}\ncomplete -o filenames -F _firn firn\n";
}

std::string zsh_completion(const CommandSet& set) {
  std::string out =
      "#compdef firn\n_firn() {\n  local context state line command\n  local -a commands globals\n";
  out += "  globals=(" + zsh_flags(set.globals) + "\n  )\n  commands=(";
  for (const auto& [word, about] : first_words(set)) {
    out += "\n    '" + word + ":" + zsh_text(about) + "'";
  }
  out +=
      "\n  )\n  _arguments -C $globals '1:command:->command' '*::argument:->argument'\n"
      "  case $state in\n    command) _describe command commands; return ;;\n  esac\n  command=$words[1]\n";
  for (const auto& [group, about] : set.groups) {
    out += "  if [[ $command == " + group +
           " ]]; then\n    if (( CURRENT == 2 )); then\n      local -a below\n"
           "      below=(";
    for (const auto& command : set.commands) {
      if (command->name.starts_with(group + " ")) {
        out += " '" + command->name.substr(group.size() + 1) + ":" + zsh_text(command->summary) + "'";
      }
    }
    out += ")\n      _describe command below; return\n    fi\n    command=\"" + group +
           " $words[2]\"\n    shift words\n    (( CURRENT-- ))\n  fi\n";
  }
  out += "  case $command in\n";
  for (const auto& command : set.commands) {
    out += "  '" + command->name + "')\n    _arguments $globals" + zsh_command(*command) + "\n    ;;\n";
  }
  return out + "  esac\n}\n_firn \"$@\"\n";
}

std::string fish_completion(const CommandSet& set) {
  std::string out = "# fish completion for firn\ncomplete -c firn -f\n";
  std::vector<std::string> first;
  for (const auto& [word, about] : first_words(set)) {
    first.push_back(word);
  }
  const std::string none = "not __fish_seen_subcommand_from " + joined(first, " ");
  for (const auto& [word, about] : first_words(set)) {
    out +=
        "complete -c firn -n " + single_quoted(none) + " -a " + word + " -d " + single_quoted(about) + "\n";
  }
  const auto add_flags = [&](const std::vector<Flag>& flags, const std::string& condition) {
    for (const Flag& flag : flags) {
      if (flag.hidden) {
        continue;
      }
      out += "complete -c firn";
      if (!condition.empty()) {
        out += " -n " + single_quoted(condition);
      }
      for (const std::string& name : flag_names(flag)) {
        out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (!flag.choices.empty()) {
        out += " -x -a " + single_quoted(joined(flag.choices, " "));
      } else if (flag.hint == Hint::Directory) {
        out += " -x -a '(__fish_complete_directories)'";
      } else if (!flag.is_switch()) {
        out += flag.hint == Hint::File ? " -r -F" : " -x";
      }
      out += " -d " + single_quoted(flag.help) + "\n";
    }
  };
  add_flags(set.globals, "");
  for (const auto& command : set.commands) {
    const auto space = command->name.find(' ');
    const std::string word = command->name.substr(0, space);
    std::string condition = "__fish_seen_subcommand_from " + word;
    if (space != std::string::npos) {
      const std::string below = command->name.substr(space + 1);
      out += "complete -c firn -n " + single_quoted(condition) + " -a " + below + " -d " +
             single_quoted(command->summary) + "\n";
      condition += "; and __fish_seen_subcommand_from " + below;
    }
    add_flags(command->flags, condition);
    for (const Argument& argument : command->arguments) {
      if (!argument.choices.empty() || argument.hint == Hint::Snapshot) {
        out += "complete -c firn -n " + single_quoted(condition) + " -a " +
               single_quoted(argument.choices.empty() ? "latest" : joined(argument.choices, " ")) + "\n";
      } else if (argument.hint != Hint::Nothing) {
        out += "complete -c firn -n " + single_quoted(condition) + " -F\n";
      }
    }
  }
  return out;
}

}  // namespace firn::cli
