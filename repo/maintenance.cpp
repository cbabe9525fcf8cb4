#include "repo/maintenance.h"

#include "repo/maintenance_run.h"

namespace firn::repo {

Result<MaintenanceReport> maintain(const Repository& repository, index::ChunkIndex& index, ObjectCache& cache,
                                   kv::LocalKv& state, const MaintenanceOptions& options,
                                   const base::StopFlag& stop, MaintenanceProgress& progress) {
  return maintain_with({}, repository, index, cache, state, options, stop, progress);
}

}  // namespace firn::repo
