// OpenSSL's handles as values, and its algorithms looked up once.
//
// Only for crypto/*.cpp: no public header shows OpenSSL.
// Threads: the algorithm objects are immutable and shared by all threads. They are never freed, because other
// static objects may still hash while the process ends.
#pragma once

#include <openssl/evp.h>

#include <cstddef>
#include <memory>

#include "crypto/types.h"

namespace firn::crypto::detail {

template <auto Free>
struct FreeWith {
  void operator()(auto* handle) const noexcept { Free(handle); }
};
using DigestContext = std::unique_ptr<EVP_MD_CTX, FreeWith<EVP_MD_CTX_free>>;
using MacContext = std::unique_ptr<EVP_MAC_CTX, FreeWith<EVP_MAC_CTX_free>>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, FreeWith<EVP_CIPHER_CTX_free>>;
using PrivateOrPublicKey = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, FreeWith<EVP_PKEY_CTX_free>>;

const EVP_MD* sha256_algorithm();
EVP_MAC* hmac_algorithm();
const EVP_CIPHER* aes128gcm_algorithm();
const EVP_CIPHER* aes256gcm_algorithm();

/// OpenSSL wants unsigned char, and no null pointer even for no bytes.
inline const unsigned char* in(ByteView bytes) {
  static constexpr unsigned char kNothing = 0;
  return bytes.empty() ? &kNothing : reinterpret_cast<const unsigned char*>(bytes.data());
}
inline unsigned char* out(MutableBytes bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

}  // namespace firn::crypto::detail
