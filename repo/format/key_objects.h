// Objects under keys/<kid>/: certificate, wrapped secrets, revocation; and the key file of `key add`.
//
// Promise: pure functions; scrypt's costs are bounded before it runs. Not here: which certificate counts and
// who may sign it (keyring).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/ed25519.h"
#include "crypto/scrypt.h"
#include "crypto/secret.h"
#include "crypto/x25519.h"
#include "repo/base/clock.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"
#include "repo/format/keys.h"
#include "repo/format/names.h"
#include "repo/format/sealed.h"

namespace firn::format {

enum class Role : std::uint8_t { Writer = 1, Reader = 2, Maintainer = 4, Issuer = 8, Admin = 16 };

/// A set of roles, as the byte that is stored.
struct Roles {
  std::uint8_t bits = 0;
  constexpr bool has(Role role) const { return (bits & static_cast<std::uint8_t>(role)) != 0; }
  constexpr Roles with(Role role) const {
    return {static_cast<std::uint8_t>(bits | static_cast<std::uint8_t>(role))};
  }
  bool operator==(const Roles&) const = default;
};
inline constexpr std::uint8_t kRolesAll = 31;

/// keys/<kid>/cert-<n>: signed by pk_A, or for writers by an issuer.
struct Cert {
  RepositoryId repository;
  Roles roles;  // at least one
  crypto::Ed25519PublicKey sign_key;
  crypto::X25519PublicKey seal_key;
  base::WallTime created;
  base::WallTime not_before;
  base::WallTime not_after;  // INT64_MAX: never expires
  std::string user;          // for people
  std::string host;
  bool operator==(const Cert&) const = default;
};
Result<Bytes> encode(const Cert& cert);
/// Errors: Corrupt.
Result<Cert> parse_cert(ByteView body);

/// keys/<kid>/revoked: of this key only snapshots of these sessions count.
struct Revoked {
  RepositoryId repository;
  KeyId kid;
  base::WallTime time;
  std::vector<SessionId> sessions;  // sorted, unique
  bool operator==(const Revoked&) const = default;
};
Result<Bytes> encode(const Revoked& revoked);
Result<Revoked> parse_revoked(ByteView body);

/// What a key's owner holds. Which are there depends on its roles; the pairs always are.
struct KeySecrets {
  RepositoryId repository;
  crypto::Ed25519PublicKey admin_key;  // pk_A, so that nobody can swap the root of trust
  crypto::Ed25519KeyPair sign_pair;
  crypto::X25519KeyPair seal_pair;
  std::optional<RootKey> root;
  std::optional<ContentKey> content;
  std::optional<MetaKey> meta;
  std::optional<PskKey> psk;
  std::optional<CutKey> cut;
  std::optional<crypto::Ed25519KeyPair> admin_pair;

  KeyId kid() const;
};
crypto::SecretBytes encode(const KeySecrets& secrets);
/// Errors: Corrupt.
Result<KeySecrets> parse_key_secrets(ByteView plaintext);

enum class WrapMethod : std::uint8_t { Scrypt = 1, Raw = 2 /* 3: a command, reserved */ };

/// keys/<kid>/wrap-<n>: the secrets under a password or a raw key; signed by the kid itself.
struct Wrap {
  RepositoryId repository;
  WrapMethod method = WrapMethod::Scrypt;
  crypto::ScryptParameters scrypt;  // of WrapMethod::Scrypt
  Salt salt{};
  std::array<std::byte, 32> commitment{};
  Bytes sealed;  // ciphertext and tag
  bool operator==(const Wrap&) const = default;
};
Result<Bytes> encode(const Wrap& wrap);
/// Errors: Corrupt; Unsupported (reserved method); Invalid (costs out of bounds).
Result<Wrap> parse_wrap(ByteView body);

/// Wraps under a password. Errors: Invalid (costs out of bounds).
Result<Wrap> wrap_with_password(const WrapName& name, const KeySecrets& secrets, ByteView password,
                                const crypto::ScryptParameters& costs, const Salt& salt);
/// Wraps under 256 random bits.
Wrap wrap_with_key(const WrapName& name, const KeySecrets& secrets, crypto::Key256View key, const Salt& salt);

/// Opens a wrap with what the user has. The secrets are of name.kid and wrap.repository. Errors: WrongKey
/// (other password or key, or the other method), Corrupt.
Result<KeySecrets> unwrap_with_password(const WrapName& name, const Wrap& wrap, ByteView password);
Result<KeySecrets> unwrap_with_key(const WrapName& name, const Wrap& wrap, crypto::Key256View key);

/// The file that `key add --out` makes: one line "firn-key-1 <kid> <64 hex digits>". A bare file of 32 bytes
/// is a key too, of nobody in particular.
struct KeyFile {
  std::optional<KeyId> kid;
  crypto::Secret<32> key;
};
crypto::SecretBytes encode(const KeyFile& file);
/// Errors: Invalid.
Result<KeyFile> parse_key_file(ByteView bytes);

}  // namespace firn::format
