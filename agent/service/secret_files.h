// What opens each repository, as files that a Secret's volume holds.
//
// Of the Repository object `main`: `main.key` (what `firn key add --out` writes, or 32 raw bytes) or
// `main.password`. Read anew each time a repository is opened, so that a changed Secret is taken up.
// Threads: any.
#pragma once

#include <string>

#include "agent/service/outcome.h"
#include "repo/keyring.h"

namespace firn::service {

/// Refuses with KeyMissing or WrongKey.
Outcome<repo::Unlock> read_unlock(const std::string& key_root, const std::string& repository);

}  // namespace firn::service
