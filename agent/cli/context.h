// What every command gets: the machine, the global settings and the output.
#pragma once

#include <string>

#include "agent/cli/globals.h"
#include "agent/cli/output.h"
#include "agent/cli/world.h"

namespace firn::cli {

struct Context {
  World& world;
  Globals& globals;
  Output& out;
  const CommandSet& commands;
  bool called_restic = false;  // under restic's name
  /// Set while a repository is looked for: a NotFound then means that there is none.
  bool no_repository = false;
};

/// What firn calls itself in snapshots and messages: "firn 0.1.0".
std::string program_name();

}  // namespace firn::cli
