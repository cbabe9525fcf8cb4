// Fetching an algorithm costs a microsecond and a lock, so it is done once a process.
#include "crypto/detail/openssl.h"

#include "crypto/detail/check.h"

namespace firn::crypto::detail {
namespace {

template <typename Algorithm>
Algorithm* checked(Algorithm* algorithm) {
  CRYPTO_CHECK(algorithm != nullptr);
  return algorithm;
}

}  // namespace

const EVP_MD* sha256_algorithm() {
  static const EVP_MD* const algorithm = checked(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  return algorithm;
}

EVP_MAC* hmac_algorithm() {
  static EVP_MAC* const algorithm = checked(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  return algorithm;
}

const EVP_CIPHER* aes128gcm_algorithm() {
  static const EVP_CIPHER* const algorithm = checked(EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr));
  return algorithm;
}

const EVP_CIPHER* aes256gcm_algorithm() {
  static const EVP_CIPHER* const algorithm = checked(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr));
  return algorithm;
}

}  // namespace firn::crypto::detail
