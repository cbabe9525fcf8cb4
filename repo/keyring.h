// Keys: what this process may do in a repository, and whose signatures count there.
//
// Promise: after open, the caller's secrets belong to the repository whose pk_A the wrapped plaintext names,
// and certificate and roles were verified against that pk_A. A bucket writer cannot swap the root of trust.
// Not here: the records (repo/format/key_objects.h), asking a person for a password (agent/cli).
// Threads: a Keyring may be used from any thread once it is made.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "crypto/secret.h"
#include "repo/base/monitor.h"
#include "repo/base/result.h"
#include "repo/format/config.h"
#include "repo/format/key_objects.h"
#include "repo/format/sealed.h"
#include "repo/services.h"
#include "repo/store/object_store.h"

namespace firn::repo {

/// What a person or a pod has to open a repository with: exactly one of password, key file and secrets.
struct Unlock {
  std::optional<crypto::SecretBytes> password;
  std::optional<format::KeyFile> key_file;
  std::optional<format::KeyId> hint;  // try this key's wraps first
  /// Of a node that was enrolled: no wrap lies in the repository.
  std::optional<format::KeySecrets> secrets = std::nullopt;
};

/// The names under keys/, as one LIST gave them.
struct KeyListing {
  std::map<format::KeyId, std::vector<std::uint32_t>> certs;  // numbers, ascending
  std::map<format::KeyId, std::vector<std::uint32_t>> wraps;
  std::vector<format::KeyId> revoked;
};
Result<KeyListing> list_keys(store::ObjectStore& store);

/// A key as its highest valid certificate describes it.
struct KnownKey {
  format::KeyId kid;
  std::uint32_t n = 0;  // of the certificate
  format::Cert cert;
  format::KeyId certified_by;  // the issuer; zeros: the administrator
  bool revoked = false;
};

/// "writer", "reader", "maintainer", "issuer", "admin".
std::string_view to_string(format::Role role);

/// Costs of the password derivation for new wraps: what the design settled on (the strength of N=2^17, r=8,
/// p=1 in 32 MiB).
inline constexpr crypto::ScryptParameters kPasswordCosts{.cost = 1U << 15, .block_size = 8, .parallel = 3};

class Keyring {
 public:
  Keyring(format::KeySecrets secrets, format::Config config);

  format::KeyId kid() const { return kid_; }
  format::Roles roles() const { return roles_; }
  bool can(format::Role role) const { return roles_.has(role); }
  /// Whether what this key signs in `role` would count: it has the role (or admin), is not revoked and not
  /// expired. Errors: Denied (says which of these).
  Result<> may_act_as(format::Role role, base::WallTime now) const;
  const format::MetaKey& meta() const { return *secrets_.meta; }
  const format::RefsKey& refs() const { return refs_; }
  /// Null where the roles do not include it.
  const format::ContentKey* content() const { return secrets_.content ? &*secrets_.content : nullptr; }
  const format::PskKey* psk() const { return secrets_.psk ? &*secrets_.psk : nullptr; }
  const format::CutKey* cut() const { return secrets_.cut ? &*secrets_.cut : nullptr; }
  const crypto::Ed25519KeyPair& sign_pair() const { return secrets_.sign_pair; }
  const crypto::X25519KeyPair& seal_pair() const { return secrets_.seal_pair; }
  const crypto::Ed25519KeyPair* admin_pair() const {
    return secrets_.admin_pair ? &*secrets_.admin_pair : nullptr;
  }
  const format::KeySecrets& secrets() const { return secrets_; }

  /// Reads every certificate and revocation in `listing` and keeps those that verify; the rest is ignored.
  /// The own roles come from the own certificate. Errors: WrongKey (it has none that is valid), and those of
  /// the store.
  Result<> load_keys(base::Executor& executor, store::ObjectStore& store, const KeyListing& listing);

  /// Keys that hold a valid certificate, in order of kid.
  std::vector<KnownKey> keys() const;
  /// Keys to which a new snapshot's capability is sealed: every reader or admin that is not revoked or
  /// expired.
  std::vector<KnownKey> readers(base::WallTime now) const;
  /// Null for a key that is not known.
  const KnownKey* find(const format::KeyId& kid) const;
  /// Sessions of a revoked key whose snapshots still count; null when the key is not revoked.
  const std::vector<format::SessionId>* sessions_kept(const format::KeyId& kid) const;
  /// Keys whose revocation this issuer signed, in order.
  std::vector<format::KeyId> revoked_by(const format::KeyId& issuer) const;

  /// True iff `object` was signed, as `name`, by a key whose roles may write objects of its kind (whatever
  /// the key's validity in time: objects written before an expiry stay valid).
  bool signed_by_who_may(std::string_view name, const format::SignedBody& object) const;

  /// Is this what an object config/ or keys/ of this name must be: well formed, of this repository, and
  /// signed by who may? A wrap whose key has no valid certificate is only looked at. Errors: Corrupt,
  /// Unsupported.
  Result<> verify_clear(const format::ObjectName& name, ByteView bytes) const;

 private:
  struct SignedCert {
    format::SignedBody object;
    format::Cert cert;
  };
  std::optional<SignedCert> parse_signed_cert(const format::CertName& name, ByteView bytes) const;
  std::optional<format::Cert> cert_of_admin(const format::CertName& name, ByteView bytes) const;
  std::optional<SignedCert> cert_of_issuer(const format::CertName& name, ByteView bytes,
                                           const std::map<format::KeyId, KnownKey>& by_admin) const;
  struct Revocation {
    format::Revoked says;
    format::KeyId signer;
  };
  Result<Revocation> verified_revocation(const format::KeyId& kid, ByteView bytes) const;
  using KeyObjects = std::map<format::ObjectName, Bytes>;
  std::vector<format::ObjectName> judge_keys(const KeyListing& listing, const KeyObjects& objects);
  void judge_revocations(const KeyListing& listing, const KeyObjects& objects, bool by_admin,
                         std::set<format::ObjectName>& refused);

  format::KeySecrets secrets_;
  format::Config config_;
  format::KeyId kid_;
  format::Roles roles_;
  format::RefsKey refs_;
  std::map<format::KeyId, KnownKey> known_;
  std::map<format::KeyId, Revocation> revoked_;
};

/// The secrets in `unlock`, or those of the first wrap in `listing` that it opens and `accepts` takes: an
/// init that lost a race, or died, may have left a key of no repository that opens with the same password.
/// Errors: WrongKey (none opens), NotFound (none that opens is taken), and those of the store.
Result<format::KeySecrets> unlock_secrets(store::ObjectStore& store, const KeyListing& listing,
                                          const Unlock& unlock,
                                          const std::function<bool(const format::KeySecrets&)>& accepts);

struct NewKeyOptions {
  format::Roles roles;
  std::string user;
  std::string host;
  base::WallTime not_after{INT64_MAX};
};

/// Makes a key of `roles` and PUTs its wrap and certificate. The keyring must hold admin (or issuer, for
/// writers). Errors: Denied (the roles at hand do not suffice), and those of the store.
Result<format::KeyId> add_key(const Services& services, store::ObjectStore& store, const Keyring& by,
                              const format::Config& config, const Unlock& new_unlock,
                              const NewKeyOptions& options);

/// Keys that somebody else holds, and that are to become a writer's.
struct WriterToCertify {
  crypto::Ed25519PublicKey sign_key;
  crypto::X25519PublicKey seal_key;
  std::string user;  // for people
  std::string host;
  std::chrono::nanoseconds validity;  // an issuer's word holds for at most 90 days
};
struct Certified {
  std::uint32_t n = 0;  // of the certificate
  base::WallTime not_after;
};
/// PUTs the next certificate of that key; what is known of it is what `by` has loaded. Errors: Denied (the
/// key at hand may not, or the other is revoked), Invalid (it has another role than a writer's), and those of
/// the store.
Result<Certified> certify_writer(const Services& services, store::ObjectStore& store, const Keyring& by,
                                 const format::Config& config, const WriterToCertify& writer);

struct PasswordChange {
  /// Wraps that could not be deleted: the old password still opens those.
  std::vector<std::string> old_wraps_left;
};
/// PUTs a new wrap of the own secrets, then deletes the older ones.
Result<PasswordChange> change_password(const Services& services, store::ObjectStore& store,
                                       const Keyring& own, const Unlock& new_unlock);

}  // namespace firn::repo
