// Ed25519 signatures (RFC 8032, the pure form).
//
// Threads: const members and functions may be called from any thread.
#pragma once

#include <array>
#include <compare>

#include "crypto/secret.h"
#include "crypto/types.h"

namespace firn::crypto {

struct Ed25519PublicKey {
  std::array<std::byte, 32> bytes{};
  auto operator<=>(const Ed25519PublicKey&) const = default;
};

struct Ed25519Signature {
  std::array<std::byte, 64> bytes{};
  auto operator<=>(const Ed25519Signature&) const = default;
};

class Ed25519KeyPair {
 public:
  /// The pair of 32 random bytes; each 32 bytes are a valid seed.
  static Ed25519KeyPair from_seed(Seed256View seed);

  const Ed25519PublicKey& public_key() const { return public_key_; }
  /// For wrapping the pair, and nothing else.
  Seed256View seed() const { return seed_.bytes(); }
  Ed25519KeyPair clone() const;

  /// Deterministic: the same message always gets the same signature.
  Ed25519Signature sign(ByteView message) const;

 private:
  Ed25519KeyPair() = default;
  Secret<32> seed_;
  Ed25519PublicKey public_key_;
};

/// True iff `signature` is one of `message` by the holder of `key`. All three are untrusted.
[[nodiscard]] bool ed25519_verify(const Ed25519PublicKey& key, ByteView message,
                                  const Ed25519Signature& signature);

}  // namespace firn::crypto
