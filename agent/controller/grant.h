// Grants: the right to read one snapshot, given to one node's key for one request.
//
// Promise: a node gets only what a request of a pod that is bound to it needs: of a backup the newest
// snapshot of that very volume, of a restore the snapshot that the request names, where its namespace may
// have it. What is granted opens with that node's key alone, for that snapshot alone. Not here: when it is
// asked for (agent/service). Threads: one caller.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/controller/keys.h"
#include "agent/kube/client.h"
#include "agent/kube/enrolments.h"
#include "agent/kube/requests.h"
#include "repo/snapshots.h"

namespace firn::controller {

/// The enrolment that the request's waiting key belongs to, if that key may be granted anything: certified,
/// not revoked, of the request's node and repository.
const kube::NodeEnrolment* recipient_of(const kube::Request& request,
                                        const std::vector<kube::NodeEnrolment>& enrolments);

/// Seals the way into `snapshot` to a key. Errors: Denied (the key at hand does not read it), those of the
/// store.
Result<kube::Grant> seal_grant(const repo::Repository& repository, const repo::SnapshotInfo& snapshot,
                               const format::KeyId& recipient, const crypto::X25519PublicKey& key);

/// Opens a grant with the own key. Errors: Invalid (malformed; for another snapshot or another key), WrongKey
/// (does not open), Corrupt.
Result<format::ChunkSecret> open_grant(const repo::Repository& repository, const repo::SnapshotInfo& snapshot,
                                       const kube::Grant& grant);

struct GrantWorld {
  kube::Client& client;
  Keys& keys;
  std::string own_ns;   // where Repository objects are
  std::string cluster;  // its identity
};

/// Grants what the request waits for and writes it into its spec; gives the snapshot's id. Errors: NotFound
/// (there is nothing to grant), Denied (it may not have it), Invalid, those of the API server and the store.
Result<std::string> grant(const GrantWorld& world, const kube::Request& request,
                          const std::vector<kube::NodeEnrolment>& enrolments);

}  // namespace firn::controller
