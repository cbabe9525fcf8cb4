// HKDF-SHA256 (RFC 5869): many keys from one.
//
// Threads: may be called from any thread.
#pragma once

#include "crypto/secret.h"
#include "crypto/types.h"

namespace firn::crypto {

inline constexpr std::size_t kHkdfOutputBytesMax = 255 * 32;

/// Extract and expand. `out` has at most kHkdfOutputBytesMax bytes. An empty salt is RFC 5869's "not
/// provided".
void hkdf_sha256(ByteView input_key, ByteView salt, ByteView info, MutableBytes out);

/// The two steps by themselves, as HPKE needs them.
Secret<32> hkdf_sha256_extract(ByteView salt, ByteView input_key);
void hkdf_sha256_expand(ByteView pseudo_random_key, ByteView info, MutableBytes out);

}  // namespace firn::crypto
