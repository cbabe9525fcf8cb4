// The portable kernel: one stream at a time, on every processor.
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <limits>

#include "crypto/detail/aes_gcm.h"
#include "crypto/detail/check.h"
#include "crypto/detail/kernel.h"
#include "crypto/detail/openssl.h"

namespace firn::crypto::detail {

namespace {

const EVP_CIPHER* cipher_of(ByteView key) {
  CRYPTO_CHECK(key.size() == 16 || key.size() == 32);
  return key.size() == 32 ? aes256gcm_algorithm() : aes128gcm_algorithm();
}

int int_size(std::size_t size_bytes) {
  CRYPTO_CHECK(size_bytes <= std::numeric_limits<int>::max());
  return static_cast<int>(size_bytes);
}

CipherContext new_context() {
  CipherContext context(EVP_CIPHER_CTX_new());
  CRYPTO_CHECK(context != nullptr);
  return context;
}

void hash_leaves(std::span<const ByteView> leaves, std::span<Digest> digests) {
  const DigestContext context(EVP_MD_CTX_new());
  CRYPTO_CHECK(context != nullptr);
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    CRYPTO_CHECK(EVP_DigestInit_ex2(context.get(), i == 0 ? sha256_algorithm() : nullptr, nullptr) == 1);
    CRYPTO_CHECK(EVP_DigestUpdate(context.get(), leaves[i].data(), leaves[i].size()) == 1);
    CRYPTO_CHECK(EVP_DigestFinal_ex(context.get(), out(digests[i]), nullptr) == 1);
  }
}

void seal(Key256View key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes sealed) {
  openssl_gcm_seal(key, nonce, aad, plaintext, sealed);
}

bool open(Key256View key, NonceView nonce, ByteView aad, ByteView ciphertext,
          std::span<const std::byte, kAeadTagBytes> tag, MutableBytes plaintext) {
  return openssl_gcm_open(key, nonce, aad, ciphertext, tag, plaintext);
}

}  // namespace

void openssl_gcm_seal(ByteView key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes sealed) {
  const auto context = new_context();
  auto* const cipher = context.get();
  int written = 0;
  CRYPTO_CHECK(EVP_EncryptInit_ex2(cipher, cipher_of(key), in(key), in(nonce), nullptr) == 1);
  CRYPTO_CHECK(EVP_EncryptUpdate(cipher, nullptr, &written, in(aad), int_size(aad.size())) == 1);
  const MutableBytes ciphertext = sealed.first(plaintext.size());
  if (!plaintext.empty()) {
    CRYPTO_CHECK(
        EVP_EncryptUpdate(cipher, out(ciphertext), &written, in(plaintext), int_size(plaintext.size())) == 1);
    CRYPTO_CHECK(int_size(plaintext.size()) == written);
  }
  const MutableBytes tag = sealed.subspan(plaintext.size());
  CRYPTO_CHECK(EVP_EncryptFinal_ex(cipher, out(tag), &written) == 1);
  CRYPTO_CHECK(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, int{kAeadTagBytes}, tag.data()) == 1);
}

bool openssl_gcm_open(ByteView key, NonceView nonce, ByteView aad, ByteView ciphertext,
                      std::span<const std::byte, kAeadTagBytes> tag, MutableBytes plaintext) {
  const auto context = new_context();
  auto* const cipher = context.get();
  // OpenSSL takes the expected tag through a pointer to mutable bytes, and only reads it.
  std::array<std::byte, kAeadTagBytes> expected{};
  std::copy(tag.begin(), tag.end(), expected.begin());
  int written = 0;
  CRYPTO_CHECK(EVP_DecryptInit_ex2(cipher, cipher_of(key), in(key), in(nonce), nullptr) == 1);
  CRYPTO_CHECK(EVP_DecryptUpdate(cipher, nullptr, &written, in(aad), int_size(aad.size())) == 1);
  if (!ciphertext.empty()) {
    CRYPTO_CHECK(EVP_DecryptUpdate(cipher, out(plaintext), &written, in(ciphertext),
                                   int_size(ciphertext.size())) == 1);
  }
  CRYPTO_CHECK(EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, int{kAeadTagBytes}, expected.data()) == 1);
  std::array<unsigned char, EVP_MAX_BLOCK_LENGTH> nothing_left{};
  const bool genuine = EVP_DecryptFinal_ex(cipher, nothing_left.data(), &written) == 1;
  ERR_clear_error();
  return genuine;
}

const Kernel& openssl_kernel() {
  static constexpr Kernel kernel{.hash_leaves = hash_leaves, .seal = seal, .open = open};
  return kernel;
}

}  // namespace firn::crypto::detail
