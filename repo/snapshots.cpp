#include "repo/snapshots.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "repo/reread.h"

namespace firn::repo {
namespace {

using format::SessionId;
using format::SnapshotName;

Result<SnapshotInfo> load_snapshot(const Repository& repository, ObjectCache& cache,
                                   const format::ObjectName& object_name, const SnapshotName& name) {
  FIRN_LET(const format::OpenedObject object, cache.get(object_name));
  SnapshotInfo info{.id = format::snapshot_id(name), .snapshot = {}, .capabilities = {}};
  FIRN_LET(info.snapshot, format::parse_snapshot(object.signed_body.body));
  const format::SessionProof& proof = info.snapshot.proof;
  if (info.snapshot.name != name || info.snapshot.repository != repository.id() ||
      format::session_id(proof) != name.session || proof.kid != object.signed_body.signer) {
    return fail(ErrorCode::Corrupt, "was not made for this name by the session that it names");
  }
  FIRN_LET(info.capabilities, format::parse_capabilities(object.extra));
  return info;
}

/// A capability that was sealed to this key and does not open is damage; WrongKey is said of passwords.
Result<format::ChunkSecret> open_own(const Repository& repository, const SnapshotInfo& info,
                                     const format::SealedCapability& capability) {
  const Keyring& keys = repository.keys();
  auto root = format::open_capability(*keys.psk(), repository.id(), info.snapshot.name, capability,
                                      keys.seal_pair(), info.snapshot.root);
  if (!root) {
    return fail(ErrorCode::Corrupt, std::move(root).error().message);
  }
  return root;
}

/// Of a revoked key only the snapshots of the sessions that its revocation names count.
bool key_still_counts(const Keyring& keys, const SnapshotInfo& info) {
  const std::vector<SessionId>* kept = keys.sessions_kept(info.snapshot.proof.kid);
  return kept == nullptr || std::binary_search(kept->begin(), kept->end(), info.snapshot.name.session);
}

}  // namespace

Result<SnapshotList> list_snapshots(const Repository& repository, ObjectCache& cache,
                                    const MaintenanceView& maintenance,
                                    std::optional<format::SourceTag> source, std::string_view id_prefix) {
  SnapshotList list;
  const std::string prefix =
      source ? format::snapshots_prefix(*source) : std::string(format::kSnapshotsPrefix);
  FIRN_TRY(store::list_all(repository.store(), prefix, [&](const store::ListedObject& object) -> Result<> {
    const auto name = format::parse_name_as<SnapshotName>(object.name);
    if (name) {
      list.listed.push_back(*name);
    }
    if (!name || maintenance.is_void(*name)) {
      return {};
    }
    const format::SnapshotId id = format::snapshot_id(*name);
    if (maintenance.forgotten.contains(id) || (!id_prefix.empty() && !id.hex().starts_with(id_prefix))) {
      return {};
    }
    auto info = load_snapshot(repository, cache, object.name, *name);
    if (!info && info.error().code == ErrorCode::NotFound) {
      list.vanished.push_back(*name);
      return {};
    }
    if (!info && info.error().code != ErrorCode::Corrupt) {
      return Failure(std::move(info).error().in(object.name.str()));
    }
    if (info) {
      info->stored = object.stored;
    }
    if (!info) {
      list.problems.push_back(std::move(info).error().in(object.name.str()).message);
    } else if (key_still_counts(repository.keys(), *info)) {
      list.snapshots.push_back(*std::move(info));
    }
    return {};
  }));
  std::sort(list.snapshots.begin(), list.snapshots.end(), [](const SnapshotInfo& a, const SnapshotInfo& b) {
    return std::tie(a.snapshot.time, a.id) < std::tie(b.snapshot.time, b.id);
  });
  return list;
}

Result<const SnapshotInfo*> find_by_prefix(const SnapshotList& list, std::string_view prefix) {
  if (prefix.empty()) {
    return fail(ErrorCode::Invalid, "a snapshot is named by at least one digit of its id");
  }
  const SnapshotInfo* found = nullptr;
  for (const SnapshotInfo& info : list.snapshots) {
    if (!info.id.hex().starts_with(prefix)) {
      continue;
    }
    if (found != nullptr) {
      return fail(ErrorCode::Invalid,
                  "several snapshots begin with " + std::string(prefix) + ": give more digits");
    }
    found = &info;
  }
  if (found == nullptr) {
    return fail(ErrorCode::NotFound,
                "no snapshot begins with " + std::string(prefix) + ": see 'firn snapshots'");
  }
  return found;
}

Result<format::ChunkSecret> open_root(const Repository& repository, const SnapshotInfo& info) {
  const Keyring& keys = repository.keys();
  const Failure denied =
      fail(ErrorCode::Denied, "snapshot " + info.id.hex().substr(0, 8) +
                                  " was not sealed to this key: use a reader key, or ask for a grant");
  if (keys.psk() == nullptr) {
    return denied;
  }
  for (const format::SealedCapability& capability : info.capabilities) {
    if (capability.recipient == keys.kid()) {
      return open_own(repository, info, capability);
    }
  }
  const auto name = format::object_name(format::CapsName{.snapshot = info.id, .kid = keys.kid()});
  auto root = read_again_if_damaged([&]() -> Result<format::ChunkSecret> {
    FIRN_LET(const Bytes bytes, repository.store().get(name, format::kClearObjectBytesMax));
    FIRN_LET(const format::SignedBody object, in(name.str(), format::parse_clear_object(name, bytes)));
    if (!keys.signed_by_who_may(name, object)) {
      return fail(ErrorCode::Corrupt, name.str() + ": signed by nobody who may");
    }
    FIRN_LET(const format::SealedCapability capability,
             in(name.str(), format::parse_capability(object.body)));
    return in(name.str(), open_own(repository, info, capability));
  });
  if (!root && root.error().code == ErrorCode::NotFound) {
    return denied;
  }
  return root;
}

}  // namespace firn::repo
