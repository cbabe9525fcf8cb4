#include "agent/mount/mount.h"

#include "agent/mount/file_system.h"
#include "agent/mount/layout.h"
#include "agent/mount/session.h"
#include "agent/mount/time_template.h"

namespace firn::mount {

Result<> run_mount(const MountSource& source, const MountOptions& options, const base::StopFlag& stop) {
  for (const std::string& path_template : options.path_templates) {
    FIRN_TRY(check_template(path_template));
  }
  if (!options.time_template.empty()) {
    FIRN_TRY(check_time_template(options.time_template));
  }
  if (options.allow_other && !options.default_permissions) {
    return fail(ErrorCode::Invalid,
                "without permission checks the mount is for you alone: leave out --allow-other or "
                "--no-default-permissions");
  }
  FileSystem files(source, options);
  FIRN_TRY(files.start());
  return serve(files, source.repository.services().executor, options, stop);
}

}  // namespace firn::mount
