#include "repo/check_objects.h"

#include <string>
#include <utility>
#include <variant>

#include "repo/format/capability.h"
#include "repo/format/index_object.h"
#include "repo/format/limits.h"
#include "repo/format/maintenance.h"
#include "repo/reread.h"

namespace firn::repo {
namespace {

using format::ObjectName;
using format::ParsedName;
using format::SessionId;
using format::SessionProof;

Failure foreign_session() {
  return fail(ErrorCode::Corrupt, "was not put by the session that its name says");
}

/// What stands under a session's name was put by whoever opened that session.
Result<> check_proof(const SessionProof& proof, const SessionId& session, const format::KeyId& signer) {
  if (format::session_id(proof) != session || proof.kid != signer) {
    return foreign_session();
  }
  return {};
}

Result<> check_index(const format::IndexName& name, const format::SignedBody& object) {
  FIRN_LET(format::IndexReader reader, format::IndexReader::open(object.body));
  FIRN_TRY(check_proof(reader.proof(), name.session, object.signer));
  if (reader.level() != name.level) {
    return foreign_session();
  }
  format::IndexedPack pack;
  while (true) {
    FIRN_LET(const bool more, reader.next(pack));
    if (!more) {
      return {};
    }
  }
}

/// The records of a sealed object, against its name. Snapshots are not here (snapshots.h).
struct CheckSealed {
  const Repository& repository;
  const ObjectName& object_name;
  const format::SignedBody& object;

  Result<> operator()(const format::IndexName& name) const { return check_index(name, object); }
  Result<> operator()(const format::SessionName& name) const {
    FIRN_LET(const auto marker, format::parse_session_marker(object.body));
    return check_proof(marker.proof, name.session, object.signer);
  }
  Result<> operator()(const format::HeartbeatName& name) const {
    FIRN_LET(const auto beat, format::parse_heartbeat(object.body));
    return check_proof(beat.proof, name.session, object.signer);
  }
  Result<> operator()(const format::EndName& name) const {
    FIRN_LET(const auto end, format::parse_session_end(object.body));
    return check_proof(end.proof, name.session, object.signer);
  }
  Result<> operator()(const format::CondemnName& name) const {
    FIRN_LET(const auto condemn, format::parse_condemn(object.body));
    return check_proof(condemn.proof, name.session, object.signer);
  }
  Result<> operator()(const format::FenceName& name) const {
    FIRN_LET(const auto fence, format::parse_fence(object.body));
    return fence.session == name.session ? Result<>() : foreign_session();
  }
  Result<> operator()(const format::SealName& name) const {
    FIRN_LET(const auto seal, format::parse_seal(object.body));
    FIRN_TRY(check_proof(seal.proof, name.run, object.signer));
    return seal.session == name.session ? Result<>() : foreign_session();
  }
  Result<> operator()(const format::ForgetName& name) const {
    FIRN_LET(const auto forget, format::parse_forget(object.body));
    if (format::snapshot_id(forget.snapshot) != name.snapshot) {
      return fail(ErrorCode::Corrupt, "forgets another snapshot than its name says");
    }
    return {};
  }
  Result<> operator()(const format::UnionName& name) const {
    FIRN_LET(const auto folded, format::parse_union(object.body));
    FIRN_TRY(check_proof(folded.proof, name.run, object.signer));
    for (const format::CarriedObject& carried : folded.records) {
      if (!repository.keys().signed_by_who_may(carried.name, carried.signed_body)) {
        return fail(ErrorCode::Corrupt, "carries " + carried.name.str() + ", which nobody signed who may");
      }
      FIRN_LET(const ParsedName parsed, format::parse_name(carried.name));
      FIRN_TRY(in(carried.name.str(),
                  std::visit(CheckSealed{repository, carried.name, carried.signed_body}, parsed)));
    }
    return {};
  }
  Result<> operator()(const format::CatalogName& name) const {
    FIRN_LET(const auto catalog, format::parse_catalog(object.body));
    return check_proof(catalog.proof, name.run, object.signer);
  }
  template <class Other>
  Result<> operator()(const Other&) const {
    return fail(ErrorCode::Corrupt, "does not belong here");
  }
};

Result<> check_caps(const Repository& repository, const ObjectName& object_name,
                    const format::CapsName& name) {
  FIRN_LET(const Bytes bytes, repository.store().get(object_name, format::kClearObjectBytesMax));
  FIRN_LET(const format::SignedBody object, format::parse_clear_object(object_name, bytes));
  if (!repository.keys().signed_by_who_may(object_name, object)) {
    return fail(ErrorCode::Corrupt, "signed by nobody who may");
  }
  FIRN_LET(const format::SealedCapability capability, format::parse_capability(object.body));
  if (capability.recipient != name.kid) {
    return fail(ErrorCode::Corrupt, "is sealed to another key than its name says");
  }
  return {};
}

Result<> check_one(const Repository& repository, const ObjectName& object_name, const ParsedName& name) {
  if (std::holds_alternative<format::ConfigName>(name) || std::holds_alternative<format::CertName>(name) ||
      std::holds_alternative<format::WrapName>(name) || std::holds_alternative<format::RevokedName>(name)) {
    FIRN_LET(const Bytes bytes, repository.store().get(object_name, format::kClearObjectBytesMax));
    return repository.keys().verify_clear(object_name, bytes);
  }
  if (const auto* caps = std::get_if<format::CapsName>(&name)) {
    return check_caps(repository, object_name, *caps);
  }
  FIRN_LET(const format::OpenedObject object, repository.get_sealed(object_name));
  return std::visit(CheckSealed{repository, object_name, object.signed_body}, name);
}

bool is_damage(ErrorCode code) {
  return code == ErrorCode::Corrupt || code == ErrorCode::WrongKey || code == ErrorCode::Unsupported ||
         code == ErrorCode::Invalid;
}

}  // namespace

Result<ObjectsChecked> check_objects(const Repository& repository, const base::StopFlag& stop,
                                     CheckFindings& findings) {
  ObjectsChecked checked;
  const auto visit = [&](const store::ListedObject& object) -> Result<> {
    FIRN_TRY(stop.check());
    const auto name = format::parse_name(object.name);
    if (!name) {
      findings.tell(Finding::Kind::Leftover, object.name.str() + ": is nothing that firn knows");
      return {};
    }
    auto good = read_again_if_damaged([&] { return check_one(repository, object.name, *name); });
    if (good || good.error().code == ErrorCode::NotFound) {
      return {};  // not found: removed since the LIST
    }
    if (!is_damage(good.error().code)) {
      return in(object.name.str(), std::move(good));
    }
    if (const auto* index_name = std::get_if<format::IndexName>(&*name)) {
      checked.bad_indexes.insert(*index_name);
    }
    std::string message = std::move(good).error().message;
    if (!message.starts_with(object.name.str())) {
      message.insert(0, object.name.str() + ": ");
    }
    findings.tell(Finding::Kind::Damage, std::move(message));
    return {};
  };
  for (const std::string_view prefix :
       {format::kConfigPrefix, format::kKeysPrefix, format::kCapsPrefix, format::kSessionsPrefix,
        format::kMaintPrefix, format::kIndexPrefix}) {
    FIRN_TRY(store::list_all(repository.store(), prefix, visit));
  }
  return checked;
}

Result<std::uint64_t> count_dead_snapshots(const Repository& repository, const MaintenanceView& maintenance) {
  std::uint64_t count = 0;
  FIRN_TRY(store::list_all(
      repository.store(), format::kSnapshotsPrefix, [&](const store::ListedObject& object) -> Result<> {
        const auto name = format::parse_name_as<format::SnapshotName>(object.name);
        const bool dead = name && (maintenance.forgotten.contains(format::snapshot_id(*name)) ||
                                   maintenance.is_void(*name));
        count += dead ? 1 : 0;
        return {};
      }));
  return count;
}

}  // namespace firn::repo
