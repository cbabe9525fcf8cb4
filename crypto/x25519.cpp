// X25519 by OpenSSL.
#include "crypto/x25519.h"

#include <openssl/err.h>

#include "crypto/detail/check.h"
#include "crypto/detail/openssl.h"

namespace firn::crypto {

namespace {

detail::PrivateOrPublicKey load_private(Key256View bytes) {
  detail::PrivateOrPublicKey key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, detail::in(bytes), bytes.size()));
  CRYPTO_CHECK(key != nullptr);
  return key;
}

}  // namespace

X25519KeyPair X25519KeyPair::from_private_key(Key256View private_key) {
  X25519KeyPair pair;
  pair.private_key_ = Secret<32>::copy_of(private_key);
  const auto key = load_private(private_key);
  std::size_t size_bytes = pair.public_key_.bytes.size();
  CRYPTO_CHECK(EVP_PKEY_get_raw_public_key(key.get(), detail::out(pair.public_key_.bytes), &size_bytes) == 1);
  return pair;
}

X25519KeyPair X25519KeyPair::clone() const {
  X25519KeyPair pair;
  pair.private_key_ = private_key_.clone();
  pair.public_key_ = public_key_;
  return pair;
}

std::optional<Secret<32>> X25519KeyPair::agree(const X25519PublicKey& peer) const {
  const auto own_key = load_private(private_key());
  const detail::PrivateOrPublicKey peer_key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, detail::in(peer.bytes), peer.bytes.size()));
  CRYPTO_CHECK(peer_key != nullptr);
  const detail::KeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, own_key.get(), nullptr));
  CRYPTO_CHECK(context != nullptr);
  CRYPTO_CHECK(EVP_PKEY_derive_init(context.get()) == 1);
  CRYPTO_CHECK(EVP_PKEY_derive_set_peer(context.get(), peer_key.get()) == 1);
  Secret<32> shared;
  std::size_t size_bytes = shared.bytes().size();
  // The one way to fail is a shared secret of zeros; OpenSSL refuses it.
  if (EVP_PKEY_derive(context.get(), detail::out(shared.writable()), &size_bytes) != 1) {
    ERR_clear_error();
    return std::nullopt;
  }
  return shared;
}

}  // namespace firn::crypto
