// Who and where this process is, as snapshots and keys say it to people.
#pragma once

#include <string>

#include "agent/cli/world.h"

namespace firn::cli {

/// FIRN_HOST, RESTIC_HOST, else the machine's name.
std::string host_name(World& world);
/// The name of the user that runs firn; digits where there is no name.
std::string user_name_here(World& world);

}  // namespace firn::cli
