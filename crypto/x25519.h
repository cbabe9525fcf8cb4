// X25519 key agreement (RFC 7748).
//
// Threads: const members may be called from any thread.
#pragma once

#include <array>
#include <compare>
#include <optional>

#include "crypto/secret.h"
#include "crypto/types.h"

namespace firn::crypto {

struct X25519PublicKey {
  std::array<std::byte, 32> bytes{};
  auto operator<=>(const X25519PublicKey&) const = default;
};

class X25519KeyPair {
 public:
  /// The pair of 32 random bytes; each 32 bytes are a valid private key.
  static X25519KeyPair from_private_key(Key256View private_key);

  const X25519PublicKey& public_key() const { return public_key_; }
  /// For wrapping the pair, and nothing else.
  Key256View private_key() const { return private_key_.bytes(); }
  X25519KeyPair clone() const;

  /// The shared secret with `peer` (untrusted). Nothing if `peer` is a point of small order, so that the
  /// secret would be all zeros.
  std::optional<Secret<32>> agree(const X25519PublicKey& peer) const;

 private:
  X25519KeyPair() = default;
  Secret<32> private_key_;
  X25519PublicKey public_key_;
};

}  // namespace firn::crypto
