// Small objects: a signed body, in clear (config, keys, caps) or sealed under K_meta (all else).
//
// Promise: opening gives a body that somebody with K_meta sealed under exactly this name, or an error;
// whether its signer may sign such a thing is the caller's question (keyring), answered with
// signature_is_valid(). What opens seals back to the same bytes with the same salt. Not here: what bodies say
// (config.h … ). Threads: any.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "crypto/ed25519.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"
#include "repo/format/keys.h"
#include "repo/format/names.h"

namespace firn::format {

/// The kinds of signed objects. The numbers stand in clear objects.
enum class ObjectKind : std::uint8_t {
  Config = 1,
  Cert = 2,
  Wrap = 3,
  Revoked = 4,
  Caps = 5,
  Index = 6,
  Snapshot = 7,
  Session = 8,
  Heartbeat = 9,
  End = 10,
  Condemn = 11,
  Fence = 12,
  Seal = 13,
  Forget = 14,
  Union = 15,
  Catalog = 16,
};

/// The word that stands in signatures and derivations: "config", "cert", …
std::string_view label(ObjectKind kind);
/// Errors: Unsupported (packs, probes, unknown names have no signed body).
Result<ObjectKind> kind_of(std::string_view object_name);
/// True for config, cert, wrap, revoked and caps.
constexpr bool is_clear(ObjectKind kind) { return kind <= ObjectKind::Caps; }

/// What every small object is made of.
struct SignedBody {
  Bytes body;
  KeyId signer;  // zeros: the administrator's pair, pk_A
  crypto::Ed25519Signature signature;
  bool operator==(const SignedBody&) const = default;
};

/// "firn/v1/sig/" ‖ kind ‖ 0 ‖ object name ‖ 0 ‖ SHA-256(body): what is signed.
Bytes signature_input(ObjectKind kind, std::string_view object_name, ByteView body);

/// `name` must have an object kind (a bug otherwise).
SignedBody sign_body(const ObjectName& name, Bytes body, const KeyId& signer,
                     const crypto::Ed25519KeyPair& pair);
bool signature_is_valid(std::string_view object_name, const SignedBody& signed_body,
                        const crypto::Ed25519PublicKey& key);

/// "FIRN" | kind u8 | version u8 | 0 u16 | body length u32 | body | signer 16 | signature 64. Errors: Invalid
/// (the body is too long, or objects of this name are not clear).
Result<Bytes> encode_clear_object(std::string_view object_name, const SignedBody& object);
/// Errors: Corrupt, Unsupported (a later version).
Result<SignedBody> parse_clear_object(std::string_view object_name, ByteView bytes);

using Salt = std::array<std::byte, 32>;

struct OpenedObject {
  SignedBody signed_body;
  Bytes extra;  // unsigned; only snapshots have it: their first capabilities (capability.h)
  bool operator==(const OpenedObject&) const = default;
};

/// Plaintext of a sealed object: body length u32 | body | signer 16 | signature 64 | extra length u32 | extra
/// | zeros up to Padmé. Errors: Invalid (too long).
Result<Bytes> encode_sealed_plaintext(const OpenedObject& object);
/// Errors: Corrupt.
Result<OpenedObject> parse_sealed_plaintext(ByteView plaintext);

/// salt 32 | commitment 32 | ciphertext | tag 16. The salt is fresh and random. Errors: Invalid (too long, or
/// objects of this name are not sealed).
Result<Bytes> seal_object(const MetaKey& meta, std::string_view object_name, const Salt& salt,
                          const OpenedObject& object);
/// Errors: Corrupt (damaged, or moved here from another name), WrongKey (the commitment does not fit).
Result<OpenedObject> open_object(const MetaKey& meta, std::string_view object_name, ByteView sealed);

}  // namespace firn::format
