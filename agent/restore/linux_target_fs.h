// TargetFs on Linux: see target_fs.h for what is promised.
//
// Needs /proc: special files and links get their metadata through the descriptor of what was just made, not
// through a name that somebody may swap. Threads: as target_fs.h says.
#pragma once

#include "agent/restore/target_fs.h"

namespace firn::restore {

class LinuxTargetFs final : public TargetFs {
 public:
  Result<std::unique_ptr<TargetDir>> open_root(const std::string& path) override;
  Result<std::unique_ptr<TargetDir>> open_existing_root(const std::string& path) override;
};

}  // namespace firn::restore
