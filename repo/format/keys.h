// Symmetric keys of a repository, one type for each purpose, and how they derive from each other.
//
// Promise: pure functions; key bytes live in crypto::Secret memory and are copied only by clone().
// Not here: how keys are kept for their owners (key_objects.h), chunks (chunk.h).
#pragma once

#include <array>
#include <cstdint>

#include "crypto/ed25519.h"
#include "crypto/secret.h"
#include "crypto/x25519.h"
#include "repo/format/ids.h"

namespace firn::format {

template <class Tag>
class SymmetricKey {
 public:
  explicit SymmetricKey(crypto::Secret<32> secret) : secret_(std::move(secret)) {}
  static SymmetricKey copy_of(crypto::Key256View bytes) {
    return SymmetricKey(crypto::Secret<32>::copy_of(bytes));
  }
  crypto::Key256View bytes() const { return secret_.bytes(); }
  SymmetricKey clone() const { return SymmetricKey(secret_.clone()); }

 private:
  crypto::Secret<32> secret_;
};

using RootKey = SymmetricKey<struct RootKeyTag>;        // K_root: everything below derives from it
using ContentKey = SymmetricKey<struct ContentKeyTag>;  // K_content: chunk capabilities
using MetaKey = SymmetricKey<struct MetaKeyTag>;        // K_meta: sealing of metadata
using RefsKey = SymmetricKey<struct RefsKeyTag>;        // K_refs: refs pages
using PskKey = SymmetricKey<struct PskKeyTag>;          // K_psk: HPKE
using CutKey = SymmetricKey<struct CutKeyTag>;          // K_cut: where chunks, pages and bundles are cut

ContentKey derive_content_key(const RootKey& root);
MetaKey derive_meta_key(const RootKey& root);
RefsKey derive_refs_key(const MetaKey& meta);
PskKey derive_psk_key(const RootKey& root);

/// What cut decisions need of K_cut.
struct CutSeeds {
  std::uint64_t bundle = 0;
  std::uint64_t page = 0;
};
CutSeeds derive_cut_seeds(const CutKey& cut);
/// The chunker's 256 words.
std::array<std::uint32_t, 256> derive_gear_table(const CutKey& cut);

/// kid of a pair of public keys.
KeyId key_id(const crypto::Ed25519PublicKey& sign, const crypto::X25519PublicKey& seal);

/// The folder of a source's snapshots.
SourceTag source_tag(const MetaKey& meta, ByteView source_id);

}  // namespace firn::format
