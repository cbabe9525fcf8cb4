#include "repo/keyring.h"

#include <algorithm>
#include <utility>

#include "repo/base/check.h"
#include "repo/base/parallel.h"
#include "repo/format/limits.h"
#include "repo/reread.h"

namespace firn::repo {
namespace {

using format::CertName;
using format::KeyId;
using format::ObjectKind;
using format::ObjectName;
using format::Role;
using format::Roles;
using format::WrapName;

/// As many GETs of keys as there are nodes would not make an open faster.
constexpr unsigned kFetchesMax = 16;
constexpr Roles kAnyRole{format::kRolesAll};
constexpr auto kIssuedValidityMax = std::chrono::hours(24 * 90);

/// Who may sign what (docs/SECURITY.md). The administrator may sign everything.
Roles signers_of(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::Index:
      return Roles{}.with(Role::Writer).with(Role::Maintainer);
    case ObjectKind::Snapshot:
      return Roles{}.with(Role::Writer);
    case ObjectKind::Caps:
      return Roles{}.with(Role::Reader);
    case ObjectKind::Session:
    case ObjectKind::Heartbeat:
    case ObjectKind::End:
      return kAnyRole;
    case ObjectKind::Condemn:
    case ObjectKind::Fence:
    case ObjectKind::Seal:
    case ObjectKind::Forget:
    case ObjectKind::Union:
    case ObjectKind::Catalog:
      return Roles{}.with(Role::Maintainer);
    case ObjectKind::Config:
    case ObjectKind::Cert:
    case ObjectKind::Wrap:
    case ObjectKind::Revoked:
      return Roles{}.with(Role::Admin);
  }
  return {};
}

Result<Bytes> get_clear(store::ObjectStore& store, const ObjectName& name) {
  return store.get(name, format::kClearObjectBytesMax);
}

/// GETs objects side by side into `objects`. One that is gone by now is left out, an impossible one is empty.
Result<> fetch_clear(base::Executor& executor, store::ObjectStore& store,
                     const std::vector<ObjectName>& names, std::map<ObjectName, Bytes>& objects) {
  std::vector<std::optional<Bytes>> fetched(names.size());
  const auto fetch = [&](std::size_t i) -> Result<> {
    auto bytes = get_clear(store, names[i]);
    if (bytes) {
      fetched[i] = *std::move(bytes);
    } else if (bytes.error().code == ErrorCode::Corrupt) {
      fetched[i].emplace();
    } else if (bytes.error().code != ErrorCode::NotFound) {
      return Failure(std::move(bytes).error());
    }
    return {};
  };
  const unsigned tasks = std::min(store.parallel_requests(), kFetchesMax);
  FIRN_TRY(base::for_each_parallel(executor, "keys", tasks, names.size(), fetch));
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (fetched[i]) {
      objects.insert_or_assign(names[i], *std::move(fetched[i]));
    }
  }
  return {};
}

/// The secrets inside one wrap, if `unlock` opens it and they are what the wrap says they are.
Result<format::KeySecrets> open_wrap(const WrapName& name, ByteView bytes, const Unlock& unlock) {
  const auto object_name = format::object_name(name);
  FIRN_LET(const format::SignedBody object, format::parse_clear_object(object_name, bytes));
  FIRN_LET(const format::Wrap wrap, format::parse_wrap(object.body));
  auto secrets = unlock.password ? format::unwrap_with_password(name, wrap, unlock.password->bytes())
                                 : format::unwrap_with_key(name, wrap, unlock.key_file->key.bytes());
  if (!secrets) {
    return secrets;
  }
  if (secrets->kid() != name.kid || object.signer != name.kid ||
      !format::signature_is_valid(object_name, object, secrets->sign_pair.public_key())) {
    return fail(ErrorCode::Corrupt, object_name.str() + " opens but was not made by its key");
  }
  return secrets;
}

/// The wraps in the order in which they are worth trying.
std::vector<WrapName> wraps_to_try(const KeyListing& listing, const Unlock& unlock) {
  std::optional<KeyId> first = unlock.hint;
  if (unlock.key_file && unlock.key_file->kid) {
    first = unlock.key_file->kid;
  }
  std::vector<WrapName> wraps;
  for (const bool is_first : {true, false}) {
    for (const auto& [kid, numbers] : listing.wraps) {
      for (const std::uint32_t n : numbers) {
        if ((kid == first) == is_first) {
          wraps.push_back({.kid = kid, .n = n});
        }
      }
    }
  }
  return wraps;
}

Result<format::Wrap> make_wrap(const Services& services, const WrapName& name,
                               const format::KeySecrets& secrets, const Unlock& unlock) {
  const auto salt = services.rng.bytes<32>();
  if (unlock.password) {
    return format::wrap_with_password(name, secrets, unlock.password->bytes(), kPasswordCosts, salt);
  }
  FIRN_CHECK(unlock.key_file.has_value());
  return format::wrap_with_key(name, secrets, unlock.key_file->key.bytes(), salt);
}

Result<> put_clear(store::ObjectStore& store, const format::ObjectName& name, Bytes body, const KeyId& signer,
                   const crypto::Ed25519KeyPair& pair) {
  FIRN_LET(const Bytes bytes,
           format::encode_clear_object(name, format::sign_body(name, std::move(body), signer, pair)));
  return in(name.str(), store.put(name, bytes).as_result());
}

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::Writer:
      return "writer";
    case Role::Reader:
      return "reader";
    case Role::Maintainer:
      return "maintainer";
    case Role::Issuer:
      return "issuer";
    case Role::Admin:
      return "admin";
  }
  return {};
}

Result<KeyListing> list_keys(store::ObjectStore& store) {
  KeyListing listing;
  FIRN_TRY(store::list_all(store, format::kKeysPrefix, [&](const store::ListedObject& object) -> Result<> {
    const auto parsed = format::parse_name(object.name);
    if (!parsed) {
      return {};
    }
    if (const auto* cert = std::get_if<CertName>(&*parsed)) {
      listing.certs[cert->kid].push_back(cert->n);
    } else if (const auto* wrap = std::get_if<WrapName>(&*parsed)) {
      listing.wraps[wrap->kid].push_back(wrap->n);
    } else if (const auto* revoked = std::get_if<format::RevokedName>(&*parsed)) {
      listing.revoked.push_back(revoked->kid);
    }
    return {};
  }));
  return listing;
}

Result<format::KeySecrets> unlock_secrets(store::ObjectStore& store, const KeyListing& listing,
                                          const Unlock& unlock,
                                          const std::function<bool(const format::KeySecrets&)>& accepts) {
  if (unlock.secrets) {
    FIRN_LET(format::KeySecrets own, format::parse_key_secrets(format::encode(*unlock.secrets).bytes()));
    if (!accepts(own)) {
      return fail(ErrorCode::NotFound, "the keys at hand are not of this repository");
    }
    return own;
  }
  FIRN_CHECK(unlock.password.has_value() != unlock.key_file.has_value());
  struct Tried {
    Bytes bytes;
    std::optional<Error> damage;
    bool refused = false;
  };
  std::map<ObjectName, Tried> tried;
  // A wrap that a bad link has spoilt looks like one of another password: what comes otherwise is tried
  // again.
  bool any_new = true;
  for (int reads = 0; reads < kReadsMax && any_new; ++reads) {
    any_new = false;
    for (const WrapName& name : wraps_to_try(listing, unlock)) {
      const ObjectName object = format::object_name(name);
      auto bytes = get_clear(store, object);
      if (!bytes && bytes.error().code == ErrorCode::NotFound) {
        continue;  // deleted between LIST and GET: a password change
      }
      if (!bytes) {
        return Failure(std::move(bytes).error());
      }
      const auto before = tried.find(object);
      if (before != tried.end() && before->second.bytes == *bytes) {
        continue;
      }
      any_new = true;
      auto secrets = open_wrap(name, *bytes, unlock);
      if (secrets && accepts(*secrets)) {
        return secrets;
      }
      Tried result{.bytes = *std::move(bytes), .damage = {}, .refused = secrets.has_value()};
      if (!secrets && secrets.error().code != ErrorCode::WrongKey) {
        result.damage = std::move(secrets).error();
      }
      tried.insert_or_assign(object, std::move(result));
    }
  }
  if (tried.empty()) {
    return fail(ErrorCode::Unavailable, "the store shows no key of this repository: try again");
  }
  bool refused = false;
  for (auto& [object, result] : tried) {
    if (result.damage) {
      return Failure(std::move(*result.damage));
    }
    refused = refused || result.refused;
  }
  if (refused) {
    return fail(ErrorCode::NotFound, "no key that opens belongs to this repository");
  }
  return fail(ErrorCode::WrongKey, unlock.password ? "wrong password: it opens no key of this repository"
                                                   : "wrong key file: it opens no key of this repository");
}

Keyring::Keyring(format::KeySecrets secrets, format::Config config)
    : secrets_(std::move(secrets)),
      config_(std::move(config)),
      kid_(secrets_.kid()),
      refs_(format::derive_refs_key(*secrets_.meta)) {}

/// The certificate in an object, if it says of whom it is; who signed it is another question.
std::optional<Keyring::SignedCert> Keyring::parse_signed_cert(const CertName& name, ByteView bytes) const {
  auto object = format::parse_clear_object(format::object_name(name), bytes);
  if (!object) {
    return std::nullopt;
  }
  auto cert = format::parse_cert(object->body);
  if (!cert || cert->repository != config_.repository ||
      format::key_id(cert->sign_key, cert->seal_key) != name.kid) {
    return std::nullopt;
  }
  return SignedCert{.object = *std::move(object), .cert = *std::move(cert)};
}

std::optional<format::Cert> Keyring::cert_of_admin(const CertName& name, ByteView bytes) const {
  auto found = parse_signed_cert(name, bytes);
  if (!found || !found->object.signer.is_zero() ||
      !format::signature_is_valid(format::object_name(name), found->object, config_.admin)) {
    return std::nullopt;
  }
  return std::move(found->cert);
}

std::optional<Keyring::SignedCert> Keyring::cert_of_issuer(const CertName& name, ByteView bytes,
                                                           const std::map<KeyId, KnownKey>& by_admin) const {
  auto found = parse_signed_cert(name, bytes);
  if (!found) {
    return std::nullopt;
  }
  const format::Cert& cert = found->cert;
  const auto issuer = by_admin.find(found->object.signer);
  const auto validity = std::chrono::nanoseconds(cert.not_after.nanoseconds - cert.not_before.nanoseconds);
  const bool may_be_issued = cert.roles == Roles{}.with(Role::Writer) &&
                             cert.not_after.nanoseconds != INT64_MAX && validity <= kIssuedValidityMax;
  if (issuer == by_admin.end() || !issuer->second.cert.roles.has(Role::Issuer) || !may_be_issued ||
      !format::signature_is_valid(format::object_name(name), found->object, issuer->second.cert.sign_key)) {
    return std::nullopt;
  }
  return found;
}

Result<> Keyring::load_keys(base::Executor& executor, store::ObjectStore& store, const KeyListing& listing) {
  std::vector<ObjectName> names;
  for (const auto& [kid, numbers] : listing.certs) {
    for (const std::uint32_t n : numbers) {
      names.push_back(format::object_name(CertName{.kid = kid, .n = n}));
    }
  }
  for (const KeyId& kid : listing.revoked) {
    names.push_back(format::object_name(format::RevokedName{kid}));
  }
  KeyObjects objects;
  FIRN_TRY(fetch_clear(executor, store, names, objects));
  std::vector<ObjectName> refused = judge_keys(listing, objects);
  // Anybody who may PUT keys can put junk, which says nothing; but a bad link may also have spoilt what is
  // good.
  for (int reads = 1; reads < kReadsMax && !refused.empty(); ++reads) {
    const KeyObjects before = objects;
    FIRN_TRY(fetch_clear(executor, store, refused, objects));
    if (objects == before) {
      break;
    }
    refused = judge_keys(listing, objects);
  }
  const KnownKey* own = find(kid_);
  const bool any_certificate = std::any_of(objects.begin(), objects.end(), [&](const auto& object) {
    const auto name = format::parse_name_as<CertName>(object.first);
    return name && name->kid == kid_;
  });
  if (own == nullptr && !any_certificate) {
    return fail(ErrorCode::Unavailable,
                "the store shows no certificate of key " + kid_.hex() + ", without which it opens nothing");
  }
  if (own == nullptr) {
    return fail(ErrorCode::WrongKey, "key " + kid_.hex() + " has no valid certificate in this repository");
  }
  roles_ = own->cert.roles;
  return {};
}

/// Fills known_ and revoked_ from what was fetched. The names of the objects that count for nothing.
std::vector<ObjectName> Keyring::judge_keys(const KeyListing& listing, const KeyObjects& objects) {
  known_.clear();
  revoked_.clear();
  std::set<ObjectName> refused;
  // First what pk_A signed: it alone says who is an issuer, and whose roles an issuer may not touch.
  for (const auto& [kid, numbers] : listing.certs) {
    for (auto n = numbers.rbegin(); n != numbers.rend() && !known_.contains(kid); ++n) {
      const CertName name{.kid = kid, .n = *n};
      const auto object = objects.find(format::object_name(name));
      if (object == objects.end()) {
        continue;
      }
      if (auto valid = cert_of_admin(name, object->second)) {
        known_.emplace(kid, KnownKey{.kid = kid, .n = *n, .cert = *std::move(valid), .certified_by = {}});
      } else {
        refused.insert(object->first);
      }
    }
  }
  // A revoked issuer vouches for nobody, so who is one comes before what issuers signed.
  judge_revocations(listing, objects, true, refused);
  const std::map<KeyId, KnownKey> by_admin = known_;
  for (const auto& [kid, numbers] : listing.certs) {
    const auto own = by_admin.find(kid);
    if (own != by_admin.end() && own->second.cert.roles != Roles{}.with(Role::Writer)) {
      continue;
    }
    for (auto n = numbers.rbegin(); n != numbers.rend(); ++n) {
      const CertName name{.kid = kid, .n = *n};
      const auto object = objects.find(format::object_name(name));
      if (own != by_admin.end() && *n < own->second.n) {
        break;
      }
      if (object == objects.end()) {
        continue;
      }
      auto valid = cert_of_issuer(name, object->second, by_admin);
      if (valid) {
        refused.erase(object->first);
      }
      if (valid && !by_admin.at(valid->object.signer).revoked) {
        known_.insert_or_assign(
            kid,
            KnownKey{
                .kid = kid, .n = *n, .cert = std::move(valid->cert), .certified_by = valid->object.signer});
        break;
      }
    }
  }
  judge_revocations(listing, objects, false, refused);
  return {refused.begin(), refused.end()};
}

/// Those that the administrator signed, or those that issuers did; the first that counts stays. Whatever was
/// not made by who may revokes nothing: check tells.
void Keyring::judge_revocations(const KeyListing& listing, const KeyObjects& objects, bool by_admin,
                                std::set<ObjectName>& refused) {
  for (const KeyId& kid : listing.revoked) {
    const auto name = format::object_name(format::RevokedName{kid});
    const auto object = objects.find(name);
    auto revocation = object != objects.end() ? verified_revocation(kid, object->second)
                                              : Result<Revocation>(fail(ErrorCode::NotFound, ""));
    if (object != objects.end() && !revocation) {
      refused.insert(name);
    } else {
      refused.erase(name);
    }
    if (revocation && revocation->signer.is_zero() == by_admin && !revoked_.contains(kid)) {
      const KnownKey* issuer = by_admin ? nullptr : find(revocation->signer);
      if (issuer == nullptr || !issuer->revoked) {
        revoked_.emplace(kid, *std::move(revocation));
      }
    }
    if (const auto known = known_.find(kid); known != known_.end()) {
      known->second.revoked = revoked_.contains(kid);
    }
  }
}

Result<Keyring::Revocation> Keyring::verified_revocation(const KeyId& kid, ByteView bytes) const {
  const auto name = format::object_name(format::RevokedName{kid});
  FIRN_LET(const format::SignedBody object, format::parse_clear_object(name, bytes));
  FIRN_LET(format::Revoked revoked, format::parse_revoked(object.body));
  const KnownKey* known = find(kid);
  const KnownKey* signer = find(object.signer);
  const bool by_admin = object.signer.is_zero() && format::signature_is_valid(name, object, config_.admin);
  const bool by_issuer = known != nullptr && known->cert.roles == Roles{}.with(Role::Writer) &&
                         signer != nullptr && signer->cert.roles.has(Role::Issuer) &&
                         format::signature_is_valid(name, object, signer->cert.sign_key);
  if (revoked.kid != kid || revoked.repository != config_.repository || (!by_admin && !by_issuer)) {
    return fail(ErrorCode::Corrupt, "revokes nothing: it was not made for this key by who may");
  }
  return Revocation{.says = std::move(revoked), .signer = object.signer};
}

Result<> Keyring::verify_clear(const format::ObjectName& name, ByteView bytes) const {
  FIRN_LET(const format::ParsedName parsed, format::parse_name(name));
  if (const auto* cert = std::get_if<CertName>(&parsed)) {
    // Issuers among the known keys are pk_A's: an issuer's certificate makes writers only.
    if (!cert_of_admin(*cert, bytes) && !cert_of_issuer(*cert, bytes, known_)) {
      return fail(ErrorCode::Corrupt, "is no valid certificate");
    }
    return {};
  }
  if (const auto* revoked = std::get_if<format::RevokedName>(&parsed)) {
    FIRN_TRY(verified_revocation(revoked->kid, bytes));
    return {};
  }
  FIRN_LET(const format::SignedBody object, format::parse_clear_object(name, bytes));
  if (const auto* wrap_name = std::get_if<WrapName>(&parsed)) {
    FIRN_LET(const format::Wrap wrap, format::parse_wrap(object.body));
    const KnownKey* owner = find(wrap_name->kid);
    const bool its_own = wrap.repository == config_.repository && object.signer == wrap_name->kid;
    if (!its_own || (owner != nullptr && !format::signature_is_valid(name, object, owner->cert.sign_key))) {
      return fail(ErrorCode::Corrupt, "was not made by its key");
    }
    return {};
  }
  FIRN_LET(const format::Config config, format::parse_config(object.body));
  if (!object.signer.is_zero() || !format::signature_is_valid(name, object, config_.admin) ||
      config.admin != config_.admin || config.repository != config_.repository) {
    return fail(ErrorCode::Corrupt, "was not signed by this repository's administrator");
  }
  return {};
}

Result<> Keyring::may_act_as(Role role, base::WallTime now) const {
  if (!can(role) && !can(Role::Admin)) {
    return fail(ErrorCode::Denied, "key " + kid_.hex() + " has not the role of " +
                                       (role == Role::Admin || role == Role::Issuer ? "an " : "a ") +
                                       std::string(to_string(role)) + " in this repository");
  }
  const KnownKey* own = find(kid_);
  if (own == nullptr || own->revoked) {
    return fail(ErrorCode::Denied, "key " + kid_.hex() + " was revoked");
  }
  if (now >= own->cert.not_after) {
    return fail(ErrorCode::Denied,
                "the certificate of key " + kid_.hex() + " has expired: make a new key with 'firn key add'");
  }
  return {};
}

std::vector<KnownKey> Keyring::keys() const {
  std::vector<KnownKey> keys;
  for (const auto& [kid, key] : known_) {
    keys.push_back(key);
  }
  return keys;
}

std::vector<KnownKey> Keyring::readers(base::WallTime now) const {
  std::vector<KnownKey> readers;
  for (const auto& [kid, key] : known_) {
    const bool reads = key.cert.roles.has(Role::Reader) || key.cert.roles.has(Role::Admin);
    if (reads && !key.revoked && now < key.cert.not_after) {
      readers.push_back(key);
    }
  }
  return readers;
}

const KnownKey* Keyring::find(const KeyId& kid) const {
  const auto found = known_.find(kid);
  return found == known_.end() ? nullptr : &found->second;
}

const std::vector<format::SessionId>* Keyring::sessions_kept(const KeyId& kid) const {
  const auto found = revoked_.find(kid);
  return found == revoked_.end() ? nullptr : &found->second.says.sessions;
}

std::vector<KeyId> Keyring::revoked_by(const KeyId& issuer) const {
  std::vector<KeyId> kids;
  for (const auto& [kid, revocation] : revoked_) {
    if (revocation.signer == issuer) {
      kids.push_back(kid);
    }
  }
  return kids;
}

bool Keyring::signed_by_who_may(std::string_view name, const format::SignedBody& object) const {
  const auto kind = format::kind_of(name);
  if (!kind) {
    return false;
  }
  if (object.signer.is_zero()) {
    return format::signature_is_valid(name, object, config_.admin);
  }
  const KnownKey* signer = find(object.signer);
  const std::uint8_t allowed = signers_of(*kind).bits | static_cast<std::uint8_t>(Role::Admin);
  return signer != nullptr && (signer->cert.roles.bits & allowed) != 0 &&
         format::signature_is_valid(name, object, signer->cert.sign_key);
}

Result<KeyId> add_key(const Services& services, store::ObjectStore& store, const Keyring& by,
                      const format::Config& config, const Unlock& new_unlock, const NewKeyOptions& options) {
  const bool plain_writer = options.roles == Roles{}.with(Role::Writer);
  if (by.admin_pair() == nullptr && !(plain_writer && by.can(Role::Issuer))) {
    return fail(ErrorCode::Denied, "adding this key needs an admin key (an issuer key may add writers)");
  }
  // The founding key of a repository is not known there yet.
  if (const KnownKey* known = by.find(by.kid()); known != nullptr && known->revoked) {
    return fail(ErrorCode::Denied, "key " + by.kid().hex() + " was revoked");
  }
  const format::KeySecrets& own = by.secrets();
  const bool admin = options.roles.has(Role::Admin);
  const bool writes = admin || options.roles.has(Role::Writer) || options.roles.has(Role::Reader) ||
                      options.roles.has(Role::Issuer);
  format::KeySecrets secrets{
      .repository = config.repository,
      .admin_key = config.admin,
      .sign_pair = crypto::Ed25519KeyPair::from_seed(services.rng.bytes<32>()),
      .seal_pair = crypto::X25519KeyPair::from_private_key(services.rng.bytes<32>()),
      .root = admin && own.root ? std::optional(own.root->clone()) : std::nullopt,
      .content = writes && own.content ? std::optional(own.content->clone()) : std::nullopt,
      .meta = own.meta->clone(),
      .psk = writes && own.psk ? std::optional(own.psk->clone()) : std::nullopt,
      .cut = writes && own.cut ? std::optional(own.cut->clone()) : std::nullopt,
      .admin_pair = admin ? std::optional(own.admin_pair->clone()) : std::nullopt,
  };
  const KeyId kid = secrets.kid();
  base::WallTime not_after = options.not_after;
  const base::WallTime now = services.clock.wall();
  if (by.admin_pair() == nullptr) {
    const auto ninety_days = std::chrono::nanoseconds(std::chrono::hours(24 * 90)).count();
    not_after.nanoseconds = std::min(not_after.nanoseconds, now.nanoseconds + ninety_days);
  }
  const format::Cert cert{.repository = config.repository,
                          .roles = options.roles,
                          .sign_key = secrets.sign_pair.public_key(),
                          .seal_key = secrets.seal_pair.public_key(),
                          .created = now,
                          .not_before = now,
                          .not_after = not_after,
                          .user = options.user,
                          .host = options.host};
  FIRN_LET(Bytes cert_body, format::encode(cert));
  const CertName cert_name{.kid = kid, .n = 1};
  const WrapName wrap_name{.kid = kid, .n = 1};
  FIRN_LET(const format::Wrap wrap, make_wrap(services, wrap_name, secrets, new_unlock));
  FIRN_LET(Bytes wrap_body, format::encode(wrap));
  FIRN_TRY(put_clear(store, format::object_name(wrap_name), std::move(wrap_body), kid, secrets.sign_pair));
  const bool admin_signs = by.admin_pair() != nullptr;
  FIRN_TRY(put_clear(store, format::object_name(cert_name), std::move(cert_body),
                     admin_signs ? KeyId{} : by.kid(), admin_signs ? *by.admin_pair() : by.sign_pair()));
  return kid;
}

Result<Certified> certify_writer(const Services& services, store::ObjectStore& store, const Keyring& by,
                                 const format::Config& config, const WriterToCertify& writer) {
  const base::WallTime now = services.clock.wall();
  FIRN_TRY(by.may_act_as(Role::Issuer, now));
  const KeyId kid = format::key_id(writer.sign_key, writer.seal_key);
  const KnownKey* known = by.find(kid);
  if (known != nullptr && known->revoked) {
    return fail(ErrorCode::Denied, "key " + kid.hex() + " was revoked");
  }
  if (known != nullptr && known->cert.roles != Roles{}.with(Role::Writer)) {
    return fail(ErrorCode::Invalid, "key " + kid.hex() + " has other roles than a writer's");
  }
  FIRN_LET(const KeyListing listing, list_keys(store));
  const auto validity = std::min<std::chrono::nanoseconds>(writer.validity, kIssuedValidityMax);
  const format::Cert cert{.repository = config.repository,
                          .roles = Roles{}.with(Role::Writer),
                          .sign_key = writer.sign_key,
                          .seal_key = writer.seal_key,
                          .created = now,
                          .not_before = now,
                          .not_after = {now.nanoseconds + validity.count()},
                          .user = writer.user,
                          .host = writer.host};
  FIRN_LET(Bytes body, format::encode(cert));
  const auto numbers = listing.certs.find(kid);
  const CertName name{.kid = kid, .n = numbers == listing.certs.end() ? 1 : numbers->second.back() + 1};
  const bool admin_signs = by.admin_pair() != nullptr;
  FIRN_TRY(put_clear(store, format::object_name(name), std::move(body), admin_signs ? KeyId{} : by.kid(),
                     admin_signs ? *by.admin_pair() : by.sign_pair()));
  return Certified{.n = name.n, .not_after = cert.not_after};
}

Result<PasswordChange> change_password(const Services& services, store::ObjectStore& store,
                                       const Keyring& own, const Unlock& new_unlock) {
  FIRN_LET(const KeyListing listing, list_keys(store));
  const auto found = listing.wraps.find(own.kid());
  std::vector<std::uint32_t> old_numbers =
      found == listing.wraps.end() ? std::vector<std::uint32_t>{} : found->second;
  const WrapName name{.kid = own.kid(), .n = old_numbers.empty() ? 1 : old_numbers.back() + 1};
  FIRN_LET(const format::Wrap wrap, make_wrap(services, name, own.secrets(), new_unlock));
  FIRN_LET(Bytes body, format::encode(wrap));
  FIRN_TRY(put_clear(store, format::object_name(name), std::move(body), own.kid(), own.sign_pair()));
  PasswordChange change;
  for (const std::uint32_t n : old_numbers) {
    const auto old_name = format::object_name(WrapName{.kid = own.kid(), .n = n});
    if (!store.remove(old_name).done()) {
      change.old_wraps_left.push_back(old_name.str());
    }
  }
  return change;
}

}  // namespace firn::repo
