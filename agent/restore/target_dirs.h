// Open directories of the target, by their path in the tree; the last used stay open.
//
// A directory is always reached from the root, one name at a time, so that nothing that is swapped in the
// target can lead outside. Threads: one object, one task.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "agent/restore/target_fs.h"

namespace firn::restore {

using OpenDirectory = std::shared_ptr<TargetDir>;  // the cache's and its user's

class TargetDirs {
 public:
  explicit TargetDirs(OpenDirectory root) : root_(std::move(root)) {}

  /// Errors: NotFound, Exists (something on the way is no directory).
  Result<OpenDirectory> open(std::string_view path);
  /// Makes `path`, whose parent is there, and keeps it open. Errors: Exists (something else is there).
  Result<OpenDirectory> make(std::string_view path);
  const OpenDirectory& root() const { return root_; }

 private:
  using Entry = std::pair<std::string, OpenDirectory>;
  OpenDirectory find(std::string_view path);
  void keep(std::string_view path, OpenDirectory directory);

  OpenDirectory root_;
  std::list<Entry> recent_;
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_path_;  // keys lie in recent_
};

}  // namespace firn::restore
