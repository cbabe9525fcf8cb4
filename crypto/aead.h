// AES-256-GCM over the caller's memory.
//
// Promise: sealed = ciphertext | tag, the same bytes whatever implementation runs (crypto/kernels.h).
// aes256gcm_open gives the plaintext exactly, or false and zeros. Key schedules are wiped after each call.
// Not here: where nonces come from, and where they are stored (callers' formats); key commitment (callers
// recompute a capability or a commitment, AES-GCM has none).
// Threads: may be called from any thread.
#pragma once

#include "crypto/types.h"

namespace firn::crypto {

inline constexpr std::size_t kAeadNonceBytes = 12;
inline constexpr std::size_t kAeadTagBytes = 16;

/// Seals `plaintext` into `out`, whose size is exactly plaintext.size() + kAeadTagBytes. `out` may begin
/// exactly where `plaintext` does (sealing in place); no other overlap. Sizes below 1 GiB.
void aes256gcm_seal(Key256View key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out);

/// Opens `sealed` (untrusted, any length) into `out`. True: `out` holds the plaintext. False: `sealed` is
/// shorter than a tag, or was not sealed with this key, nonce and aad; `out` is zeros. `out` has the size
/// sealed.size() - kAeadTagBytes where that is not negative; it may begin exactly where `sealed` does.
[[nodiscard]] bool aes256gcm_open(Key256View key, NonceView nonce, ByteView aad, ByteView sealed,
                                  MutableBytes out);

}  // namespace firn::crypto
