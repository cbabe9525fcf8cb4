// How a node that holds nothing gets a writer's keys: what it asks with, and what is sealed to it.
//
// Promise: the proof shows that who asks holds the signing key, and binds both keys to node and repository;
// what is sealed opens with the node's own pair for that node and repository alone, so that copying an answer
// to another node gives nobody anything. It says nothing of who sealed it: the channel (the API server) has
// to. Not here: the certificate (keyring.h), the channel, who may ask (agent/controller). Threads: any.
#pragma once

#include <map>
#include <string>

#include "crypto/secret.h"
#include "repo/base/result.h"
#include "repo/format/key_objects.h"
#include "repo/keyring.h"

namespace firn::repo {

/// The two pairs that a node makes for one repository; the private halves never leave it.
struct NodePairs {
  crypto::Ed25519KeyPair sign_pair;
  crypto::X25519KeyPair seal_pair;

  static NodePairs make(base::Rng& rng);
  format::KeyId kid() const;
};
/// As the node's file has them.
crypto::SecretBytes encode(const NodePairs& pairs);
/// Errors: Corrupt.
Result<NodePairs> parse_node_pairs(ByteView bytes);

/// Who asks for what.
struct Applicant {
  std::string repository;  // as both sides call it: "namespace/name"
  std::string node;
  crypto::Ed25519PublicKey sign_key;
  crypto::X25519PublicKey seal_key;

  format::KeyId kid() const { return format::key_id(sign_key, seal_key); }
};

crypto::Ed25519Signature prove(const Applicant& applicant, const NodePairs& pairs);
[[nodiscard]] bool proof_is_valid(const Applicant& applicant, const crypto::Ed25519Signature& proof);

/// What a writer holds beside its own pairs, sealed to the applicant. Errors: Denied (the key at hand does
/// not hold it), Invalid (the applicant's key cannot be sealed to).
Result<Bytes> seal_writer_keys(const Keyring& by, const Applicant& applicant, crypto::Seed256View seed);
/// The secrets of the node's key. Errors: WrongKey (sealed to another, or for another node or repository),
/// Corrupt.
Result<format::KeySecrets> open_writer_keys(const Applicant& applicant, const NodePairs& pairs,
                                            ByteView sealed);

/// Names and values for the store: "AWS_ACCESS_KEY_ID" and the like.
using StoreVariables = std::map<std::string, std::string>;
/// Errors: Invalid (the applicant's key cannot be sealed to, or there is too much).
Result<Bytes> seal_store_variables(const StoreVariables& variables, const Applicant& applicant,
                                   crypto::Seed256View seed);
/// Errors: WrongKey, Corrupt.
Result<StoreVariables> open_store_variables(const Applicant& applicant, const NodePairs& pairs,
                                            ByteView sealed);

}  // namespace firn::repo
