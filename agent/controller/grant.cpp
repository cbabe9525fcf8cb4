#include "agent/controller/grant.h"

#include <algorithm>

#include "agent/kube/base64.h"
#include "repo/format/capability.h"
#include "repo/view.h"

namespace firn::controller {
namespace {

Result<kube::Repository> repository_for(const GrantWorld& world, const kube::Request& request) {
  FIRN_LET(const kube::Json object,
           world.client.get({kube::kRepositories, world.own_ns, request.repository, {}}));
  kube::Repository repository = kube::repository_of(object);
  if (!repository.allows(request.meta.ns)) {
    return fail(ErrorCode::Denied, "the Repository may not be used from namespace " + request.meta.ns);
  }
  return repository;
}

Result<kube::Pod> bound_pod(const GrantWorld& world, const kube::Request& request) {
  FIRN_LET(const kube::Json object, world.client.get({kube::kPods, request.meta.ns, request.pod_name, {}}));
  kube::Pod pod = kube::pod_of(object);
  if (pod.meta.uid != request.pod_uid || pod.node != request.node || pod.meta.deleting) {
    return fail(ErrorCode::Denied, "the pod that the request names is another, elsewhere, or being deleted");
  }
  return pod;
}

/// What the history of the request's volume is kept under.
Result<std::string> identity_of(const GrantWorld& world, const kube::Request& request, const kube::Pod& pod) {
  const auto volume = std::find_if(pod.volumes.begin(), pod.volumes.end(),
                                   [&](const kube::PodVolume& one) { return one.name == request.volume; });
  if (volume == pod.volumes.end()) {
    return fail(ErrorCode::NotFound, "the pod has no volume " + request.volume);
  }
  std::optional<kube::Claim> claim;
  if (!volume->claim.empty()) {
    FIRN_LET(const kube::Json object, world.client.get({kube::kClaims, request.meta.ns, volume->claim, {}}));
    claim = kube::claim_of(object);
    if (volume->kind == kube::PodVolume::Kind::Ephemeral && claim->meta.owner_uid != pod.meta.uid) {
      return fail(ErrorCode::Denied, "the claim " + volume->claim + " is not the pod's own");
    }
  }
  return kube::volume_identity(pod, claim, request.volume);
}

struct Wanted {
  kube::Request request;
  std::string identity;  // of the volume
  bool other_namespaces = false;
};

/// What a key signed that is not known looks damaged: it may have been made after the repository was opened.
Result<> all_known(const repo::SnapshotList& list, bool keys_are_new) {
  const bool enough = list.problems.empty() && !list.snapshots.empty();
  return enough || keys_are_new ? Result<>() : fail(ErrorCode::Changed, "there may be new keys");
}

Result<repo::SnapshotInfo> find_snapshot(const GrantWorld& world, const Wanted& wanted,
                                         const repo::Repository& repository, repo::ObjectCache& cache,
                                         bool keys_are_new) {
  FIRN_LET(const repo::MaintenanceView maintenance, repo::load_maintenance(repository, cache));
  if (wanted.request.kind == kube::RequestKind::Restore) {
    FIRN_LET(const repo::SnapshotList list,
             repo::list_snapshots(repository, cache, maintenance, std::nullopt, wanted.request.snapshot));
    FIRN_TRY(all_known(list, keys_are_new));
    FIRN_LET(const repo::SnapshotInfo* found, repo::find_by_prefix(list, wanted.request.snapshot));
    const std::string& ns = found->snapshot.source.ns;
    if (ns != wanted.request.meta.ns && !wanted.other_namespaces) {
      return fail(ErrorCode::Denied, "the snapshot is of namespace '" + ns + "'");
    }
    return *found;
  }
  const auto tag =
      format::source_tag(repository.keys().meta(), format::volume_source_id(world.cluster, wanted.identity));
  FIRN_LET(const repo::SnapshotList list, repo::list_snapshots(repository, cache, maintenance, tag));
  FIRN_TRY(all_known(list, keys_are_new));
  if (list.snapshots.empty()) {
    return fail(ErrorCode::NotFound, "the volume has no snapshot");
  }
  return list.snapshots.back();
}

}  // namespace

const kube::NodeEnrolment* recipient_of(const kube::Request& request,
                                        const std::vector<kube::NodeEnrolment>& enrolments) {
  for (const kube::NodeEnrolment& one : enrolments) {
    const bool may = one.is_certified() && !one.is_revoked() && !one.revoke && !one.meta.deleting;
    if (may && one.key_id == request.grant_key && one.node == request.node &&
        one.repository == request.repository) {
      return &one;
    }
  }
  return nullptr;
}

Result<kube::Grant> seal_grant(const repo::Repository& repository, const repo::SnapshotInfo& snapshot,
                               const format::KeyId& recipient, const crypto::X25519PublicKey& key) {
  FIRN_LET(const format::ChunkSecret root, repo::open_root(repository, snapshot));
  FIRN_LET(const format::SealedCapability capability,
           format::seal_capability(*repository.keys().psk(), repository.id(), snapshot.snapshot.name,
                                   recipient, key, root, repository.services().rng.bytes<32>()));
  return kube::Grant{.snapshot = snapshot.id.hex(),
                     .recipient = recipient.hex(),
                     .sealed = kube::base64_text(capability.sealed)};
}

Result<format::ChunkSecret> open_grant(const repo::Repository& repository, const repo::SnapshotInfo& snapshot,
                                       const kube::Grant& grant) {
  const repo::Keyring& keys = repository.keys();
  if (grant.snapshot != snapshot.id.hex()) {
    return fail(ErrorCode::Invalid, "the grant is for another snapshot");
  }
  if (grant.recipient != keys.kid().hex()) {
    return fail(ErrorCode::Invalid, "the grant is for another node's key");
  }
  FIRN_LET(const Bytes sealed, kube::base64_bytes(grant.sealed, "the grant"));
  format::SealedCapability capability{.recipient = keys.kid()};
  if (sealed.size() != capability.sealed.size() || keys.psk() == nullptr) {
    return fail(ErrorCode::Invalid, "the grant is malformed");
  }
  std::copy(sealed.begin(), sealed.end(), capability.sealed.begin());
  return format::open_capability(*keys.psk(), repository.id(), snapshot.snapshot.name, capability,
                                 keys.seal_pair(), snapshot.snapshot.root);
}

Result<std::string> grant(const GrantWorld& world, const kube::Request& request,
                          const std::vector<kube::NodeEnrolment>& enrolments) {
  const kube::NodeEnrolment* recipient = recipient_of(request, enrolments);
  if (recipient == nullptr) {
    return fail(ErrorCode::Denied, "key " + request.grant_key + " is of no node that is enrolled for it");
  }
  FIRN_LET(const Bytes sealing, kube::base64_bytes(recipient->sealing_key, "spec.sealingKey"));
  FIRN_LET(const Bytes signing, kube::base64_bytes(recipient->signing_key, "spec.signingKey"));
  crypto::X25519PublicKey seal_key;
  crypto::Ed25519PublicKey sign_key;
  if (sealing.size() != seal_key.bytes.size() || signing.size() != sign_key.bytes.size()) {
    return fail(ErrorCode::Invalid, "the enrolment's keys are malformed");
  }
  std::copy(sealing.begin(), sealing.end(), seal_key.bytes.begin());
  std::copy(signing.begin(), signing.end(), sign_key.bytes.begin());
  const format::KeyId kid = format::key_id(sign_key, seal_key);
  if (kid.hex() != request.grant_key) {
    return fail(ErrorCode::Invalid, "the enrolment's keys are not those of key " + request.grant_key);
  }
  FIRN_LET(const kube::Repository repository, repository_for(world, request));
  FIRN_LET(const kube::Pod pod, bound_pod(world, request));
  FIRN_LET(std::string identity, identity_of(world, request, pod));
  const Wanted wanted{request, std::move(identity), repository.cross_namespace_restores};
  kube::Grant given;
  const auto find_and_seal = [&](bool anew) {
    return world.keys.with_repository(
        repository, anew, [&](const repo::Repository& opened, repo::ObjectCache& cache) -> Result<> {
          FIRN_LET(const repo::SnapshotInfo snapshot, find_snapshot(world, wanted, opened, cache, anew));
          FIRN_LET(given, seal_grant(opened, snapshot, kid, seal_key));
          return {};
        });
  };
  auto sealed = find_and_seal(false);
  if (!sealed && sealed.error().code == ErrorCode::Changed) {
    sealed = find_and_seal(true);
  }
  FIRN_TRY(sealed);
  // The uid, so that another request of the same name gets nothing.
  FIRN_TRY(world.client.patch(request.place(), {{"metadata", {{"uid", request.meta.uid}}},
                                                {"spec", {{"grant", kube::to_json(given)}}}}));
  return given.snapshot;
}

}  // namespace firn::controller
