// The right to read one snapshot: t of its root page, sealed to one key with HPKE.
//
// First capabilities ride in the snapshot object as its unsigned extra bytes; later ones, and grants to
// writers, are objects caps/<snapshot id>/<kid>, in clear and signed by the reader who made them.
#pragma once

#include <array>
#include <vector>

#include "crypto/x25519.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"
#include "repo/format/keys.h"
#include "repo/format/names.h"

namespace firn::format {

struct SealedCapability {
  KeyId recipient;
  std::array<std::byte, 80> sealed{};  // HPKE's enc 32, ciphertext 32, tag 16
  bool operator==(const SealedCapability&) const = default;
};

/// Body of caps/<snapshot id>/<kid>.
Bytes encode(const SealedCapability& capability);
/// Errors: Corrupt.
Result<SealedCapability> parse_capability(ByteView body);

/// The extra bytes of a snapshot object: sorted by recipient, unique. Errors: Invalid (too many).
Result<Bytes> encode_capabilities(const std::vector<SealedCapability>& capabilities);
/// Errors: Corrupt.
Result<std::vector<SealedCapability>> parse_capabilities(ByteView extra);

/// Seals `root` to `recipient`, whose X25519 key is `key`; `seed` is 32 fresh random bytes. Errors: Invalid
/// (`key` is a point of small order).
Result<SealedCapability> seal_capability(const PskKey& psk, const RepositoryId& repository,
                                         const SnapshotName& snapshot, const KeyId& recipient,
                                         const crypto::X25519PublicKey& key, const ChunkSecret& root,
                                         crypto::Seed256View seed);
/// Opens what was sealed to `pair`, whose kid is capability.recipient, and checks that it reads `root_id`.
/// Errors: WrongKey (not sealed to this key for this snapshot), Corrupt (opens, but reads another root).
Result<ChunkSecret> open_capability(const PskKey& psk, const RepositoryId& repository,
                                    const SnapshotName& snapshot, const SealedCapability& capability,
                                    const crypto::X25519KeyPair& pair, const ChunkId& root_id);

}  // namespace firn::format
