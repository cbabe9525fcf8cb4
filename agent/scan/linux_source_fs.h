// SourceFs on Linux: see source_fs.h for what is promised.
//
// Reading leaves no traces where the process may avoid them (O_NOATIME). Needs /proc for the attributes of
// names that are neither files nor directories. Threads: as source_fs.h says.
#pragma once

#include <map>

#include "agent/scan/source_fs.h"
#include "repo/base/monitor.h"

namespace firn::scan {

class LinuxSourceFs final : public SourceFs {
 public:
  Result<std::unique_ptr<SourceDir>> open_root(const std::string& path) override;
  std::string user_name(std::uint32_t uid) override;
  std::string group_name(std::uint32_t gid) override;

 private:
  base::Guarded<std::map<std::uint32_t, std::string>> users_;
  base::Guarded<std::map<std::uint32_t, std::string>> groups_;
};

}  // namespace firn::scan
