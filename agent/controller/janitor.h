// Which requests nobody will end any more, and which may go.
//
// Promise: a request does not stay unended for ever, whatever became of its node and agent; what an agent
// still works on is left to it; what has ended is deleted only when it says after how long. A snapshot is
// never touched. Not here: who may do it (leader.h). Threads: one caller.
#pragma once

#include <functional>
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
