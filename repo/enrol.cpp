#include "repo/enrol.h"

#include "crypto/hpke.h"
#include "repo/base/codec.h"

namespace firn::repo {
namespace {

constexpr std::size_t kVariablesBytesMax = 8192;

/// Length-prefixed, so that no two applicants read alike.
Bytes said_by(std::string_view what, const Applicant& applicant) {
  Bytes out;
  base::Writer writer(out);
  for (const std::string_view text :
       {what, std::string_view(applicant.repository), std::string_view(applicant.node)}) {
    writer.u32(static_cast<std::uint32_t>(text.size()));
    writer.text(text);
  }
  writer.bytes(applicant.sign_key.bytes);
  writer.bytes(applicant.seal_key.bytes);
  return out;
}

Bytes proof_message(const Applicant& applicant) { return said_by("firn/v1/enrol/proof", applicant); }
Bytes keys_info(const Applicant& applicant) { return said_by("firn/v1/enrol/keys", applicant); }
Bytes variables_info(const Applicant& applicant) { return said_by("firn/v1/enrol/store", applicant); }

Result<Bytes> seal_to(const Applicant& applicant, crypto::Seed256View seed, ByteView info, ByteView plain) {
  auto sealed = crypto::hpke_seal_base(applicant.seal_key, seed, info, plain);
  if (!sealed) {
    return fail(ErrorCode::Invalid, "key " + applicant.kid().hex() + " cannot be sealed to");
  }
  return *std::move(sealed);
}

Result<crypto::SecretBytes> open_as(const NodePairs& pairs, ByteView info, ByteView sealed) {
  auto plain = crypto::hpke_open_base(pairs.seal_pair, info, sealed);
  if (!plain) {
    return fail(ErrorCode::WrongKey, "what was sealed does not open with this node's key");
  }
  return *std::move(plain);
}

}  // namespace

NodePairs NodePairs::make(base::Rng& rng) {
  return {.sign_pair = crypto::Ed25519KeyPair::from_seed(rng.bytes<32>()),
          .seal_pair = crypto::X25519KeyPair::from_private_key(rng.bytes<32>())};
}

format::KeyId NodePairs::kid() const {
  return format::key_id(sign_pair.public_key(), seal_pair.public_key());
}

crypto::SecretBytes encode(const NodePairs& pairs) {
  crypto::SecretBytes out(64);
  const auto middle =
      std::copy(pairs.sign_pair.seed().begin(), pairs.sign_pair.seed().end(), out.writable().begin());
  std::copy(pairs.seal_pair.private_key().begin(), pairs.seal_pair.private_key().end(), middle);
  return out;
}

Result<NodePairs> parse_node_pairs(ByteView bytes) {
  if (bytes.size() != 64) {
    return fail(ErrorCode::Corrupt, "is no pair of keys");
  }
  return NodePairs{.sign_pair = crypto::Ed25519KeyPair::from_seed(bytes.first<32>()),
                   .seal_pair = crypto::X25519KeyPair::from_private_key(bytes.last<32>())};
}

crypto::Ed25519Signature prove(const Applicant& applicant, const NodePairs& pairs) {
  return pairs.sign_pair.sign(proof_message(applicant));
}

bool proof_is_valid(const Applicant& applicant, const crypto::Ed25519Signature& proof) {
  return crypto::ed25519_verify(applicant.sign_key, proof_message(applicant), proof);
}

Result<Bytes> seal_writer_keys(const Keyring& by, const Applicant& applicant, crypto::Seed256View seed) {
  const format::KeySecrets& own = by.secrets();
  if (!own.content || !own.meta || !own.psk || !own.cut) {
    return fail(ErrorCode::Denied, "the key at hand does not hold what a writer needs: use an issuer's key");
  }
  crypto::SecretBytes plain(16 + 5 * 32);
  auto at = plain.writable().begin();
  for (const ByteView part :
       {ByteView(own.repository.bytes), ByteView(own.admin_key.bytes), ByteView(own.content->bytes()),
        ByteView(own.meta->bytes()), ByteView(own.psk->bytes()), ByteView(own.cut->bytes())}) {
    at = std::copy(part.begin(), part.end(), at);
  }
  return seal_to(applicant, seed, keys_info(applicant), plain.bytes());
}

Result<format::KeySecrets> open_writer_keys(const Applicant& applicant, const NodePairs& pairs,
                                            ByteView sealed) {
  FIRN_LET(const crypto::SecretBytes plain, open_as(pairs, keys_info(applicant), sealed));
  if (plain.size() != 16 + 5 * 32) {
    return fail(ErrorCode::Corrupt, "what was sealed is not a writer's keys");
  }
  base::Reader in(plain.bytes());
  format::RepositoryId repository;
  crypto::Ed25519PublicKey admin;
  in.into(repository.bytes);
  in.into(admin.bytes);
  const auto next = [&in] { return in.bytes(32).first<32>(); };
  const crypto::Key256View content = next();
  const crypto::Key256View meta = next();
  const crypto::Key256View psk = next();
  const crypto::Key256View cut = next();
  return format::KeySecrets{.repository = repository,
                            .admin_key = admin,
                            .sign_pair = pairs.sign_pair.clone(),
                            .seal_pair = pairs.seal_pair.clone(),
                            .root = std::nullopt,
                            .content = format::ContentKey::copy_of(content),
                            .meta = format::MetaKey::copy_of(meta),
                            .psk = format::PskKey::copy_of(psk),
                            .cut = format::CutKey::copy_of(cut),
                            .admin_pair = std::nullopt};
}

Result<Bytes> seal_store_variables(const StoreVariables& variables, const Applicant& applicant,
                                   crypto::Seed256View seed) {
  Bytes plain;
  base::Writer writer(plain);
  writer.u32(static_cast<std::uint32_t>(variables.size()));
  for (const auto& [name, value] : variables) {
    for (const std::string& text : {name, value}) {
      writer.u32(static_cast<std::uint32_t>(text.size()));
      writer.text(text);
    }
  }
  Result<Bytes> sealed = fail(ErrorCode::Invalid, "the store's credentials are too large");
  if (plain.size() <= kVariablesBytesMax) {
    sealed = seal_to(applicant, seed, variables_info(applicant), plain);
  }
  crypto::wipe(plain);
  return sealed;
}

Result<StoreVariables> open_store_variables(const Applicant& applicant, const NodePairs& pairs,
                                            ByteView sealed) {
  FIRN_LET(const crypto::SecretBytes plain, open_as(pairs, variables_info(applicant), sealed));
  base::Reader in(plain.bytes());
  const auto text = [&in] { return std::string(in.text(in.u32())); };
  StoreVariables variables;
  const std::uint32_t count = in.u32();
  for (std::uint32_t i = 0; in.ok() && i < count; ++i) {
    std::string name = text();
    variables[std::move(name)] = text();
  }
  if (!in.finished() || variables.size() != count) {
    return fail(ErrorCode::Corrupt, "what was sealed is not the store's credentials");
  }
  return variables;
}

}  // namespace firn::repo
