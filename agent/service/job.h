// One request, from accepted to ended: finds the volume, borrows the repository, backs up or restores, and
// says what came of it.
//
// Promise: what a job returns is true: succeeded means that the snapshot is acknowledged, or that every entry
// was restored. A request that was served before a restart is found by its uid and not served again. Not
// here: queueing, deadlines, what is written to the API (agent.h). Threads: run_job() blocks its caller; one
// call a job.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/backup/backup.h"
#include "agent/kube/requests.h"
#include "agent/restore/restore.h"
#include "agent/service/engine.h"
#include "agent/service/log.h"
#include "agent/service/outcome.h"
#include "agent/service/volume.h"

namespace firn::service {

/// The pods of this node, as the watch tells them.
class Pods {
 public:
  void put(kube::Pod pod);
  void remove(const std::string& uid);
  std::optional<kube::Pod> find(const std::string& uid);

 private:
  base::Guarded<std::map<std::string, kube::Pod>> pods_;
};

/// A volume that is being worked on, for those who want the same.
struct ActiveVolume {
  base::WallTime began;
  bool is_done = false;
  bool succeeded = false;
  std::vector<std::string> excludes;
  std::vector<std::string> tags;
  kube::StatusChange result;
};
using ActiveVolumes = std::map<std::string, std::shared_ptr<ActiveVolume>>;

/// What all jobs share; it outlives them.
struct JobWorld {
  base::Executor& executor;
  base::Rng& rng;
  const base::Clock& clock;
  scan::SourceFs& source;
  restore::TargetFs& target;
  kube::Client& client;
  Engines& engines;
  Pods& pods;
  base::Monitor<ActiveVolumes>& active;
  const Log& log;
  HostPlaces places;
  std::string node;
  std::string cluster;  // its identity
  std::string own_ns;   // where Repository objects are
  std::string state_dir;
  Shares shares;
};

/// How far a job is, for its heartbeat.
struct JobView {
  base::StopFlag stop;
  std::atomic<const char*> phase{"Preparing"};
  backup::Progress backup;
  restore::Progress restore;
  base::Guarded<std::vector<kube::FileError>> first_errors;
};
kube::StatusChange::Progress progress_of(kube::RequestKind kind, JobView& view,
                                         std::chrono::nanoseconds elapsed);

struct JobResult {
  std::string reason;
  std::string message;
  kube::StatusChange status;  // without conditions
};

/// `began` is called once the session is known and the volume is open, before the work starts.
Outcome<JobResult> run_job(const JobWorld& world, const kube::Request& request, JobView& view,
                           const std::function<void(const kube::StatusChange&)>& began);

}  // namespace firn::service
