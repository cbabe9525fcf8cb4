// The conversation with the kernel: the one place that sees libfuse.
//
// Promise: every request is answered once; one whose process gave up is answered at once, so no process is
// unkillable while the store is silent. Not here: what the answers are (file_system.h). Threads: serve()
// blocks its caller and answers on threads of libfuse.
#pragma once

#include "agent/mount/file_system.h"
#include "agent/mount/mount.h"
#include "repo/base/stop.h"

namespace firn::mount {

/// Mounts, serves, unmounts; see run_mount().
Result<> serve(FileSystem& files, base::Executor& executor, const MountOptions& options,
               const base::StopFlag& stop);

}  // namespace firn::mount
