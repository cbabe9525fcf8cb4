// SHA-256 and HMAC on OpenSSL's EVP calls.
#include "crypto/digest.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "crypto/detail/check.h"
#include "crypto/detail/openssl.h"

namespace firn::crypto {

struct Sha256::State {
  detail::DigestContext context{EVP_MD_CTX_new()};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  CRYPTO_CHECK(state_->context != nullptr);
  CRYPTO_CHECK(EVP_DigestInit_ex2(state_->context.get(), detail::sha256_algorithm(), nullptr) == 1);
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(ByteView bytes) {
  CRYPTO_CHECK(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1);
}

Digest Sha256::finish() {
  Digest digest;
  CRYPTO_CHECK(EVP_DigestFinal_ex(state_->context.get(), detail::out(digest), nullptr) == 1);
  CRYPTO_CHECK(EVP_DigestInit_ex2(state_->context.get(), nullptr, nullptr) == 1);
  return digest;
}

struct HmacSha256::State {
  detail::MacContext context{EVP_MAC_CTX_new(detail::hmac_algorithm())};
};

HmacSha256::HmacSha256(ByteView key) : state_(std::make_unique<State>()) {
  CRYPTO_CHECK(state_->context != nullptr);
  char digest_name[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest_name, 0),
      OSSL_PARAM_construct_end(),
  };
  CRYPTO_CHECK(EVP_MAC_init(state_->context.get(), detail::in(key), key.size(), parameters) == 1);
}
HmacSha256::HmacSha256(HmacSha256&&) noexcept = default;
HmacSha256& HmacSha256::operator=(HmacSha256&&) noexcept = default;
HmacSha256::~HmacSha256() = default;

void HmacSha256::update(ByteView bytes) {
  CRYPTO_CHECK(EVP_MAC_update(state_->context.get(), detail::in(bytes), bytes.size()) == 1);
}

Digest HmacSha256::finish() {
  Digest digest;
  std::size_t size_bytes = 0;
  CRYPTO_CHECK(EVP_MAC_final(state_->context.get(), detail::out(digest), &size_bytes, digest.size()) == 1);
  CRYPTO_CHECK(size_bytes == digest.size());
  CRYPTO_CHECK(EVP_MAC_init(state_->context.get(), nullptr, 0, nullptr) == 1);
  return digest;
}

Digest sha256_parts(std::span<const ByteView> parts) {
  Sha256 hash;
  for (const ByteView part : parts) {
    hash.update(part);
  }
  return hash.finish();
}

Digest hmac_sha256_parts(ByteView key, std::span<const ByteView> parts) {
  HmacSha256 mac(key);
  for (const ByteView part : parts) {
    mac.update(part);
  }
  return mac.finish();
}

}  // namespace firn::crypto
