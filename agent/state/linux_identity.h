// Who this process is, as session markers say it, so that others can tell whether it still lives.
//
// Threads: any.
#pragma once

#include "repo/session.h"

namespace firn::state {

/// What the system tells; zeros and empty texts for what it does not.
repo::ProcessIdentity process_identity(std::string node_name = {});

/// Is there surely no process of this machine, boot and pid namespace with that id and start? False when the
/// system does not tell.
bool process_is_gone(std::uint32_t pid, std::uint64_t start);

}  // namespace firn::state
