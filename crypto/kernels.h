// Which code does the heavy work (leaf digests, AES-256-GCM): OpenSSL everywhere, libipsec-mb where it is
// built in, the processor has what it needs, and a self-test found that both give the same bytes.
//
// Threads: may be called from any thread. use_implementation() is for tests, benchmarks and a diagnostic
// flag; calls that already run finish with what they began with.
#pragma once

#include <string_view>

#include "crypto/types.h"

namespace firn::crypto {

enum class Implementation : std::uint8_t { OpenSsl, IpsecMb };

std::string_view to_string(Implementation implementation);

/// True iff `implementation` may be used on this machine. The first call runs the self-test (about 5 ms).
bool implementation_available(Implementation implementation);

/// What calls use: the fastest available one, or what use_implementation() said last.
Implementation select_implementation();

/// Makes all later calls in this process use `implementation`. False, nothing changed: not available.
bool use_implementation(Implementation implementation);

}  // namespace firn::crypto
