// Revoking a key: from then on nothing new that it signs counts.
//
// Promise: every snapshot of the key that was acknowledged and not forgotten before goes on to count. Its
// open sessions are fenced first, so that none of them acknowledges a snapshot that the revocation does not
// name. A revoked issuer certifies and revokes nobody any more; the writers that it certified and that are to
// stay get certificates of the administrator before (docs/decisions/revocation.md). Not here: what a revoked
// key already knows: it can read what it could read. Threads: one caller.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "repo/object_cache.h"
#include "repo/repository.h"

namespace firn::repo {

struct RevokeOptions {
  /// Of an issuer: writers that it certified and that are revoked with it, with all their snapshots.
  std::set<format::KeyId> drop;
};

struct RevokeReport {
  std::uint64_t sessions_fenced = 0;
  std::uint64_t sessions_kept = 0;         // whose snapshots count
  std::vector<format::KeyId> recertified;  // of an issuer: writers that have the administrator's word now
  std::vector<format::KeyId> dropped;      // of an issuer: writers that were revoked with it
  /// Of an issuer: writers whose revocations it had signed; these count no more.
  std::vector<format::KeyId> revocations_lifted;
  std::vector<std::string> wraps_left;  // that could not be deleted: they still open
};

/// Errors: NotFound (no such key), Invalid (the own key; the last admin), Denied (the own key may not), those
/// of the store.
Result<RevokeReport> revoke_key(const Repository& repository, ObjectCache& cache, const format::KeyId& kid,
                                const RevokeOptions& options);

}  // namespace firn::repo
