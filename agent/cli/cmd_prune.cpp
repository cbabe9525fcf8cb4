// firn prune: gives back the space of what no snapshot needs any more.
#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/pruning.h"

namespace firn::cli {

void add_prune(CommandSet& set) {
  auto request = std::make_shared<PruneRequest>();
  Command command{
      .name = "prune",
      .summary = "Free what no snapshot needs any more",
      .text =
          "Runs beside backups and other prunes, without locks. Packs that hold nothing needed are condemned "
          "and deleted; what is still needed of mostly unused packs is copied into new ones first. A pack "
          "that "
          "a running backup may rely on stays until that has ended: a later prune deletes it. Sessions whose "
          "process is provably dead are closed. A snapshot whose pages cannot be read keeps everything. "
          "Needs "
          "a maintainer key, which need not read contents. Exit code 1: something kept packs from going.",
      .examples = {{"firn prune --dry-run", "What would be copied and deleted."},
                   {"firn prune --max-unused 0 --wait 10m", "Everything, once running backups are done."},
                   {"firn prune --max-repack-size 20G --json", ""}},
      .flags = {},
      .arguments = {},
      .run = [request](Context& context) -> Result<int> {
        FIRN_TRY(check(request->flags));
        FIRN_LET(const auto open, OpenRepository::open(context));
        return prune_repository(context, *open, *request);
      }};
  command.flag({.names = "-n,--dry-run",
                .value = "",
                .help = "Write nothing, and tell what would be done",
                .choices = {},
                .target = &request->dry_run});
  for (Flag& flag : prune_flags(request->flags)) {
    command.flag(std::move(flag));
  }
  set.add(std::move(command));
}

}  // namespace firn::cli
