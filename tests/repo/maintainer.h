// Maintenance records, put as a maintenance run would put them; there is no maintenance code behind it.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "repo/format/maintenance.h"
#include "tests/repo/rig.h"

namespace firn::repo {

class Maintainer {
 public:
  Maintainer(World& world, const Repository& repository)
      : world_(world),
        repository_(repository),
        proof_{.kid = repository.keys().kid(), .r = {world.rng.bytes<32>()}},
        session_(format::session_id(proof_)) {}

  format::SessionId session() const { return session_; }
  const format::SessionProof& proof() const { return proof_; }

  format::ObjectName condemn(const std::vector<std::string>& packs) {
    format::Condemn condemn{.proof = proof_, .time = {}, .packs = {}};
    for (const std::string& pack : packs) {
      condemn.packs.push_back(must(format::parse_name_as<format::PackName>(pack)));
    }
    std::sort(condemn.packs.begin(), condemn.packs.end());
    return put(format::CondemnName{session_, n_++}, condemn);
  }
  format::ObjectName fence(const format::SessionId& session) {
    return put(
        format::FenceName{session},
        format::Fence{.proof = proof_, .session = session, .reason = format::FenceReason::Asked, .time = {}});
  }
  format::ObjectName seal(const format::SessionId& session, std::vector<format::SnapshotId> snapshots) {
    std::sort(snapshots.begin(), snapshots.end());
    return put(
        format::SealName{session, session_},
        format::Seal{.proof = proof_, .session = session, .time = {}, .snapshots = std::move(snapshots)});
  }
  format::ObjectName forget(const format::SnapshotName& snapshot) {
    return put(format::ForgetName{format::snapshot_id(snapshot)},
               format::Forget{.snapshot = snapshot, .time = {}});
  }
  /// Folds objects into a union and deletes them.
  format::ObjectName fold(std::vector<format::ObjectName> names, std::uint16_t level = 1) {
    std::sort(names.begin(), names.end());
    format::Union folded{.proof = proof_, .level = level, .time = {}, .replaces = {}, .records = {}};
    for (const format::ObjectName& name : names) {
      folded.records.push_back(
          {.name = name, .stored = {}, .signed_body = must(repository_.get_sealed(name)).signed_body});
    }
    const auto put_name = put(format::UnionName{level, session_, n_++}, folded);
    for (const format::ObjectName& name : names) {
      world_.remove(name.str());
    }
    return put_name;
  }

  template <class Name, class Record>
  format::ObjectName put(const Name& name, const Record& record) {
    const auto object_name = format::object_name(name);
    must(repository_.put_sealed(object_name, must(format::encode(record))).as_result());
    return object_name;
  }

 private:
  World& world_;
  const Repository& repository_;
  format::SessionProof proof_;
  format::SessionId session_;
  std::uint32_t n_ = 1;
};

}  // namespace firn::repo
