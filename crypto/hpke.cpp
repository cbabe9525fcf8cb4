// RFC 9180, from its labelled HKDF upwards. Names in quotes are the RFC's.
#include "crypto/hpke.h"

#include <algorithm>

#include "crypto/detail/aes_gcm.h"
#include "crypto/detail/check.h"
#include "crypto/detail/hpke_core.h"
#include "crypto/hkdf.h"

namespace firn::crypto {

namespace detail {

namespace {

using Bytes = std::vector<std::byte>;

void append(Bytes& out, ByteView more) { out.insert(out.end(), more.begin(), more.end()); }

void append_u16(Bytes& out, std::size_t value) {
  out.push_back(std::byte(value >> 8 & 0xff));
  out.push_back(std::byte(value & 0xff));
}

constexpr std::size_t kKemId = 0x0020;
constexpr std::size_t kKdfId = 0x0001;

Bytes kem_suite_id() {
  Bytes id;
  append(id, label_bytes("KEM"));
  append_u16(id, kKemId);
  return id;
}

Bytes hpke_suite_id(HpkeAead aead) {
  Bytes id;
  append(id, label_bytes("HPKE"));
  append_u16(id, kKemId);
  append_u16(id, kKdfId);
  append_u16(id, static_cast<std::size_t>(aead));
  return id;
}

/// "LabeledExtract". The input key may be secret, so its prefixed copy is too.
Secret<32> labeled_extract(ByteView suite_id, ByteView salt, std::string_view label, ByteView input_key) {
  const ByteView parts[] = {label_bytes("HPKE-v1"), suite_id, label_bytes(label), input_key};
  std::size_t size_bytes = 0;
  for (const ByteView part : parts) {
    size_bytes += part.size();
  }
  SecretBytes labeled(size_bytes);
  auto at = labeled.writable().begin();
  for (const ByteView part : parts) {
    at = std::copy(part.begin(), part.end(), at);
  }
  return hkdf_sha256_extract(salt, labeled.bytes());
}

/// "LabeledExpand". Fills `out`.
void labeled_expand(ByteView suite_id, const Secret<32>& key, std::string_view label, ByteView info,
                    MutableBytes out) {
  Bytes labeled;
  append_u16(labeled, out.size());
  append(labeled, label_bytes("HPKE-v1"));
  append(labeled, suite_id);
  append(labeled, label_bytes(label));
  append(labeled, info);
  hkdf_sha256_expand(key.bytes(), labeled, out);
}

/// "ExtractAndExpand" of the KEM.
Secret<32> extract_and_expand(const Secret<32>& dh, const X25519PublicKey& enc,
                              const X25519PublicKey& recipient) {
  Bytes kem_context;
  append(kem_context, enc.bytes);
  append(kem_context, recipient.bytes);
  const auto suite_id = kem_suite_id();
  const auto eae_prk = labeled_extract(suite_id, {}, "eae_prk", dh.bytes());
  Secret<32> shared_secret;
  labeled_expand(suite_id, eae_prk, "shared_secret", kem_context, shared_secret.writable());
  return shared_secret;
}

std::size_t key_bytes(HpkeAead aead) { return aead == HpkeAead::Aes256Gcm ? 32 : 16; }

}  // namespace

X25519KeyPair hpke_derive_key_pair(ByteView input_key) {
  const auto suite_id = kem_suite_id();
  const auto dkp_prk = labeled_extract(suite_id, {}, "dkp_prk", input_key);
  Secret<32> private_key;
  labeled_expand(suite_id, dkp_prk, "sk", {}, private_key.writable());
  return X25519KeyPair::from_private_key(private_key.bytes());
}

std::optional<HpkeEncapsulation> hpke_encapsulate(const X25519PublicKey& recipient, ByteView ephemeral_seed) {
  const auto ephemeral = hpke_derive_key_pair(ephemeral_seed);
  const auto dh = ephemeral.agree(recipient);
  if (!dh) {
    return std::nullopt;
  }
  return HpkeEncapsulation{.shared_secret = extract_and_expand(*dh, ephemeral.public_key(), recipient),
                           .enc = ephemeral.public_key()};
}

std::optional<Secret<32>> hpke_decapsulate(const X25519KeyPair& recipient, const X25519PublicKey& enc) {
  const auto dh = recipient.agree(enc);
  if (!dh) {
    return std::nullopt;
  }
  return extract_and_expand(*dh, enc, recipient.public_key());
}

HpkeSchedule hpke_key_schedule(const HpkeSuite& suite, const Secret<32>& shared_secret,
                               const HpkePskContext& context) {
  if (suite.mode == HpkeMode::Psk) {
    CRYPTO_CHECK(context.psk.size() >= kHpkePskBytesMin && !context.psk_id.empty());
  } else {
    CRYPTO_CHECK(context.psk.empty() && context.psk_id.empty());
  }
  const auto suite_id = hpke_suite_id(suite.aead);
  const auto psk_id_hash = labeled_extract(suite_id, {}, "psk_id_hash", context.psk_id);
  const auto info_hash = labeled_extract(suite_id, {}, "info_hash", context.info);
  Bytes schedule_context{std::byte(suite.mode)};
  append(schedule_context, psk_id_hash.bytes());
  append(schedule_context, info_hash.bytes());
  const auto secret = labeled_extract(suite_id, shared_secret.bytes(), "secret", context.psk);
  HpkeSchedule schedule;
  schedule.key = SecretBytes(key_bytes(suite.aead));
  labeled_expand(suite_id, secret, "key", schedule_context, schedule.key.writable());
  labeled_expand(suite_id, secret, "base_nonce", schedule_context, schedule.base_nonce);
  return schedule;
}

std::optional<std::vector<std::byte>> hpke_seal(const HpkeSuite& suite, const X25519PublicKey& recipient,
                                                ByteView ephemeral_seed, const HpkePskContext& context,
                                                ByteView plaintext) {
  const auto encapsulation = hpke_encapsulate(recipient, ephemeral_seed);
  if (!encapsulation) {
    return std::nullopt;
  }
  const auto schedule = hpke_key_schedule(suite, encapsulation->shared_secret, context);
  Bytes sealed(kHpkeOverheadBytes + plaintext.size());
  std::copy(encapsulation->enc.bytes.begin(), encapsulation->enc.bytes.end(), sealed.begin());
  openssl_gcm_seal(schedule.key.bytes(), schedule.base_nonce, context.aad, plaintext,
                   std::span(sealed).subspan(kHpkeEncBytes));
  return sealed;
}

std::optional<SecretBytes> hpke_open(const HpkeSuite& suite, const X25519KeyPair& recipient,
                                     const HpkePskContext& context, ByteView sealed) {
  if (sealed.size() < kHpkeOverheadBytes) {
    return std::nullopt;
  }
  X25519PublicKey enc;
  std::copy_n(sealed.begin(), kHpkeEncBytes, enc.bytes.begin());
  const auto shared_secret = hpke_decapsulate(recipient, enc);
  if (!shared_secret) {
    return std::nullopt;
  }
  const auto schedule = hpke_key_schedule(suite, *shared_secret, context);
  SecretBytes plaintext(sealed.size() - kHpkeOverheadBytes);
  const ByteView ciphertext = sealed.subspan(kHpkeEncBytes, plaintext.size());
  if (!openssl_gcm_open(schedule.key.bytes(), schedule.base_nonce, context.aad, ciphertext,
                        sealed.last<kAeadTagBytes>(), plaintext.writable())) {
    return std::nullopt;
  }
  return plaintext;
}

}  // namespace detail

std::optional<std::vector<std::byte>> hpke_seal_psk(const X25519PublicKey& recipient,
                                                    Seed256View ephemeral_seed, const HpkePskContext& context,
                                                    ByteView plaintext) {
  return detail::hpke_seal({}, recipient, ephemeral_seed, context, plaintext);
}

std::optional<SecretBytes> hpke_open_psk(const X25519KeyPair& recipient, const HpkePskContext& context,
                                         ByteView sealed) {
  return detail::hpke_open({}, recipient, context, sealed);
}

std::optional<std::vector<std::byte>> hpke_seal_base(const X25519PublicKey& recipient,
                                                     Seed256View ephemeral_seed, ByteView info,
                                                     ByteView plaintext) {
  return detail::hpke_seal({.mode = detail::HpkeMode::Base}, recipient, ephemeral_seed,
                           {.psk = {}, .psk_id = {}, .info = info, .aad = {}}, plaintext);
}

std::optional<SecretBytes> hpke_open_base(const X25519KeyPair& recipient, ByteView info, ByteView sealed) {
  return detail::hpke_open({.mode = detail::HpkeMode::Base}, recipient,
                           {.psk = {}, .psk_id = {}, .info = info, .aad = {}}, sealed);
}

}  // namespace firn::crypto
