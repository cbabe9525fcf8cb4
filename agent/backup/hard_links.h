// Files with several names: read once, and every name carries the content.
//
// Kept on disk, because their number has no bound. The planner asks before a file is read; the assembler,
// which comes behind it in the same order, records the content of first names and looks it up for further
// ones. Threads: the planner's and the assembler's members may run at the same time.
#pragma once

#include <memory>
#include <optional>

#include "agent/scan/source_fs.h"
#include "repo/base/monitor.h"
#include "repo/format/tree.h"
#include "repo/kv/local_kv.h"

namespace firn::backup {

class HardLinks {
 public:
  explicit HardLinks(kv::LocalKv& state) : state_(state) {}
  ~HardLinks();

  /// True for the first name of the file. The planner's.
  Result<bool> first_name(const scan::Stat& stat);

  /// The assembler's: keeps or finds what the first name's entry says of the content.
  Result<> record(const scan::Stat& stat, const format::Entry& entry);
  Result<std::optional<format::Entry>> find(const scan::Stat& stat);

 private:
  Result<kv::Environment*> environment();

  kv::LocalKv& state_;
  base::Guarded<std::unique_ptr<kv::Environment>> environment_;
};

}  // namespace firn::backup
