// firn generate: man pages and shell completions, as files.
#include <fcntl.h>
#include <sys/stat.h>

#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/context.h"
#include "agent/cli/generate.h"
#include "repo/base/files.h"

namespace firn::cli {
namespace {

struct GenerateCommand {
  std::optional<std::string> man;
  std::optional<std::string> bash;
  std::optional<std::string> zsh;
  std::optional<std::string> fish;
};

/// These files are for everybody.
Result<> write_file(const std::string& path, const std::string& text) {
  FIRN_LET(const base::FileDescriptor file,
           base::open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  ::fchmod(file.get(), 0644);
  return base::write_all(file.get(), as_bytes(text), path);
}

Result<int> run_generate(Context& context, const GenerateCommand& command) {
  if (!command.man && !command.bash && !command.zsh && !command.fish) {
    return fail(ErrorCode::Invalid, "say what to generate (see firn generate --help)");
  }
  const auto write_completion = [&](const std::optional<std::string>& path,
                                    const std::string& text) -> Result<> {
    if (!path) {
      return {};
    }
    if (*path == "-") {
      context.out.write(text);
      return {};
    }
    return write_file(*path, text);
  };
  FIRN_TRY(write_completion(command.bash, bash_completion(context.commands)));
  FIRN_TRY(write_completion(command.zsh, zsh_completion(context.commands)));
  FIRN_TRY(write_completion(command.fish, fish_completion(context.commands)));
  if (command.man) {
    FIRN_TRY(base::make_directories(*command.man, 0755));
    ::chmod(command.man->c_str(), 0755);
    for (const auto& [name, text] : man_pages(context.commands)) {
      FIRN_TRY(write_file(*command.man + "/" + name, text));
    }
  }
  return 0;
}

}  // namespace

void add_generate(CommandSet& set) {
  auto options = std::make_shared<GenerateCommand>();
  Command command{.name = "generate",
                  .summary = "Write man pages and shell completions",
                  .text = "A completion goes to standard output where the file is \"-\".",
                  .examples = {{"firn generate --bash-completion /etc/bash_completion.d/firn", ""},
                               {"firn generate --man /usr/local/share/man/man1", ""}},
                  .flags = {},
                  .arguments = {},
                  .run = [options](Context& context) { return run_generate(context, *options); }};
  command.flag({.names = "--man",
                .value = "DIR",
                .help = "Write the man pages into this directory",
                .choices = {},
                .hint = Hint::Directory,
                .target = &options->man});
  const auto completion = [&](const char* shell, std::optional<std::string>& target) {
    command.flag({.names = std::string("--") + shell + "-completion",
                  .value = "FILE",
                  .help = std::string("Write the completion for ") + shell,
                  .choices = {},
                  .hint = Hint::File,
                  .target = &target});
  };
  completion("bash", options->bash);
  completion("zsh", options->zsh);
  completion("fish", options->fish);
  set.add(std::move(command));
}

}  // namespace firn::cli
