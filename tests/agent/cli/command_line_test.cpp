// Words to commands, help, man pages and completions.
#include "agent/cli/command_line.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "agent/cli/commands.h"
#include "agent/cli/generate.h"
#include "agent/cli/globals.h"

namespace firn::cli {
namespace {

/// A command line with one of everything.
struct Sample {
  Globals globals;
  bool toggle = false;
  std::string text = "default";
  std::optional<std::uint64_t> number;
  std::vector<std::string> list;
  std::string choice;
  std::vector<std::string> words;
  std::string what;
  CommandSet set;

  Sample() {
    set.globals = global_flags(globals);
    set.groups = {{"group", "About."}};
    Command command{.name = "do",
                    .summary = "Do it",
                    .text = "",
                    .examples = {{"firn do", ""}},
                    .flags = {},
                    .arguments = {},
                    .run = {}};
    command.flag({.names = "-t,--toggle", .value = "", .help = "T", .choices = {}, .target = &toggle});
    command.flag({.names = "--text", .value = "X", .help = "X", .choices = {}, .target = &text});
    command.flag({.names = "--number", .value = "N", .help = "N", .choices = {}, .target = &number});
    command.flag({.names = "-l,--list", .value = "X", .help = "L", .choices = {}, .target = &list});
    command.flag({.names = "--choice", .value = "C", .help = "C", .choices = {"a", "b"}, .target = &choice});
    command.argument({.name = "WORD", .help = "W", .required = false, .choices = {}, .target = &words});
    set.add(std::move(command));
    Command inner{.name = "group in",
                  .summary = "In",
                  .text = "",
                  .examples = {{"firn group in", ""}},
                  .flags = {},
                  .arguments = {},
                  .run = {}};
    inner.argument({.name = "WHAT", .help = "W", .required = true, .choices = {"x"}, .target = &what});
    set.add(std::move(inner));
  }

  /// The command's name, "print", or the error.
  std::string parse(const std::vector<std::string>& arguments) {
    const auto parsed = parse_words(set, arguments);
    if (!parsed) {
      return "error: " + parsed.error().message;
    }
    const auto* command = std::get_if<const Command*>(&*parsed);
    return command == nullptr ? "print" : (*command)->name;
  }
};

TEST(ParseWords, WritesEveryKindOfTarget) {
  Sample sample;
  EXPECT_EQ(sample.parse({"do", "-t", "--text", "a", "--text=b", "--number", "7", "-l", "x", "--list", "y",
                          "w1", "--choice", "b", "w2"}),
            "do");
  EXPECT_TRUE(sample.toggle);
  EXPECT_EQ(sample.text, "b");
  EXPECT_EQ(sample.number, 7U);
  EXPECT_EQ(sample.list, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(sample.words, (std::vector<std::string>{"w1", "w2"}));
  EXPECT_EQ(sample.choice, "b");
}

TEST(ParseWords, AListFlagTakesOneWordATime) {
  Sample sample;
  EXPECT_EQ(sample.parse({"do", "-l", "x", "y"}), "do");
  EXPECT_EQ(sample.list, (std::vector<std::string>{"x"}));
  EXPECT_EQ(sample.words, (std::vector<std::string>{"y"}));
}

TEST(ParseWords, GlobalFlagsStandBeforeAndBehindTheCommand) {
  for (const auto& words :
       {std::vector<std::string>{"-r", "/x", "do"}, std::vector<std::string>{"do", "--repo", "/x"},
        std::vector<std::string>{"-r/x", "group", "in", "x"},
        std::vector<std::string>{"group", "in", "x", "-r", "/x"}}) {
    Sample sample;
    EXPECT_EQ(sample.parse(words).substr(0, 5) == "error", false) << words[0];
    EXPECT_EQ(sample.globals.place.repository, "/x") << words[0];
  }
}

TEST(ParseWords, VerbosityCounts) {
  Sample sample;
  EXPECT_EQ(sample.parse({"do", "-vv"}), "do");
  EXPECT_EQ(sample.globals.verbose, 2);
}

TEST(ParseWords, AnArgumentMayBeCalledLikeACommand) {
  Sample sample;
  EXPECT_EQ(sample.parse({"do", "do", "group"}), "do");
  EXPECT_EQ(sample.words, (std::vector<std::string>{"do", "group"}));
}

TEST(ParseWords, WhatFollowsTwoDashesIsNoFlag) {
  Sample sample;
  EXPECT_EQ(sample.parse({"do", "-t", "--", "sh", "-c", "exit 7", "--json"}), "do");
  EXPECT_EQ(sample.words, (std::vector<std::string>{"sh", "-c", "exit 7", "--json"}));
  EXPECT_FALSE(sample.globals.json);
}

TEST(ParseWords, NamesWhatItDoesNotKnow) {
  const std::vector<std::pair<std::vector<std::string>, const char*>> cases = {
      {{"frobnicate"}, "frobnicate"},
      {{"do", "--frobnicate"}, "--frobnicate"},
      {{"--frobnicate", "do"}, "--frobnicate"},
      {{"do", "--choice", "c"}, "c"},
      {{"do", "--number", "many"}, "many"},
      {{"group", "in"}, "WHAT"},
      {{"group", "in", "y"}, "y"},
      {{"--json"}, "no command"},
      {{"--password", "secret", "do"}, "--password"}};
  for (const auto& [words, named] : cases) {
    Sample sample;
    const std::string outcome = sample.parse(words);
    EXPECT_TRUE(outcome.starts_with("error: ")) << outcome;
    EXPECT_NE(outcome.find(named), std::string::npos) << outcome;
    EXPECT_NE(outcome.find("--help"), std::string::npos) << outcome;
  }
}

TEST(ParseWords, HelpAndNothingPrint) {
  for (const auto& words :
       {std::vector<std::string>{}, std::vector<std::string>{"--help"}, std::vector<std::string>{"do", "-h"},
        std::vector<std::string>{"group", "in", "--help"}, std::vector<std::string>{"group"}}) {
    Sample sample;
    EXPECT_EQ(sample.parse(words), "print");
  }
}

/// The commands as they are.
class Real : public ::testing::Test {
 protected:
  Real() {
    set_.globals = global_flags(globals_);
    add_commands(set_);
  }
  Globals globals_;
  CommandSet set_;
};

TEST_F(Real, EveryCommandHasHelpWithAnExample) {
  for (const auto& command : set_.commands) {
    const std::string help = help_text(*command);
    EXPECT_NE(help.find("Example"), std::string::npos) << command->name;
    EXPECT_NE(help.find("firn " + command->name), std::string::npos) << command->name;
    EXPECT_FALSE(command->examples.empty()) << command->name;
    for (const Example& example : command->examples) {
      EXPECT_NE(example.command.find("firn " + command->name), std::string::npos) << example.command;
    }
  }
}

TEST_F(Real, NoFlagOfACommandHidesAGlobalOne) {
  std::set<std::string> globals;
  for (const Flag& flag : set_.globals) {
    for (const std::string& name : flag_names(flag)) {
      EXPECT_TRUE(globals.insert(name).second) << name;
    }
  }
  for (const auto& command : set_.commands) {
    std::set<std::string> own;
    for (const Flag& flag : command->flags) {
      for (const std::string& name : flag_names(flag)) {
        EXPECT_FALSE(globals.contains(name)) << command->name << " " << name;
        EXPECT_TRUE(own.insert(name).second) << command->name << " " << name;
      }
    }
  }
}

TEST_F(Real, HelpLinesFitATerminal) {
  for (const auto& command : set_.commands) {
    const std::string help = help_text(*command);
    std::size_t begin = 0;
    while (begin < help.size()) {
      const auto end = help.find('\n', begin);
      // Characters of more than one byte make a line look longer than it is.
      EXPECT_LE(end - begin, 120U) << help.substr(begin, end - begin);
      begin = end + 1;
    }
  }
}

TEST_F(Real, ManPagesNameEveryFlag) {
  const auto pages = man_pages(set_);
  ASSERT_TRUE(pages.contains("firn.1"));
  for (const auto& command : set_.commands) {
    std::string name = "firn-" + command->name + ".1";
    std::replace(name.begin(), name.end(), ' ', '-');
    ASSERT_TRUE(pages.contains(name)) << name;
    for (const Flag& flag : command->flags) {
      const std::string name_of_flag = flag_names(flag).back();
      std::string last;
      for (const char c : name_of_flag) {
        last += c == '-' ? std::string("\\-") : std::string(1, c);
      }
      EXPECT_EQ(pages.at(name).find(last + "\\fR") == std::string::npos, flag.hidden) << name << " " << last;
    }
  }
}

TEST_F(Real, CompletionsNameEveryCommandAndFlag) {
  for (const std::string& text : {bash_completion(set_), zsh_completion(set_), fish_completion(set_)}) {
    for (const auto& command : set_.commands) {
      EXPECT_NE(text.find(command->name.substr(command->name.rfind(' ') + 1)), std::string::npos)
          << command->name;
      for (const Flag& flag : command->flags) {
        if (!flag.hidden) {
          EXPECT_NE(text.find(flag_names(flag).back().substr(2)), std::string::npos) << flag.names;
        }
      }
    }
  }
}

TEST(Wrapped, FillsLinesAndKeepsParagraphs) {
  EXPECT_EQ(wrapped("aa bb cc dd", 2, 7), "  aa bb\n  cc dd\n");
  EXPECT_EQ(wrapped("aa\n\nbb", 0, 80), "aa\n\nbb\n");
  EXPECT_EQ(wrapped("averylongword", 2, 7), "  averylongword\n");
  EXPECT_EQ(wrapped("", 2, 7), "");
}

}  // namespace
}  // namespace firn::cli
