// How a person or a script hands over what opens a repository: a file, a command, a variable, the terminal.
//
// Promise: a password is never taken from argv, and no copy of it stays in ordinary memory: buffers are read
// without stdio and wiped, and the environment's copy is overwritten. Threads: one, before others start.
#pragma once

#include "agent/cli/context.h"
#include "repo/keyring.h"

namespace firn::cli {

/// The password or the key file that `place` and the environment name; else asks on the terminal. `prefix` is
/// "" or "FROM_"; `what` says whose password it is: "password for repository /x". Errors: Invalid (nothing
/// there to ask), those of reading.
Result<repo::Unlock> read_unlock(Context& context, const Place& place, const std::string& prefix,
                                 const std::string& what);

/// The same for a new repository: a terminal is asked twice.
Result<repo::Unlock> read_new_unlock(Context& context, const Place& place, const std::string& what);

/// A new password: from `file` where it is given, else asked for twice.
Result<crypto::SecretBytes> read_new_password(Context& context, const std::optional<std::string>& file);

}  // namespace firn::cli
