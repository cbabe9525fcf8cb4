// How this node opens a repository: with a key file that somebody put there, or with the key that it makes
// itself and that the controller certifies.
//
// The pairs lie in <folder>/<repository>.pairs, readable by root alone; both containers of an agent share
// them. What the controller gives stays in the API: without it the pairs open nothing. Not here: the
// controller's side (agent/controller/enrol.h). Threads: any.
#pragma once

#include <string>

#include "agent/kube/client.h"
#include "agent/kube/enrolments.h"
#include "agent/service/log.h"
#include "agent/service/outcome.h"
#include "repo/enrol.h"

namespace firn::service {

/// What opens a repository, and its store.
struct Access {
  repo::Unlock unlock;
  repo::StoreVariables variables;  // empty: those of the environment
  std::string version;             // another one opens differently
};

struct EnrolmentOptions {
  std::string folder;   // for the node's own pairs
  std::string key_dir;  // for key files that somebody gave
  std::string own_ns;
  std::string node;
  std::chrono::seconds patience{20};
};

class Enrolment {
 public:
  Enrolment(kube::Client& client, const Log& log, EnrolmentOptions options)
      : client_(client), log_(log), options_(std::move(options)) {}

  /// Asks to be enrolled where that was not done yet, and waits a while for the answer. Refuses with
  /// KeyMissing, WrongKey, EnrolmentPending (passes), EnrolmentRefused, NodeRevoked, and what the API server
  /// says.
  Outcome<Access> access(const std::string& repository);

 private:
  Result<repo::NodePairs> pairs_of(const std::string& repository);
  Result<> put_away(const std::string& repository);
  Result<kube::NodeEnrolment> ask(const repo::Applicant& applicant, const repo::NodePairs& pairs,
                                  const std::string& repository);
  Outcome<Access> open(const kube::NodeEnrolment& answer, const repo::Applicant& applicant,
                       const repo::NodePairs& pairs);

  kube::Client& client_;
  const Log& log_;
  const EnrolmentOptions options_;
};

}  // namespace firn::service
