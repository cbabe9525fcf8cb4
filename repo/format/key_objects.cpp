#include "repo/format/key_objects.h"

#include <algorithm>
#include <bit>

#include "crypto/aead.h"
#include "crypto/hkdf.h"
#include "repo/base/check.h"
#include "repo/format/detail/fields.h"

namespace firn::format {
namespace {

constexpr std::array<std::byte, 12> kZeroNonce{};
constexpr std::size_t kWrapSealedBytesMax = 4096;
constexpr std::string_view kKeyFileWord = "firn-key-1";
constexpr std::uint8_t kWrapMethodCommand = 3;

constexpr auto kCertFields = [](auto& io, auto& cert) {
  io.id(cert.repository);
  io.number(cert.roles.bits);
  io.require(cert.roles.bits >= 1 && cert.roles.bits <= kRolesAll);
  io.raw(cert.sign_key.bytes);
  io.raw(cert.seal_key.bytes);
  io.time(cert.created);
  io.time(cert.not_before);
  io.time(cert.not_after);
  io.require(cert.not_before <= cert.not_after);
  io.text(cert.user);
  io.text(cert.host);
};

constexpr auto kRevokedFields = [](auto& io, auto& revoked) {
  io.id(revoked.repository);
  io.id(revoked.kid);
  io.time(revoked.time);
  io.sorted_list(revoked.sessions, kLongListMax, detail::kIdField);
};

// Secrets: the tags of FORMAT.md, chapter 3.4.
enum class SecretTag : std::uint8_t {
  Root = 1,
  Content = 2,
  Meta = 3,
  Psk = 4,
  Cut = 5,
  SignSeed = 6,
  SealKey = 7,
  AdminSeed = 8,
};
constexpr std::uint8_t kSecretTagLast = 8;
constexpr std::size_t kSecretsHeadBytes = 16 + 32 + 1;
constexpr std::size_t kSecretItemBytes = 1 + 32;

/// The body of a wrap up to the end of the salt: what its sealed part is bound to.
Bytes wrap_head(const Wrap& wrap) {
  Bytes out;
  base::Writer writer(out);
  writer.bytes(wrap.repository.bytes);
  writer.u8(static_cast<std::uint8_t>(wrap.method));
  if (wrap.method == WrapMethod::Scrypt) {
    writer.u8(static_cast<std::uint8_t>(std::bit_width(wrap.scrypt.cost) - 1));
    writer.u32(wrap.scrypt.block_size);
    writer.u32(wrap.scrypt.parallel);
  }
  writer.bytes(wrap.salt);
  return out;
}

struct WrapKeys {
  crypto::Secret<64> both;
  crypto::Key256View key() const { return both.bytes().first<32>(); }
  std::span<const std::byte, 32> commitment() const { return both.bytes().last<32>(); }
};

WrapKeys wrap_keys(const WrapName& name, const Salt& salt, crypto::Key256View wrapping) {
  Bytes info = to_bytes(as_bytes("firn/v1/wrap"));
  info.push_back(std::byte{0});
  append(info, as_bytes(object_name(name).str()));
  WrapKeys keys;
  crypto::hkdf_sha256(wrapping, salt, info, keys.both.writable());
  return keys;
}

void seal_secrets(const WrapName& name, const KeySecrets& secrets, crypto::Key256View wrapping, Wrap& wrap) {
  const WrapKeys keys = wrap_keys(name, wrap.salt, wrapping);
  std::copy(keys.commitment().begin(), keys.commitment().end(), wrap.commitment.begin());
  const crypto::SecretBytes plain = encode(secrets);
  wrap.sealed.resize(plain.size() + crypto::kAeadTagBytes);
  crypto::aes256gcm_seal(keys.key(), kZeroNonce, wrap_head(wrap), plain.bytes(), wrap.sealed);
}

Result<KeySecrets> open_secrets(const WrapName& name, const Wrap& wrap, crypto::Key256View wrapping) {
  const WrapKeys keys = wrap_keys(name, wrap.salt, wrapping);
  if (!crypto::constant_time_equal(keys.commitment(), wrap.commitment)) {
    return fail(ErrorCode::WrongKey, "wrong password or key");
  }
  if (wrap.sealed.size() < crypto::kAeadTagBytes) {
    return detail::corrupt("wrapped key");
  }
  crypto::SecretBytes plain(wrap.sealed.size() - crypto::kAeadTagBytes);
  if (!crypto::aes256gcm_open(keys.key(), kZeroNonce, wrap_head(wrap), wrap.sealed, plain.writable())) {
    return fail(ErrorCode::Corrupt, "wrapped key does not decrypt");
  }
  FIRN_LET(KeySecrets secrets, parse_key_secrets(plain.bytes()));
  if (secrets.kid() != name.kid || secrets.repository != wrap.repository) {
    return fail(ErrorCode::Corrupt, "wrapped key is of another key or repository");
  }
  return secrets;
}

/// Secrets by tag, as they are read.
struct SecretsByTag {
  std::array<ByteView, kSecretTagLast + 1> items;
  ByteView operator[](SecretTag tag) const { return items[static_cast<std::size_t>(tag)]; }
};

template <class Key>
std::optional<Key> optional_key(ByteView bytes) {
  return bytes.empty() ? std::nullopt : std::optional<Key>(Key::copy_of(bytes.first<32>()));
}

}  // namespace

Result<Bytes> encode(const Cert& cert) { return detail::encode_record(cert, "certificate", kCertFields); }
Result<Cert> parse_cert(ByteView body) {
  return detail::parse_record<Cert>(body, "certificate", kCertFields);
}

Result<Bytes> encode(const Revoked& revoked) {
  return detail::encode_record(revoked, "revocation", kRevokedFields);
}
Result<Revoked> parse_revoked(ByteView body) {
  return detail::parse_record<Revoked>(body, "revocation", kRevokedFields);
}

KeyId KeySecrets::kid() const { return key_id(sign_pair.public_key(), seal_pair.public_key()); }

crypto::SecretBytes encode(const KeySecrets& secrets) {
  SecretsByTag by_tag{};
  const auto set = [&by_tag](SecretTag tag, ByteView bytes) {
    by_tag.items[static_cast<std::size_t>(tag)] = bytes;
  };
  const auto set_key = [&set](SecretTag tag, const auto& key) {
    if (key) {
      set(tag, key->bytes());
    }
  };
  set_key(SecretTag::Root, secrets.root);
  set_key(SecretTag::Content, secrets.content);
  set_key(SecretTag::Meta, secrets.meta);
  set_key(SecretTag::Psk, secrets.psk);
  set_key(SecretTag::Cut, secrets.cut);
  set(SecretTag::SignSeed, secrets.sign_pair.seed());
  set(SecretTag::SealKey, secrets.seal_pair.private_key());
  if (secrets.admin_pair) {
    set(SecretTag::AdminSeed, secrets.admin_pair->seed());
  }

  const auto count = static_cast<std::size_t>(
      std::count_if(by_tag.items.begin(), by_tag.items.end(), [](ByteView item) { return !item.empty(); }));
  crypto::SecretBytes out(kSecretsHeadBytes + count * kSecretItemBytes);
  auto at = out.writable().begin();
  const auto put = [&at](ByteView bytes) { at = std::copy(bytes.begin(), bytes.end(), at); };
  put(secrets.repository.bytes);
  put(secrets.admin_key.bytes);
  *at++ = static_cast<std::byte>(count);
  for (std::size_t tag = 1; tag < by_tag.items.size(); ++tag) {
    if (!by_tag.items[tag].empty()) {
      *at++ = static_cast<std::byte>(tag);
      put(by_tag.items[tag]);
    }
  }
  return out;
}

Result<KeySecrets> parse_key_secrets(ByteView plaintext) {
  base::Reader in(plaintext);
  RepositoryId repository;
  crypto::Ed25519PublicKey admin_key;
  SecretsByTag by_tag{};
  in.into(repository.bytes);
  in.into(admin_key.bytes);
  const std::uint8_t count = in.u8();
  std::uint8_t previous = 0;
  for (std::uint8_t i = 0; in.ok() && i < count; ++i) {
    const std::uint8_t tag = in.u8();
    in.require(tag > previous && tag <= kSecretTagLast);
    previous = tag;
    const ByteView item = in.bytes(32);
    if (in.ok()) {
      by_tag.items[tag] = item;
    }
  }
  const ByteView sign_seed = by_tag[SecretTag::SignSeed];
  const ByteView seal_key = by_tag[SecretTag::SealKey];
  if (!in.finished() || sign_seed.empty() || seal_key.empty()) {
    return detail::corrupt("wrapped key");
  }
  std::optional<crypto::Ed25519KeyPair> admin_pair;
  if (const ByteView seed = by_tag[SecretTag::AdminSeed]; !seed.empty()) {
    admin_pair = crypto::Ed25519KeyPair::from_seed(seed.first<32>());
    if (admin_pair->public_key() != admin_key) {
      return fail(ErrorCode::Corrupt, "wrapped key holds another administrator's key than it says");
    }
  }
  return KeySecrets{
      .repository = repository,
      .admin_key = admin_key,
      .sign_pair = crypto::Ed25519KeyPair::from_seed(sign_seed.first<32>()),
      .seal_pair = crypto::X25519KeyPair::from_private_key(seal_key.first<32>()),
      .root = optional_key<RootKey>(by_tag[SecretTag::Root]),
      .content = optional_key<ContentKey>(by_tag[SecretTag::Content]),
      .meta = optional_key<MetaKey>(by_tag[SecretTag::Meta]),
      .psk = optional_key<PskKey>(by_tag[SecretTag::Psk]),
      .cut = optional_key<CutKey>(by_tag[SecretTag::Cut]),
      .admin_pair = std::move(admin_pair),
  };
}

Result<Bytes> encode(const Wrap& wrap) {
  const bool costs_ok = wrap.method != WrapMethod::Scrypt || crypto::scrypt_acceptable(wrap.scrypt);
  if (!costs_ok || wrap.sealed.size() < crypto::kAeadTagBytes || wrap.sealed.size() > kWrapSealedBytesMax) {
    return fail(ErrorCode::Invalid, "wrapped key holds a value that is over a limit of the format");
  }
  Bytes out = wrap_head(wrap);
  base::Writer writer(out);
  writer.bytes(wrap.commitment);
  writer.u16(static_cast<std::uint16_t>(wrap.sealed.size()));
  writer.bytes(wrap.sealed);
  return out;
}

Result<Wrap> parse_wrap(ByteView body) {
  base::Reader in(body);
  Wrap wrap;
  in.into(wrap.repository.bytes);
  const std::uint8_t method = in.u8();
  if (in.ok() && method == kWrapMethodCommand) {
    return fail(ErrorCode::Unsupported, "the key is wrapped by a command, which this program cannot run");
  }
  in.require(method == 1 || method == 2);
  if (in.ok()) {
    wrap.method = static_cast<WrapMethod>(method);
  }
  if (in.ok() && wrap.method == WrapMethod::Scrypt) {
    const std::uint8_t cost_log2 = in.u8();
    in.require(cost_log2 < 64);
    wrap.scrypt.cost = in.ok() ? std::uint64_t{1} << cost_log2 : 0;
    wrap.scrypt.block_size = in.u32();
    wrap.scrypt.parallel = in.u32();
    if (in.ok() && !crypto::scrypt_acceptable(wrap.scrypt)) {
      return fail(ErrorCode::Invalid, "the wrapped key asks for more work or memory than is allowed");
    }
  }
  in.into(wrap.salt);
  in.into(wrap.commitment);
  const std::uint16_t sealed_bytes = in.u16();
  in.require(sealed_bytes >= crypto::kAeadTagBytes && sealed_bytes <= kWrapSealedBytesMax);
  wrap.sealed = to_bytes(in.bytes(sealed_bytes));
  if (!in.finished()) {
    return detail::corrupt("wrapped key");
  }
  return wrap;
}

Result<Wrap> wrap_with_password(const WrapName& name, const KeySecrets& secrets, ByteView password,
                                const crypto::ScryptParameters& costs, const Salt& salt) {
  Wrap wrap;
  wrap.repository = secrets.repository;
  wrap.method = WrapMethod::Scrypt;
  wrap.scrypt = costs;
  wrap.salt = salt;
  crypto::Secret<32> wrapping;
  if (!crypto::scrypt(password, salt, costs, wrapping.writable())) {
    return fail(ErrorCode::Invalid, "scrypt's costs are out of bounds");
  }
  seal_secrets(name, secrets, wrapping.bytes(), wrap);
  return wrap;
}

Wrap wrap_with_key(const WrapName& name, const KeySecrets& secrets, crypto::Key256View key,
                   const Salt& salt) {
  Wrap wrap;
  wrap.repository = secrets.repository;
  wrap.method = WrapMethod::Raw;
  wrap.salt = salt;
  seal_secrets(name, secrets, key, wrap);
  return wrap;
}

Result<KeySecrets> unwrap_with_password(const WrapName& name, const Wrap& wrap, ByteView password) {
  crypto::Secret<32> wrapping;
  if (wrap.method != WrapMethod::Scrypt) {
    return fail(ErrorCode::WrongKey, "this key is not opened by a password");
  }
  if (!crypto::scrypt(password, wrap.salt, wrap.scrypt, wrapping.writable())) {
    return fail(ErrorCode::Corrupt, "scrypt's costs are out of bounds");
  }
  return open_secrets(name, wrap, wrapping.bytes());
}

Result<KeySecrets> unwrap_with_key(const WrapName& name, const Wrap& wrap, crypto::Key256View key) {
  if (wrap.method != WrapMethod::Raw) {
    return fail(ErrorCode::WrongKey, "this key is not opened by a key file");
  }
  return open_secrets(name, wrap, key);
}

crypto::SecretBytes encode(const KeyFile& file) {
  if (!file.kid) {
    return crypto::SecretBytes::copy_of(file.key.bytes());
  }
  std::string line(kKeyFileWord);
  line.append(" ").append(file.kid->hex()).append(" ");
  std::string hex = to_hex(file.key.bytes());
  line.append(hex).append("\n");
  auto out = crypto::SecretBytes::copy_of(as_bytes(line));
  crypto::wipe(std::as_writable_bytes(std::span(hex)));
  crypto::wipe(std::as_writable_bytes(std::span(line)));
  return out;
}

Result<KeyFile> parse_key_file(ByteView bytes) {
  KeyFile file;
  if (bytes.size() == 32) {
    file.key = crypto::Secret<32>::copy_of(bytes.first<32>());
    return file;
  }
  constexpr std::size_t kid_at = kKeyFileWord.size() + 1;
  constexpr std::size_t key_at = kid_at + 2 * KeyId::kBytes + 1;
  constexpr std::size_t line_bytes = key_at + 64 + 1;
  const std::string_view text = as_text(bytes);
  KeyId kid;
  const bool shape_ok = text.size() == line_bytes && text.starts_with(kKeyFileWord) &&
                        text[kid_at - 1] == ' ' && text[key_at - 1] == ' ' && text.back() == '\n';
  if (!shape_ok || !from_hex(text.substr(kid_at, 2 * KeyId::kBytes), kid.bytes) ||
      !from_hex(text.substr(key_at, 64), file.key.writable())) {
    return fail(ErrorCode::Invalid,
                "not a key file: neither 32 bytes nor a line that `firn key add --out` wrote");
  }
  file.kid = kid;
  return file;
}

}  // namespace firn::format
