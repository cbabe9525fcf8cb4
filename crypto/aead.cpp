// Contract checks and wiping around the chosen kernel.
#include "crypto/aead.h"

#include <algorithm>

#include "crypto/detail/check.h"
#include "crypto/detail/kernel.h"

namespace firn::crypto {

namespace {
constexpr std::size_t kPlaintextBytesMax = (std::size_t{1} << 30) - 1;
}  // namespace

void aes256gcm_seal(Key256View key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out) {
  CRYPTO_CHECK(plaintext.size() <= kPlaintextBytesMax && aad.size() <= kPlaintextBytesMax);
  CRYPTO_CHECK(out.size() == plaintext.size() + kAeadTagBytes);
  detail::current_kernel().seal(key, nonce, aad, plaintext, out);
}

bool aes256gcm_open(Key256View key, NonceView nonce, ByteView aad, ByteView sealed, MutableBytes out) {
  CRYPTO_CHECK(aad.size() <= kPlaintextBytesMax);
  if (sealed.size() < kAeadTagBytes || sealed.size() - kAeadTagBytes > kPlaintextBytesMax) {
    std::fill(out.begin(), out.end(), std::byte{0});
    return false;
  }
  CRYPTO_CHECK(out.size() == sealed.size() - kAeadTagBytes);
  const ByteView ciphertext = sealed.first(sealed.size() - kAeadTagBytes);
  if (detail::current_kernel().open(key, nonce, aad, ciphertext, sealed.last<kAeadTagBytes>(), out)) {
    return true;
  }
  wipe(out);
  return false;
}

}  // namespace firn::crypto
