// HPKE (RFC 9180), single shot: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
//
// mode_psk: only the holder of the recipient's private key AND the pre-shared key can open, and only a holder
// of the pre-shared key can seal. sealed = enc 32 | ciphertext | tag 16.
// mode_base: whoever knows the recipient's public key can seal, so that what opens says nothing of who sealed
// it. Not here: mode_auth, exporters, more than one message a context. Threads: may be called from any
// thread.
#pragma once

#include <optional>
#include <vector>

#include "crypto/secret.h"
#include "crypto/types.h"
#include "crypto/x25519.h"

namespace firn::crypto {

inline constexpr std::size_t kHpkeEncBytes = 32;
inline constexpr std::size_t kHpkeOverheadBytes = kHpkeEncBytes + 16;
inline constexpr std::size_t kHpkePskBytesMin = 32;

/// What both sides must know besides the recipient's key. `psk` has at least kHpkePskBytesMin bytes of full
/// entropy, `psk_id` at least one byte; `info` and `aad` may be empty.
struct HpkePskContext {
  ByteView psk;
  ByteView psk_id;
  ByteView info;
  ByteView aad;
};

/// Seals `plaintext` to `recipient`. `ephemeral_seed` is 32 fresh random bytes, used for nothing else (RFC
/// 9180's ikmE). Nothing if `recipient` is a point of small order.
std::optional<std::vector<std::byte>> hpke_seal_psk(const X25519PublicKey& recipient,
                                                    Seed256View ephemeral_seed, const HpkePskContext& context,
                                                    ByteView plaintext);

/// Opens untrusted `sealed`. Nothing if it is too short or was not sealed to `recipient` with this context.
std::optional<SecretBytes> hpke_open_psk(const X25519KeyPair& recipient, const HpkePskContext& context,
                                         ByteView sealed);

/// The same without a pre-shared key, for a recipient who has none yet; `info` binds what it is for.
std::optional<std::vector<std::byte>> hpke_seal_base(const X25519PublicKey& recipient,
                                                     Seed256View ephemeral_seed, ByteView info,
                                                     ByteView plaintext);
std::optional<SecretBytes> hpke_open_base(const X25519KeyPair& recipient, ByteView info, ByteView sealed);

}  // namespace firn::crypto
