// The commands, one function each; what they do stands in cmd_*.cpp.
#pragma once

#include "agent/cli/flags.h"

namespace firn::cli {

void add_backup(CommandSet& set);
void add_cache(CommandSet& set);
void add_cat(CommandSet& set);
void add_check(CommandSet& set);
void add_copy(CommandSet& set);
void add_diff(CommandSet& set);
void add_dump(CommandSet& set);
void add_find(CommandSet& set);
void add_forget(CommandSet& set);
void add_generate(CommandSet& set);
void add_init(CommandSet& set);
void add_key(CommandSet& set);
void add_list(CommandSet& set);
void add_ls(CommandSet& set);
void add_mount(CommandSet& set);
void add_prune(CommandSet& set);
void add_repair(CommandSet& set);
void add_restore(CommandSet& set);
void add_snapshots(CommandSet& set);
void add_stats(CommandSet& set);
void add_tag(CommandSet& set);
void add_tend(CommandSet& set);
void add_unlock(CommandSet& set);
void add_version(CommandSet& set);

/// All of them, in the order of the help.
void add_commands(CommandSet& set);

}  // namespace firn::cli
