#include "agent/cli/cli.h"

#include <unistd.h>

#include <exception>

#include "agent/cli/command_line.h"
#include "agent/cli/commands.h"
#include "agent/cli/context.h"
#include "agent/cli/errors.h"
#include "agent/cli/json.h"

namespace firn::cli {
namespace {

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool wants_colour(const World& world) {
  const auto no_colour = world.variable("NO_COLOR");
  const auto terminal = world.variable("TERM");
  return ::isatty(world.out_fd) == 1 && (!no_colour || no_colour->empty()) && terminal != "dumb";
}

/// Before the flags are known it is enough that the word is there.
bool asks_for_json(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (word == "--") {
      return false;
    }
    if (word == "--json") {
      return true;
    }
  }
  return false;
}

int report(Output& out, const Error& error, bool no_repository) {
  const int code = exit_code_of(error, no_repository);
  if (out.json()) {
    Json line = Json::object();
    line["message_type"] = "exit_error";
    line["code"] = code;
    line["message"] = error.message;
    out.error_line(json_text(line));
  } else {
    out.warn(message_of(error));
  }
  return code;
}

int run_command(const Command& command, Context& context) {
  auto outcome = command.run(context);
  if (auto written = context.out.finish(); outcome && !written) {
    outcome = Failure(std::move(written).error());
  }
  return outcome ? *outcome : report(context.out, outcome.error(), context.no_repository);
}

}  // namespace

std::string program_name() { return "firn " FIRN_VERSION; }

int run(const std::vector<std::string>& argv, World& world, Daemons daemons) {
  const std::vector<std::string> words(argv.begin() + (argv.empty() ? 0 : 1), argv.end());
  OutputOptions options{.out_fd = world.out_fd, .err_fd = world.err_fd, .json = asks_for_json(words)};
  // Third-party parsers and the standard library throw; the program's door is the last place to say why.
  try {
    CommandSet set;
    Globals globals;
    set.globals = global_flags(globals);
    add_commands(set);
    add_agent(set, std::move(daemons.agent));
    add_controller(set, std::move(daemons.controller));
    add_hold(set);
    auto parsed = parse_words(set, words);
    if (!parsed) {
      Output out(options);
      return report(out, parsed.error(), false);
    }
    if (const auto* print = std::get_if<PrintInstead>(&*parsed)) {
      Output out(options);
      out.write(print->text);
      return out.finish() ? kExitOk : kExitFailed;
    }
    fill_from_environment(globals, world.variable);
    options.json = globals.json;
    options.quiet = globals.quiet;
    options.verbosity = globals.quiet ? 0 : globals.verbose;
    options.colour = wants_colour(world);
    Output out(options);
    Context context{.world = world, .globals = globals, .out = out, .commands = set};
    context.called_restic = !argv.empty() && base_name(argv.front()) == "restic";
    return run_command(*std::get<const Command*>(*parsed), context);
  } catch (const std::exception& problem) {
    Output out(options);
    return report(out, Error{ErrorCode::Exhausted, std::string("internal error: ") + problem.what()}, false);
  }
}

void add_commands(CommandSet& set) {
  set.groups = {{"key", "Manage the keys of a repository."},
                {"repair", "Make the best of a damaged repository."}};
  add_init(set);
  add_backup(set);
  add_snapshots(set);
  add_ls(set);
  add_find(set);
  add_diff(set);
  add_restore(set);
  add_dump(set);
  add_mount(set);
  add_forget(set);
  add_prune(set);
  add_copy(set);
  add_tag(set);
  add_repair(set);
  add_check(set);
  add_tend(set);
  add_stats(set);
  add_key(set);
  add_cat(set);
  add_list(set);
  add_cache(set);
  add_unlock(set);
  add_version(set);
  add_generate(set);
}

}  // namespace firn::cli
