// firn version, firn unlock.
#include <sys/utsname.h>

#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/context.h"
#include "agent/cli/json.h"

namespace firn::cli {
namespace {

// What firn answers for when it is called under restic's name: the version whose flags and JSON it has.
constexpr const char* kResticVersion = "0.19.0";

Result<int> run_version(Context& context) {
  utsname system{};
  ::uname(&system);
  const std::string compiler = std::string("C++20, ") + __VERSION__;
  if (context.out.json()) {
    Json json = Json::object();
    json["message_type"] = "version";
    json["version"] = context.called_restic ? kResticVersion : FIRN_VERSION;
    json["firn_version"] = FIRN_VERSION;
    json["restic_compatible"] = kResticVersion;
    json["os"] = "linux";
    json["arch"] = system.machine;
    json["compiler"] = compiler;
    context.out.line(json_text(json));
  } else if (context.called_restic) {
    context.out.line(std::string("restic ") + kResticVersion + " (" + program_name() + ") on linux/" +
                     system.machine);
  } else {
    context.out.line(program_name() + " on linux/" + system.machine + " (" + compiler + ")");
  }
  return 0;
}

Result<int> run_unlock(Context& context) {
  context.out.note("there are no locks: backups, checks and maintenance run beside each other");
  return 0;
}

}  // namespace

void add_version(CommandSet& set) {
  set.add({.name = "version",
           .summary = "Show the version",
           .text = "Called under the name restic, firn says first which restic's flags and output it has.",
           .examples = {{"firn version --json", ""}},
           .flags = {},
           .arguments = {},
           .run = run_version});
}

void add_unlock(CommandSet& set) {
  auto remove_all = std::make_shared<bool>(false);
  Command command{.name = "unlock",
                  .summary = "Does nothing: there are no locks",
                  .text = "For scripts that were written for restic. firn's repositories have no locks.",
                  .examples = {{"firn unlock", ""}},
                  .flags = {},
                  .arguments = {},
                  .run = [remove_all](Context& context) { return run_unlock(context); }};
  command.flag({.names = "--remove-all",
                .value = "",
                .help = "Accepted, and of no effect",
                .choices = {},
                .target = remove_all.get()});
  set.add(std::move(command));
}

}  // namespace firn::cli
