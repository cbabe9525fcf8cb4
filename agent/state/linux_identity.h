// Who this process is, as session markers say it, so that others can tell whether it still lives.
//
// Threads: any.
#pragma once

#include "repo/session.h"

namespace firn::state {

/// What the system tells; zeros and empty texts for what it does not.
repo::ProcessIdentity process_identity(std::string node_name = {});

}  // namespace firn::state
