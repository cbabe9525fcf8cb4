#include "repo/repository.h"

#include <algorithm>
#include <utility>

#include "crypto/aead.h"
#include "crypto/digest.h"
#include "repo/base/check.h"
#include "repo/format/limits.h"
#include "repo/reread.h"

namespace firn::repo {
namespace {

using format::ConfigName;
using format::KeyId;

/// The configurations that LIST shows, highest first.
Result<ConfigNumbers> config_numbers(store::ObjectStore& store) {
  ConfigNumbers numbers;
  FIRN_TRY(store::list_all(store, format::kConfigPrefix, [&](const store::ListedObject& object) -> Result<> {
    if (const auto name = format::parse_name_as<ConfigName>(object.name)) {
      numbers.push_back(name->n);
    }
    return {};
  }));
  std::reverse(numbers.begin(), numbers.end());
  return numbers;
}

Failure no_repository(const store::ObjectStore& store, const std::string& why) {
  return fail(ErrorCode::NotFound, "there is no repository at " + store.describe() + ": " + why);
}

/// The highest configuration that pk_A signed.
Result<format::Config> load_config(store::ObjectStore& store, const ConfigNumbers& numbers,
                                   const crypto::Ed25519PublicKey& admin) {
  std::optional<Error> problem;
  for (const std::uint32_t n : numbers) {
    const auto name = format::object_name(ConfigName{n});
    bool is_signed = false;
    auto config = read_again_if_damaged([&]() -> Result<format::Config> {
      FIRN_LET(const Bytes bytes, store.get(name, format::kClearObjectBytesMax));
      FIRN_LET(const format::SignedBody object, format::parse_clear_object(name, bytes));
      if (!object.signer.is_zero() || !format::signature_is_valid(name, object, admin)) {
        return fail(ErrorCode::Corrupt, "was not signed by this repository's administrator");
      }
      is_signed = true;
      return format::parse_config(object.body);
    });
    if (!config && is_signed && config.error().code == ErrorCode::Unsupported) {
      return in(name.str(), std::move(config));  // the administrator wants no older program to go on
    }
    if (config && config->admin == admin) {
      return config;
    }
    if (!config && config.error().code == ErrorCode::Unavailable) {
      return config;
    }
    if (!problem) {
      problem = config ? Error{ErrorCode::Corrupt, name.str() + ": names another administrator"}
                       : std::move(config).error().in(name.str());
    }
  }
  return Failure(std::move(*problem));
}

/// The key of what this program keeps beside the repository. No stored object uses it.
crypto::Digest local_key(const format::MetaKey& meta) {
  return crypto::hmac_sha256(meta.bytes(), as_bytes("firn/local/state"));
}

Result<> refuse_unknown_features(const format::Config& config) {
  std::string names;
  for (const std::string& feature : format::unknown_features(config)) {
    names += (names.empty() ? "" : ", ") + feature;
  }
  if (names.empty()) {
    return {};
  }
  return fail(ErrorCode::Unsupported,
              "this repository needs features that this firn does not know: " + names + "; use a newer firn");
}

}  // namespace

Result<std::unique_ptr<Repository>> Repository::init(const Services& services, store::ObjectStore& store,
                                                     const Unlock& unlock, const InitOptions& options) {
  auto numbers = config_numbers(store);
  if (!numbers && numbers.error().code != ErrorCode::NotFound) {
    return Failure(std::move(numbers).error());
  }
  if (numbers && !numbers->empty()) {
    return fail(ErrorCode::Exists, "there is a repository at " + store.describe() + " already");
  }
  const auto random_key = [&] { return crypto::Secret<32>::copy_of(services.rng.bytes<32>()); };
  const format::RootKey root(random_key());
  const auto admin_pair = crypto::Ed25519KeyPair::from_seed(services.rng.bytes<32>());
  format::Config config{.repository = format::RepositoryId{services.rng.bytes<16>()},
                        .created = services.clock.wall(),
                        .required_features = {},
                        .parameters = options.parameters,
                        .admin = admin_pair.public_key()};
  FIRN_LET(Bytes config_body, format::encode(config));

  format::KeySecrets founder{
      .repository = config.repository,
      .admin_key = config.admin,
      .sign_pair = crypto::Ed25519KeyPair::from_seed(services.rng.bytes<32>()),
      .seal_pair = crypto::X25519KeyPair::from_private_key(services.rng.bytes<32>()),
      .root = root.clone(),
      .content = format::derive_content_key(root),
      .meta = format::derive_meta_key(root),
      .psk = format::derive_psk_key(root),
      .cut = options.cut != nullptr ? options.cut->clone() : format::CutKey(random_key()),
      .admin_pair = admin_pair.clone(),
  };
  const Keyring founding(std::move(founder), config);
  FIRN_LET(const KeyId kid, add_key(services, store, founding, config, unlock,
                                    NewKeyOptions{.roles = format::Roles{format::kRolesAll},
                                                  .user = options.user,
                                                  .host = options.host}));

  // The configuration goes last: it is what makes the place a repository.
  const auto name = format::object_name(ConfigName{1});
  FIRN_LET(const Bytes bytes,
           format::encode_clear_object(name,
                                       format::sign_body(name, std::move(config_body), KeyId{}, admin_pair)));
  if (const store::Outcome outcome = store.put(name, bytes); !outcome.done()) {
    if (!outcome.unknown()) {
      // Somebody else made a repository here meanwhile: this key belongs to none.
      static_cast<void>(store.remove(format::object_name(format::WrapName{.kid = kid, .n = 1})));
      static_cast<void>(store.remove(format::object_name(format::CertName{.kid = kid, .n = 1})));
    }
    return Failure(outcome.why());
  }
  Unlock again{.password = std::nullopt, .key_file = std::nullopt, .hint = kid};
  if (unlock.password) {
    again.password = unlock.password->clone();
  } else {
    again.key_file = format::KeyFile{.kid = kid, .key = unlock.key_file->key.clone()};
  }
  return open(services, store, again);
}

Result<ConfigNumbers> Repository::find(store::ObjectStore& store) {
  auto numbers = config_numbers(store);
  if (numbers && numbers->empty()) {
    return no_repository(store, "make one with 'firn init'");
  }
  if (!numbers && numbers.error().code == ErrorCode::NotFound) {
    return no_repository(store, numbers.error().message);  // not even a place for one
  }
  return numbers;
}

Result<std::unique_ptr<Repository>> Repository::open(const Services& services, store::ObjectStore& store,
                                                     const Unlock& unlock,
                                                     std::optional<ConfigNumbers> numbers) {
  if (!numbers) {
    FIRN_LET(numbers, find(store));
  }
  FIRN_LET(const KeyListing listing, list_keys(store));
  Result<format::Config> found = fail(ErrorCode::NotFound, "");
  const auto belongs = [&](const format::KeySecrets& candidate) {
    found = load_config(store, *numbers, candidate.admin_key);
    if (found && found->repository != candidate.repository) {
      found = fail(ErrorCode::Corrupt, "the key belongs to repository " + candidate.repository.hex() +
                                           ", the configuration to " + found->repository.hex());
    }
    return found.has_value();
  };
  auto unlocked = unlock_secrets(store, listing, unlock, belongs);
  if (!unlocked && unlocked.error().code == ErrorCode::NotFound) {
    return Failure(std::move(found).error());
  }
  FIRN_LET(format::KeySecrets secrets, std::move(unlocked));
  format::Config config = *std::move(found);
  FIRN_TRY(refuse_unknown_features(config));
  if (!secrets.meta) {
    return fail(ErrorCode::Corrupt, "key " + secrets.kid().hex() + " holds no metadata key");
  }
  auto keys = std::make_unique<Keyring>(std::move(secrets), config);
  FIRN_TRY(keys->load_keys(services.executor, store, listing));
  return std::unique_ptr<Repository>(new Repository(services, store, std::move(config), std::move(keys)));
}

Result<Bytes> Repository::seal(const format::ObjectName& name, Bytes body, Bytes extra) const {
  const auto signed_body = format::sign_body(name, std::move(body), keys_->kid(), keys_->sign_pair());
  return in(name.str(),
            format::seal_object(keys_->meta(), name, services_.rng.bytes<32>(),
                                format::OpenedObject{.signed_body = signed_body, .extra = std::move(extra)}));
}

store::Outcome Repository::put_sealed(const format::ObjectName& name, Bytes body, Bytes extra,
                                      store::PutOptions options) const {
  auto sealed = seal(name, std::move(body), std::move(extra));
  if (!sealed) {
    return store::NotDone{std::move(sealed).error()};
  }
  return store_.put(name, *sealed, options);
}

Result<format::OpenedObject> Repository::open_sealed(const format::ObjectName& name, ByteView sealed) const {
  auto opened = format::open_object(keys_->meta(), name, sealed);
  if (!opened) {
    // The key at hand is this repository's, so a commitment that does not fit is damage as well.
    return fail(ErrorCode::Corrupt, std::move(opened).error().in(name.str()).message);
  }
  format::OpenedObject object = *std::move(opened);
  if (!keys_->signed_by_who_may(name, object.signed_body)) {
    return fail(ErrorCode::Corrupt, name.str() + ": signed by key " + object.signed_body.signer.hex() +
                                        ", which may not write such objects here");
  }
  return object;
}

Bytes Repository::seal_local(std::string_view purpose, ByteView plain) const {
  const auto nonce = services_.rng.bytes<crypto::kAeadNonceBytes>();
  Bytes sealed(nonce.begin(), nonce.end());
  sealed.resize(nonce.size() + plain.size() + crypto::kAeadTagBytes);
  crypto::aes256gcm_seal(local_key(keys_->meta()), nonce, as_bytes(purpose), plain,
                         MutableBytes(sealed).subspan(nonce.size()));
  return sealed;
}

Result<Bytes> Repository::open_local(std::string_view purpose, ByteView sealed) const {
  constexpr std::size_t kNonce = crypto::kAeadNonceBytes;
  if (sealed.size() < kNonce + crypto::kAeadTagBytes) {
    return fail(ErrorCode::Corrupt, "local state is torn");
  }
  Bytes plain(sealed.size() - kNonce - crypto::kAeadTagBytes);
  if (!crypto::aes256gcm_open(local_key(keys_->meta()), sealed.first<kNonce>(), as_bytes(purpose),
                              sealed.subspan(kNonce), plain)) {
    return fail(ErrorCode::Corrupt, "local state does not open: it is torn or of another repository");
  }
  return plain;
}

Result<format::OpenedObject> Repository::get_sealed(const format::ObjectName& name) const {
  return read_again_if_damaged([&]() -> Result<format::OpenedObject> {
    FIRN_LET(const Bytes sealed, store_.get(name, format::kSealedObjectBytesMax));
    return open_sealed(name, sealed);
  });
}

}  // namespace firn::repo
