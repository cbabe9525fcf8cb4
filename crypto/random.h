// The kernel's random bytes. Crypto draws no randomness by itself: every seed and nonce is a parameter, so
// that a simulation can repeat a run. Only the Rng seam of repo/base and tests call this.
//
// Threads: may be called from any thread.
#pragma once

#include "crypto/types.h"

namespace firn::crypto {

/// Fills `out` from getrandom(2), waiting until the kernel's generator is ready. Aborts if there is none.
void system_random(MutableBytes out);

}  // namespace firn::crypto
