// Enrolment: which node's key becomes a writer's, for how long, and which is revoked.
//
// Promise: a certificate is given only for keys whose holder proved to have them, to a node that the cluster
// has, for at most 60 days, and renewed a month before its end while the node is there; what is sealed opens
// on that node alone. A key whose node is gone, or that somebody asked to revoke, is revoked as soon as no
// session of it is open. Doing any of it twice does no harm. Not here: that a node asks for itself alone (the
// admission policy in deploy/base sees to it). Threads: one caller.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "agent/controller/keys.h"
#include "agent/kube/client.h"
#include "agent/kube/enrolments.h"

namespace firn::controller {

struct EnrolVerdict {
  enum class Act : std::uint8_t { Nothing, Certify, SealAgain, Refuse, Revoke, Delete } act = Act::Nothing;
  std::string reason;  // of a refusal or revocation
  std::string message;
};

struct EnrolFacts {
  /// Every enrolment of the cluster.
  const std::vector<kube::NodeEnrolment>& all;
  /// Nodes that have not been there for some time.
  const std::set<std::string>& gone;
  base::WallTime now;
  /// Of the store's credentials that the nodes shall have.
  std::string credentials_tag;
};

/// What is to become of an enrolment now.
EnrolVerdict judge(const kube::NodeEnrolment& enrolment, const EnrolFacts& facts);

/// The keys that the object holds, as they are asked for. Errors: Invalid (malformed, or the proof is not
/// one).
Result<repo::Applicant> applicant_of(const kube::NodeEnrolment& enrolment);

struct EnrolWorld {
  kube::Client& client;
  const base::Clock& clock;
  base::Rng& rng;
  Keys& keys;
};

/// Does it, and says so in the object's status. Errors: those of the API server and the store; nothing is
/// said then that was not done. Denied: a revocation that waits for a session to end.
Result<> act(const EnrolWorld& world, const kube::NodeEnrolment& enrolment, const EnrolVerdict& verdict);

}  // namespace firn::controller
