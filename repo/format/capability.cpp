#include "repo/format/capability.h"

#include <algorithm>

#include "crypto/hpke.h"
#include "repo/base/check.h"
#include "repo/format/chunk.h"
#include "repo/format/detail/fields.h"

namespace firn::format {
namespace {

constexpr auto kFields = [](auto& io, auto& capability) {
  io.id(capability.recipient);
  io.raw(capability.sealed);
};

constexpr auto kListFields = [](auto& io, auto& capabilities) {
  io.sorted_list(capabilities, kCapsMax, kFields, &SealedCapability::recipient);
};

Bytes hpke_info(const RepositoryId& repository, const SnapshotName& snapshot, const KeyId& recipient) {
  Bytes info = to_bytes(as_bytes("firn/v1/cap"));
  append(info, repository.bytes);
  append(info, as_bytes(object_name(snapshot).str()));
  append(info, recipient.bytes);
  return info;
}

crypto::HpkePskContext hpke_context(const PskKey& psk, ByteView info) {
  return {.psk = psk.bytes(), .psk_id = as_bytes("firn/v1/psk"), .info = info, .aad = {}};
}

}  // namespace

Bytes encode(const SealedCapability& capability) {
  Bytes out;
  detail::FieldWriter io(out);
  kFields(io, capability);
  return out;
}
Result<SealedCapability> parse_capability(ByteView body) {
  return detail::parse_record<SealedCapability>(body, "capability", kFields);
}

Result<Bytes> encode_capabilities(const std::vector<SealedCapability>& capabilities) {
  return detail::encode_record(capabilities, "list of capabilities", kListFields);
}
Result<std::vector<SealedCapability>> parse_capabilities(ByteView extra) {
  return detail::parse_record<std::vector<SealedCapability>>(extra, "list of capabilities", kListFields);
}

Result<SealedCapability> seal_capability(const PskKey& psk, const RepositoryId& repository,
                                         const SnapshotName& snapshot, const KeyId& recipient,
                                         const crypto::X25519PublicKey& key, const ChunkSecret& root,
                                         crypto::Seed256View seed) {
  const Bytes info = hpke_info(repository, snapshot, recipient);
  const auto sealed = crypto::hpke_seal_psk(key, seed, hpke_context(psk, info), root.bytes);
  if (!sealed) {
    return fail(ErrorCode::Invalid, "key " + recipient.hex() + " cannot be sealed to");
  }
  SealedCapability capability{.recipient = recipient};
  FIRN_CHECK(sealed->size() == capability.sealed.size());
  std::copy(sealed->begin(), sealed->end(), capability.sealed.begin());
  return capability;
}

Result<ChunkSecret> open_capability(const PskKey& psk, const RepositoryId& repository,
                                    const SnapshotName& snapshot, const SealedCapability& capability,
                                    const crypto::X25519KeyPair& pair, const ChunkId& root_id) {
  const Bytes info = hpke_info(repository, snapshot, capability.recipient);
  const auto opened = crypto::hpke_open_psk(pair, hpke_context(psk, info), capability.sealed);
  ChunkSecret root;
  if (!opened || opened->size() != root.bytes.size()) {
    return fail(ErrorCode::WrongKey, "the capability was not sealed to this key for this snapshot");
  }
  std::copy_n(opened->bytes().begin(), root.bytes.size(), root.bytes.begin());
  if (!capability_opens(root, root_id)) {
    return fail(ErrorCode::Corrupt, "the capability reads another root than the snapshot's");
  }
  return root;
}

}  // namespace firn::format
