// The command line: from argv to an exit code.
//
// Promise: nothing is thrown out of here; every error becomes one line on standard error (with --json an
// exit_error line) and one of the documented exit codes. Not here: what the machine is (main.cpp makes the
// World). Threads: one caller; commands make their own tasks.
#pragma once

#include <string>
#include <vector>

#include "agent/cli/agent_command.h"
#include "agent/cli/world.h"

namespace firn::cli {

/// `argv` with the program's name first.
int run(const std::vector<std::string>& argv, World& world, Daemons daemons = {});

}  // namespace firn::cli
