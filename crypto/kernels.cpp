// The choice between kernels, and the self-test that it rests on.
#include "crypto/kernels.h"

#include <atomic>
#include <vector>

#include "crypto/detail/kernel.h"
#include "crypto/leaf_hash.h"

namespace firn::crypto {

namespace {

using detail::Kernel;

// Lengths around a SHA-256 block, an AES block, the wide loops of both, and a leaf.
constexpr std::size_t kTestLengths[] = {1,   15,  16,   17,   55,   56,   63,    64,    65,
                                        127, 128, 1023, 1024, 4097, 8192, 16383, 16384, 16384};

std::vector<std::byte> test_bytes(std::size_t size_bytes) {
  std::vector<std::byte> bytes(size_bytes);
  std::uint32_t state = 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = std::byte(state >> 24);
  }
  return bytes;
}

bool same_leaf_digests(const Kernel& a, const Kernel& b, ByteView bytes) {
  std::vector<ByteView> leaves;
  for (const std::size_t length : kTestLengths) {
    leaves.push_back(bytes.first(length));
  }
  for (std::size_t count = 1; count <= leaves.size(); ++count) {
    const auto some = std::span(leaves).last(count);
    std::vector<Digest> of_a(count);
    std::vector<Digest> of_b(count);
    a.hash_leaves(some, of_a);
    b.hash_leaves(some, of_b);
    if (of_a != of_b) {
      return false;
    }
  }
  return true;
}

bool same_sealing(const Kernel& a, const Kernel& b, ByteView bytes) {
  const auto key = bytes.first<32>();
  const auto nonce = bytes.subspan<32, 12>();
  for (const std::size_t length : kTestLengths) {
    const ByteView plaintext = bytes.first(length - 1);
    const ByteView aad = bytes.first(length % 50);
    std::vector<std::byte> of_a(plaintext.size() + kAeadTagBytes);
    std::vector<std::byte> of_b(of_a.size());
    a.seal(key, nonce, aad, plaintext, of_a);
    b.seal(key, nonce, aad, plaintext, of_b);
    if (of_a != of_b) {
      return false;
    }
    std::vector<std::byte> opened(plaintext.size());
    const auto ciphertext = std::span(of_a).first(plaintext.size());
    const auto tag = std::span(of_a).last<kAeadTagBytes>();
    if (!b.open(key, nonce, aad, ciphertext, tag, opened) || !constant_time_equal(opened, plaintext)) {
      return false;
    }
    tag.back() ^= std::byte{1};
    if (b.open(key, nonce, aad, ciphertext, tag, opened)) {
      return false;
    }
  }
  return true;
}

/// The fast kernel if it may be trusted.
const Kernel* tested_ipsec_mb_kernel() {
  static const Kernel* const tested = []() -> const Kernel* {
    const Kernel* const fast = detail::ipsec_mb_kernel();
    if (fast == nullptr) {
      return nullptr;
    }
    return detail::kernels_agree(detail::openssl_kernel(), *fast) ? fast : nullptr;
  }();
  return tested;
}

std::atomic<const Kernel*>& current() {
  static std::atomic<const Kernel*> kernel(tested_ipsec_mb_kernel() != nullptr ? tested_ipsec_mb_kernel()
                                                                               : &detail::openssl_kernel());
  return kernel;
}

}  // namespace

std::string_view to_string(Implementation implementation) {
  return implementation == Implementation::IpsecMb ? "ipsec-mb" : "openssl";
}

bool implementation_available(Implementation implementation) {
  return implementation == Implementation::OpenSsl || tested_ipsec_mb_kernel() != nullptr;
}

Implementation select_implementation() {
  return current().load() == &detail::openssl_kernel() ? Implementation::OpenSsl : Implementation::IpsecMb;
}

bool use_implementation(Implementation implementation) {
  if (!implementation_available(implementation)) {
    return false;
  }
  current().store(implementation == Implementation::OpenSsl ? &detail::openssl_kernel()
                                                            : tested_ipsec_mb_kernel());
  return true;
}

bool detail::kernels_agree(const Kernel& trusted, const Kernel& other) {
  const auto bytes = test_bytes(kLeafBytes);
  return same_leaf_digests(trusted, other, bytes) && same_sealing(trusted, other, bytes);
}

const Kernel& detail::current_kernel() { return *current().load(std::memory_order_relaxed); }

}  // namespace firn::crypto
