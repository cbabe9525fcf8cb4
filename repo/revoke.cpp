#include "repo/revoke.h"

#include <algorithm>
#include <utility>

#include "repo/format/limits.h"
#include "repo/format/maintenance.h"
#include "repo/format/session.h"
#include "repo/keyring.h"
#include "repo/snapshots.h"
#include "repo/view.h"

namespace firn::repo {
namespace {

using format::KeyId;
using format::Role;
using format::Roles;
using format::SessionId;

bool is_plain_writer(const KnownKey& key) { return key.cert.roles == Roles{}.with(Role::Writer); }

class Revoking {
 public:
  Revoking(const Repository& repository, ObjectCache& cache, const KnownKey& key,
           const RevokeOptions& options)
      : repository_(repository), keys_(repository.keys()), cache_(cache), key_(key), options_(options) {}

  Result<RevokeReport> run() {
    FIRN_TRY(check_allowed());
    FIRN_TRY(fence_open_sessions());
    FIRN_LET(const std::vector<SessionId> kept, sessions_that_count());
    if (key_.cert.roles.has(Role::Issuer)) {
      FIRN_TRY(take_over_writers());
    }
    FIRN_TRY(put_revocation(key_.kid, kept));
    FIRN_TRY(delete_wraps());
    return std::move(report_);
  }

 private:
  bool admin_signs() const { return keys_.admin_pair() != nullptr; }

  Result<> check_allowed() const {
    if (key_.kid == keys_.kid()) {
      return fail(ErrorCode::Invalid, "the key in use cannot revoke itself: use another admin key");
    }
    if (admin_signs()) {
      return {};
    }
    FIRN_TRY(keys_.may_act_as(Role::Issuer, repository_.services().clock.wall()));
    if (!is_plain_writer(key_)) {
      return fail(ErrorCode::Denied, "an issuer revokes writers only: use an admin key");
    }
    return {};
  }

  Result<std::vector<SessionId>> open_sessions() {
    std::set<SessionId> markers;
    std::set<SessionId> ended;
    FIRN_TRY(store::list_all(
        repository_.store(), format::kSessionsPrefix, [&](const store::ListedObject& object) -> Result<> {
          if (const auto marker = format::parse_name_as<format::SessionName>(object.name)) {
            markers.insert(marker->session);
          } else if (const auto end = format::parse_name_as<format::EndName>(object.name)) {
            // An end by somebody else ends nothing.
            const auto opened = repository_.get_sealed(object.name);
            const auto body = opened ? format::parse_session_end(opened->signed_body.body)
                                     : Result<format::SessionEnd>(Failure(opened.error()));
            if (body && format::session_id(body->proof) == end->session) {
              ended.insert(end->session);
            }
          }
          return {};
        }));
    std::vector<SessionId> open;
    for (const SessionId& session : markers) {
      if (ended.contains(session)) {
        continue;
      }
      const auto object = repository_.get_sealed(format::object_name(format::SessionName{session}));
      if (!object && object.error().code != ErrorCode::NotFound &&
          object.error().code != ErrorCode::Corrupt) {
        return Failure(object.error());
      }
      const auto marker = object ? format::parse_session_marker(object->signed_body.body)
                                 : Result<format::SessionMarker>(Failure(object.error()));
      if (marker && marker->proof.kid == key_.kid && format::session_id(marker->proof) == session) {
        open.push_back(session);
      }
    }
    return open;
  }

  Result<> fence_open_sessions() {
    FIRN_LET(const auto open, open_sessions());
    FIRN_LET(const MaintenanceView view, load_maintenance(repository_, cache_));
    const base::WallTime now = repository_.services().clock.wall();
    for (const SessionId& session : open) {
      if (view.fenced.contains(session)) {
        continue;
      }
      if (!keys_.may_act_as(Role::Maintainer, now)) {
        return fail(ErrorCode::Denied, "session " + session.hex() +
                                           " of this key is open, and the key at hand may not fence it: use "
                                           "an admin key, or wait until it has ended");
      }
      const format::Fence fence{
          .proof = {.kid = keys_.kid(), .r = format::SessionRandom{repository_.services().rng.bytes<32>()}},
          .session = session,
          .reason = format::FenceReason::Asked,
          .time = now};
      FIRN_LET(Bytes body, format::encode(fence));
      const auto name = format::object_name(format::FenceName{session});
      const store::Outcome outcome = repository_.put_sealed(name, std::move(body));
      const bool there = !outcome.done() && !outcome.unknown() && outcome.why().code == ErrorCode::Exists;
      if (!there) {
        FIRN_TRY(in(name.str(), outcome.as_result()));
      }
      report_.sessions_fenced += 1;
    }
    return {};
  }

  /// Asked after the fences were answered: whatever is acknowledged later by these sessions finds its fence.
  Result<std::vector<SessionId>> sessions_that_count() {
    FIRN_LET(const MaintenanceView view, load_maintenance(repository_, cache_));
    FIRN_LET(const SnapshotList list, list_snapshots(repository_, cache_, view));
    std::set<SessionId> sessions;
    for (const SnapshotInfo& info : list.snapshots) {
      if (info.snapshot.proof.kid == key_.kid) {
        sessions.insert(info.snapshot.name.session);
      }
    }
    report_.sessions_kept = sessions.size();
    return std::vector<SessionId>(sessions.begin(), sessions.end());
  }

  /// Writers that only this issuer vouches for: the administrator vouches for them from now on, for as long
  /// as the issuer did.
  Result<> take_over_writers() {
    for (const KnownKey& writer : keys_.keys()) {
      if (writer.certified_by != key_.kid) {
        continue;
      }
      FIRN_LET(Bytes body, format::encode(writer.cert));
      FIRN_LET(const KeyListing listing, list_keys(repository_.store()));
      const auto numbers = listing.certs.find(writer.kid);
      const std::uint32_t n = numbers == listing.certs.end() ? 1 : numbers->second.back() + 1;
      FIRN_TRY(put_clear(format::object_name(format::CertName{.kid = writer.kid, .n = n}), std::move(body)));
      if (options_.drop.contains(writer.kid)) {
        // Vouched for, so that its objects are known for what they are, and revoked with all of them.
        FIRN_TRY(put_revocation(writer.kid, {}));
        report_.dropped.push_back(writer.kid);
      } else {
        report_.recertified.push_back(writer.kid);
      }
    }
    report_.revocations_lifted = keys_.revoked_by(key_.kid);
    return {};
  }

  Result<> put_clear(const format::ObjectName& name, Bytes body, store::PutOptions options = {}) {
    const KeyId signer = admin_signs() ? KeyId{} : keys_.kid();
    FIRN_LET(const Bytes bytes,
             format::encode_clear_object(
                 name, format::sign_body(name, std::move(body), signer,
                                         admin_signs() ? *keys_.admin_pair() : keys_.sign_pair())));
    return in(name.str(), repository_.store().put(name, bytes, options).as_result());
  }

  Result<> put_revocation(const KeyId& kid, const std::vector<SessionId>& kept) {
    const format::Revoked revoked{.repository = repository_.id(),
                                  .kid = kid,
                                  .time = repository_.services().clock.wall(),
                                  .sessions = kept};
    FIRN_LET(Bytes body, format::encode(revoked));
    // What stands there, if anything, revokes nothing: else the key would be known as revoked.
    return put_clear(format::object_name(format::RevokedName{kid}), std::move(body), {.replace = true});
  }

  Result<> delete_wraps() {
    FIRN_LET(const KeyListing listing, list_keys(repository_.store()));
    const auto wraps = listing.wraps.find(key_.kid);
    if (wraps == listing.wraps.end()) {
      return {};
    }
    for (const std::uint32_t n : wraps->second) {
      const auto name = format::object_name(format::WrapName{.kid = key_.kid, .n = n});
      if (!repository_.store().remove(name).done()) {
        report_.wraps_left.push_back(name.str());
      }
    }
    return {};
  }

  const Repository& repository_;
  const Keyring& keys_;
  ObjectCache& cache_;
  const KnownKey& key_;
  const RevokeOptions& options_;
  RevokeReport report_;
};

}  // namespace

Result<RevokeReport> revoke_key(const Repository& repository, ObjectCache& cache, const KeyId& kid,
                                const RevokeOptions& options) {
  const KnownKey* key = repository.keys().find(kid);
  if (key == nullptr) {
    return fail(ErrorCode::NotFound, "there is no key " + kid.hex() + ": see 'firn key list'");
  }
  if (key->revoked) {
    return fail(ErrorCode::Invalid, "key " + kid.hex() + " was revoked before");
  }
  return Revoking(repository, cache, *key, options).run();
}

}  // namespace firn::repo
