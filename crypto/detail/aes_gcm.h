// AES-GCM of either key size on OpenSSL: the portable kernel's AEAD, and the door through which HPKE's
// published AES-128-GCM vectors are tested. The product itself only uses 32-byte keys.
#pragma once

#include "crypto/aead.h"
#include "crypto/types.h"

namespace firn::crypto::detail {

/// `key` has 16 or 32 bytes. As aes256gcm_seal.
void openssl_gcm_seal(ByteView key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out);

/// `key` has 16 or 32 bytes. False: `out` holds bytes that the caller must wipe.
bool openssl_gcm_open(ByteView key, NonceView nonce, ByteView aad, ByteView ciphertext,
                      std::span<const std::byte, kAeadTagBytes> tag, MutableBytes out);

}  // namespace firn::crypto::detail
