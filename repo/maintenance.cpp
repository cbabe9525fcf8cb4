#include "repo/maintenance.h"

namespace firn::repo {

Result<MaintenanceReport> maintain(const Repository&, index::ChunkIndex&, ObjectCache&, kv::LocalKv&,
                                   const MaintenanceOptions&, const base::StopFlag&, MaintenanceProgress&) {
  return fail(ErrorCode::Unsupported, "this version has no maintenance");
}

}  // namespace firn::repo
