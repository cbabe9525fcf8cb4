// Tests of the store, told to people and scripts.
//
// Threads: the command's own.
#pragma once

#include <cstdint>

#include "agent/cli/context.h"
#include "repo/store_probe.h"

namespace firn::cli {

/// For init. Errors: Unsupported, naming what the store does that firn cannot work with; those of
/// probe_store().
Result<> require_fit_store(Context& context, const repo::Services& services, store::ObjectStore& store);

/// For check --posture: tells each broken promise as an error and counts them. A store that may not be
/// written to is none.
Result<std::uint64_t> count_broken_promises(Context& context, const repo::Services& services,
                                            store::ObjectStore& store);

/// check --posture: what the holder of the store's credentials could destroy. Gives the exit code.
Result<int> tell_posture(Context& context, const repo::Services& services, store::ObjectStore& store);

}  // namespace firn::cli
