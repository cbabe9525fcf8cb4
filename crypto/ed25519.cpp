// Ed25519 by OpenSSL.
#include "crypto/ed25519.h"

#include <openssl/err.h>

#include "crypto/detail/check.h"
#include "crypto/detail/openssl.h"

namespace firn::crypto {

namespace {

detail::PrivateOrPublicKey load_private(Seed256View seed) {
  detail::PrivateOrPublicKey key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, detail::in(seed), seed.size()));
  CRYPTO_CHECK(key != nullptr);
  return key;
}

detail::DigestContext new_context() {
  detail::DigestContext context(EVP_MD_CTX_new());
  CRYPTO_CHECK(context != nullptr);
  return context;
}

}  // namespace

Ed25519KeyPair Ed25519KeyPair::from_seed(Seed256View seed) {
  Ed25519KeyPair pair;
  pair.seed_ = Secret<32>::copy_of(seed);
  const auto key = load_private(seed);
  std::size_t size_bytes = pair.public_key_.bytes.size();
  CRYPTO_CHECK(EVP_PKEY_get_raw_public_key(key.get(), detail::out(pair.public_key_.bytes), &size_bytes) == 1);
  return pair;
}

Ed25519KeyPair Ed25519KeyPair::clone() const {
  Ed25519KeyPair pair;
  pair.seed_ = seed_.clone();
  pair.public_key_ = public_key_;
  return pair;
}

Ed25519Signature Ed25519KeyPair::sign(ByteView message) const {
  const auto key = load_private(seed());
  const auto context = new_context();
  CRYPTO_CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  Ed25519Signature signature;
  std::size_t size_bytes = signature.bytes.size();
  CRYPTO_CHECK(EVP_DigestSign(context.get(), detail::out(signature.bytes), &size_bytes, detail::in(message),
                              message.size()) == 1);
  CRYPTO_CHECK(size_bytes == signature.bytes.size());
  return signature;
}

bool ed25519_verify(const Ed25519PublicKey& key, ByteView message, const Ed25519Signature& signature) {
  const detail::PrivateOrPublicKey public_key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, detail::in(key.bytes), key.bytes.size()));
  CRYPTO_CHECK(public_key != nullptr);
  const auto context = new_context();
  CRYPTO_CHECK(EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, public_key.get()) == 1);
  const bool valid = EVP_DigestVerify(context.get(), detail::in(signature.bytes), signature.bytes.size(),
                                      detail::in(message), message.size()) == 1;
  ERR_clear_error();
  return valid;
}

}  // namespace firn::crypto
