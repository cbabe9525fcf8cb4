// Which requests nobody will end any more, and which may go.
//
// Promise: a request does not stay unended for ever, whatever became of its node and agent; what an agent
// still works on is left to it; what has ended is deleted only when it says after how long, and of a policy's
// volume the newest that succeeded stays for two weeks more: it says that there is a snapshot. A snapshot is
// never touched. Not here: who may do it (leader.h). Threads: one caller.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/kube/client.h"
#include "agent/kube/requests.h"
#include "repo/base/clock.h"

namespace firn::controller {

struct Verdict {
  enum class Act : std::uint8_t { Keep, Fail, Delete } act = Act::Keep;
  std::string reason;  // of a failure
  std::string message;
};

/// What is to become of a request now. `nodes` are the cluster's.
Verdict judge(const kube::Request& request, const std::set<std::string>& nodes, base::WallTime now);

struct Action {
  kube::Request request;
  Verdict verdict;
};

/// What a sweep does, bounded. Of each volume of a policy the newest request that succeeded is kept for two
/// weeks longer than it says.
class Actions {
 public:
  void add(Action action);
  /// What is to be done, once everything was added.
  std::vector<Action> take(base::WallTime now);

 private:
  void choose(Action action);
  std::vector<Action> chosen_;
  std::map<std::string, Action> newest_;  // by namespace, policy and volume
};

struct Swept {
  std::size_t seen = 0;
  std::size_t unended = 0;
  std::size_t failed = 0;
  std::size_t deleted = 0;
};

/// Told of each request that was failed or deleted.
using Tell = std::function<void(const kube::Request& request, const Verdict& verdict)>;

/// Goes over all requests once, page by page. Errors: those of the API server; what was done stays done.
Result<Swept> sweep(kube::Client& client, const base::Clock& clock, const Tell& tell);

}  // namespace firn::controller
