// Man pages and shell completions, written from the description of the command line.
//
// Promise: the same description gives the same bytes; nothing of the machine or the time is in them.
#pragma once

#include <map>
#include <string>

#include "agent/cli/flags.h"

namespace firn::cli {

/// Pages by file name: "firn.1", "firn-backup.1", "firn-key-add.1".
std::map<std::string, std::string> man_pages(const CommandSet& set);

std::string bash_completion(const CommandSet& set);
std::string zsh_completion(const CommandSet& set);
std::string fish_completion(const CommandSet& set);

}  // namespace firn::cli
