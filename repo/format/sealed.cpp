#include "repo/format/sealed.h"

#include <algorithm>

#include "crypto/aead.h"
#include "crypto/digest.h"
#include "crypto/hkdf.h"
#include "repo/base/check.h"
#include "repo/base/codec.h"
#include "repo/format/limits.h"
#include "repo/format/padme.h"

namespace firn::format {
namespace {

constexpr std::string_view kMagic = "FIRN";
constexpr std::size_t kSaltBytes = 32;
constexpr std::size_t kCommitmentBytes = 32;
constexpr std::array<std::byte, 12> kZeroNonce{};

struct KindOfName {
  Result<ObjectKind> operator()(const ConfigName&) const { return ObjectKind::Config; }
  Result<ObjectKind> operator()(const CertName&) const { return ObjectKind::Cert; }
  Result<ObjectKind> operator()(const WrapName&) const { return ObjectKind::Wrap; }
  Result<ObjectKind> operator()(const RevokedName&) const { return ObjectKind::Revoked; }
  Result<ObjectKind> operator()(const CapsName&) const { return ObjectKind::Caps; }
  Result<ObjectKind> operator()(const IndexName&) const { return ObjectKind::Index; }
  Result<ObjectKind> operator()(const SnapshotName&) const { return ObjectKind::Snapshot; }
  Result<ObjectKind> operator()(const SessionName&) const { return ObjectKind::Session; }
  Result<ObjectKind> operator()(const HeartbeatName&) const { return ObjectKind::Heartbeat; }
  Result<ObjectKind> operator()(const EndName&) const { return ObjectKind::End; }
  Result<ObjectKind> operator()(const CondemnName&) const { return ObjectKind::Condemn; }
  Result<ObjectKind> operator()(const FenceName&) const { return ObjectKind::Fence; }
  Result<ObjectKind> operator()(const SealName&) const { return ObjectKind::Seal; }
  Result<ObjectKind> operator()(const ForgetName&) const { return ObjectKind::Forget; }
  Result<ObjectKind> operator()(const UnionName&) const { return ObjectKind::Union; }
  Result<ObjectKind> operator()(const CatalogName&) const { return ObjectKind::Catalog; }
  Result<ObjectKind> operator()(const PackName&) const { return none(); }
  Result<ObjectKind> operator()(const ProbeName&) const { return none(); }

  static Failure none() { return fail(ErrorCode::Unsupported, "packs and probes have no signed body"); }
};

Failure malformed(std::string_view object_name) {
  return fail(ErrorCode::Corrupt, std::string(object_name) + " is not well formed");
}

struct ObjectKeys {
  crypto::Secret<64> both;
  crypto::Key256View key() const { return both.bytes().first<32>(); }
  ByteView commitment() const { return both.bytes().last<32>(); }
};

ObjectKeys object_keys(const MetaKey& meta, ObjectKind kind, std::string_view object_name, ByteView salt) {
  Bytes info = to_bytes(as_bytes("firn/v1/"));
  append(info, as_bytes(label(kind)));
  info.push_back(std::byte{0});
  append(info, as_bytes(object_name));
  ObjectKeys keys;
  crypto::hkdf_sha256(meta.bytes(), salt, info, keys.both.writable());
  return keys;
}

}  // namespace

std::string_view label(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::Config:
      return "config";
    case ObjectKind::Cert:
      return "cert";
    case ObjectKind::Wrap:
      return "wrap";
    case ObjectKind::Revoked:
      return "revoked";
    case ObjectKind::Caps:
      return "caps";
    case ObjectKind::Index:
      return "index";
    case ObjectKind::Snapshot:
      return "snapshot";
    case ObjectKind::Session:
      return "session";
    case ObjectKind::Heartbeat:
      return "heartbeat";
    case ObjectKind::End:
      return "end";
    case ObjectKind::Condemn:
      return "condemn";
    case ObjectKind::Fence:
      return "fence";
    case ObjectKind::Seal:
      return "seal";
    case ObjectKind::Forget:
      return "forget";
    case ObjectKind::Union:
      return "union";
    case ObjectKind::Catalog:
      return "catalog";
  }
  return "";
}

Result<ObjectKind> kind_of(std::string_view object_name) {
  FIRN_LET(const ParsedName name, parse_name(object_name));
  return std::visit(KindOfName{}, name);
}

Bytes signature_input(ObjectKind kind, std::string_view object_name, ByteView body) {
  Bytes input = to_bytes(as_bytes("firn/v1/sig/"));
  append(input, as_bytes(label(kind)));
  input.push_back(std::byte{0});
  append(input, as_bytes(object_name));
  input.push_back(std::byte{0});
  append(input, crypto::sha256(body));
  return input;
}

SignedBody sign_body(const ObjectName& name, Bytes body, const KeyId& signer,
                     const crypto::Ed25519KeyPair& pair) {
  const auto kind = kind_of(name);
  FIRN_CHECK(kind.has_value());
  const auto signature = pair.sign(signature_input(*kind, name, body));
  return {std::move(body), signer, signature};
}

bool signature_is_valid(std::string_view object_name, const SignedBody& signed_body,
                        const crypto::Ed25519PublicKey& key) {
  const auto kind = kind_of(object_name);
  return kind && crypto::ed25519_verify(key, signature_input(*kind, object_name, signed_body.body),
                                        signed_body.signature);
}

Result<Bytes> encode_clear_object(std::string_view object_name, const SignedBody& object) {
  FIRN_LET(const ObjectKind kind, kind_of(object_name));
  constexpr std::size_t frame_bytes = 4 + 1 + 1 + 2 + 4 + 16 + 64;
  if (!is_clear(kind) || object.body.size() > kClearObjectBytesMax - frame_bytes) {
    return fail(ErrorCode::Invalid, std::string(object_name) + " cannot be stored in clear");
  }
  Bytes out;
  base::Writer writer(out);
  writer.text(kMagic);
  writer.u8(static_cast<std::uint8_t>(kind));
  writer.u8(kFormatVersion);
  writer.u16(0);
  writer.u32(static_cast<std::uint32_t>(object.body.size()));
  writer.bytes(object.body);
  writer.bytes(object.signer.bytes);
  writer.bytes(object.signature.bytes);
  return out;
}

Result<SignedBody> parse_clear_object(std::string_view object_name, ByteView bytes) {
  FIRN_LET(const ObjectKind kind, kind_of(object_name));
  base::Reader in(bytes);
  in.require(is_clear(kind) && bytes.size() <= kClearObjectBytesMax);
  in.require(in.text(kMagic.size()) == kMagic);
  in.require(in.u8() == static_cast<std::uint8_t>(kind));
  const std::uint8_t version = in.u8();
  if (in.ok() && version != kFormatVersion) {
    return fail(ErrorCode::Unsupported,
                std::string(object_name) + " is of format version " + std::to_string(version));
  }
  in.require(in.u16() == 0);
  SignedBody object;
  const std::uint32_t body_bytes = in.u32();
  object.body = to_bytes(in.bytes(body_bytes));
  in.into(object.signer.bytes);
  in.into(object.signature.bytes);
  if (!in.finished()) {
    return malformed(object_name);
  }
  return object;
}

Result<Bytes> encode_sealed_plaintext(const OpenedObject& object) {
  const SignedBody& signed_body = object.signed_body;
  if (signed_body.body.size() > kBodyBytesMax || object.extra.size() > kExtraBytesMax) {
    return fail(ErrorCode::Invalid, "an object is longer than the format allows");
  }
  Bytes out;
  out.reserve(padme(4 + signed_body.body.size() + 16 + 64 + 4 + object.extra.size()));
  base::Writer writer(out);
  writer.u32(static_cast<std::uint32_t>(signed_body.body.size()));
  writer.bytes(signed_body.body);
  writer.bytes(signed_body.signer.bytes);
  writer.bytes(signed_body.signature.bytes);
  writer.u32(static_cast<std::uint32_t>(object.extra.size()));
  writer.bytes(object.extra);
  out.resize(padme(out.size()));
  return out;
}

Result<OpenedObject> parse_sealed_plaintext(ByteView plaintext) {
  base::Reader in(plaintext);
  OpenedObject object;
  const std::uint32_t body_bytes = in.u32();
  in.require(body_bytes <= kBodyBytesMax);
  object.signed_body.body = to_bytes(in.bytes(body_bytes));
  in.into(object.signed_body.signer.bytes);
  in.into(object.signed_body.signature.bytes);
  const std::uint32_t extra_bytes = in.u32();
  in.require(extra_bytes <= kExtraBytesMax);
  object.extra = to_bytes(in.bytes(extra_bytes));
  in.require(padme(plaintext.size() - in.remaining()) == plaintext.size());
  in.rest_is_zeros();
  if (!in.finished()) {
    return fail(ErrorCode::Corrupt, "sealed plaintext is not well formed");
  }
  return object;
}

Result<Bytes> seal_object(const MetaKey& meta, std::string_view object_name, const Salt& salt,
                          const OpenedObject& object) {
  FIRN_LET(const ObjectKind kind, kind_of(object_name));
  if (is_clear(kind) || (kind != ObjectKind::Snapshot && !object.extra.empty())) {
    return fail(ErrorCode::Invalid, std::string(object_name) + " cannot be sealed like this");
  }
  FIRN_LET(const Bytes plain, in(object_name, encode_sealed_plaintext(object)));
  const ObjectKeys keys = object_keys(meta, kind, object_name, salt);
  Bytes out;
  out.reserve(kSaltBytes + kCommitmentBytes + plain.size() + crypto::kAeadTagBytes);
  append(out, salt);
  append(out, keys.commitment());
  out.resize(out.size() + plain.size() + crypto::kAeadTagBytes);
  crypto::aes256gcm_seal(keys.key(), kZeroNonce, {}, plain,
                         MutableBytes(out).subspan(kSaltBytes + kCommitmentBytes));
  return out;
}

Result<OpenedObject> open_object(const MetaKey& meta, std::string_view object_name, ByteView sealed) {
  FIRN_LET(const ObjectKind kind, kind_of(object_name));
  if (is_clear(kind) || sealed.size() < kSaltBytes + kCommitmentBytes + crypto::kAeadTagBytes ||
      sealed.size() > kSealedObjectBytesMax) {
    return malformed(object_name);
  }
  const ByteView salt = sealed.first(kSaltBytes);
  const ByteView commitment = sealed.subspan(kSaltBytes, kCommitmentBytes);
  const ByteView ciphertext = sealed.subspan(kSaltBytes + kCommitmentBytes);
  const ObjectKeys keys = object_keys(meta, kind, object_name, salt);
  if (!crypto::constant_time_equal(keys.commitment(), commitment)) {
    return fail(ErrorCode::WrongKey,
                std::string(object_name) + " was not sealed with this repository's key under this name");
  }
  Bytes plain(ciphertext.size() - crypto::kAeadTagBytes);
  if (!crypto::aes256gcm_open(keys.key(), kZeroNonce, {}, ciphertext, plain)) {
    return fail(ErrorCode::Corrupt, std::string(object_name) + " does not decrypt");
  }
  FIRN_LET(OpenedObject object, in(object_name, parse_sealed_plaintext(plain)));
  if (kind != ObjectKind::Snapshot && !object.extra.empty()) {
    return malformed(object_name);
  }
  return object;
}

}  // namespace firn::format
