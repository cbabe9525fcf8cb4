// HPKE's key encapsulation and key schedule (RFC 9180 sections 4.1, 5.1, 7.1.3) with the key length as a
// parameter, so that the RFC's vectors for AES-128-GCM run through the code that the product runs.
//
// Fixed: DHKEM(X25519, HKDF-SHA256) = 0x0020, HKDF-SHA256 = 0x0001.
#pragma once

#include <optional>
#include <vector>

#include "crypto/aead.h"
#include "crypto/hpke.h"

namespace firn::crypto::detail {

enum class HpkeMode : std::uint8_t { Base = 0, Psk = 1 };
enum class HpkeAead : std::uint16_t { Aes128Gcm = 1, Aes256Gcm = 2 };

struct HpkeSuite {
  HpkeMode mode = HpkeMode::Psk;
  HpkeAead aead = HpkeAead::Aes256Gcm;
};

/// The keys of one context. Only message number 0 is ever sent, so base_nonce is its nonce.
struct HpkeSchedule {
  SecretBytes key;
  std::array<std::byte, kAeadNonceBytes> base_nonce{};
};

struct HpkeEncapsulation {
  Secret<32> shared_secret;
  X25519PublicKey enc;
};

/// DeriveKeyPair of RFC 9180 section 7.1.3 for X25519.
X25519KeyPair hpke_derive_key_pair(ByteView input_key);

std::optional<HpkeEncapsulation> hpke_encapsulate(const X25519PublicKey& recipient, ByteView ephemeral_seed);
std::optional<Secret<32>> hpke_decapsulate(const X25519KeyPair& recipient, const X25519PublicKey& enc);

/// In base mode `context.psk` and `context.psk_id` are empty; `context.aad` is not used here.
HpkeSchedule hpke_key_schedule(const HpkeSuite& suite, const Secret<32>& shared_secret,
                               const HpkePskContext& context);

std::optional<std::vector<std::byte>> hpke_seal(const HpkeSuite& suite, const X25519PublicKey& recipient,
                                                ByteView ephemeral_seed, const HpkePskContext& context,
                                                ByteView plaintext);
std::optional<SecretBytes> hpke_open(const HpkeSuite& suite, const X25519KeyPair& recipient,
                                     const HpkePskContext& context, ByteView sealed);

}  // namespace firn::crypto::detail
