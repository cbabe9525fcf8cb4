#include "agent/restore/target_dirs.h"

#include <utility>

#include "repo/format/tree.h"

namespace firn::restore {
namespace {
constexpr std::size_t kOpenMax = 64;
}

OpenDirectory TargetDirs::find(std::string_view path) {
  const auto found = by_path_.find(path);
  if (found == by_path_.end()) {
    return nullptr;
  }
  recent_.splice(recent_.begin(), recent_, found->second);
  return recent_.front().second;
}

void TargetDirs::keep(std::string_view path, OpenDirectory directory) {
  if (recent_.size() >= kOpenMax) {
    by_path_.erase(recent_.back().first);
    recent_.pop_back();
  }
  recent_.emplace_front(std::string(path), std::move(directory));
  by_path_.emplace(recent_.front().first, recent_.begin());
}

Result<OpenDirectory> TargetDirs::open(std::string_view path) {
  if (path.empty()) {
    return root_;
  }
  if (OpenDirectory directory = find(path)) {
    return directory;
  }
  // Up to the nearest open ancestor, then down; a loop, because paths may be thousands of parts deep.
  OpenDirectory at = root_;
  std::size_t begin = 0;
  for (std::size_t slash = path.rfind('/'); slash != std::string_view::npos && slash > 0;
       slash = path.rfind('/', slash - 1)) {
    if (OpenDirectory ancestor = find(path.substr(0, slash))) {
      at = std::move(ancestor);
      begin = slash + 1;
      break;
    }
  }
  while (true) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    FIRN_LET(OpenDirectory next, at->open_dir(std::string(path.substr(begin, end - begin))));
    at = std::move(next);
    if (end == path.size()) {
      keep(path, at);
      return at;
    }
    begin = end + 1;
  }
}

Result<OpenDirectory> TargetDirs::make(std::string_view path) {
  const format::Key key = format::key_of(path);
  FIRN_LET(const OpenDirectory parent, open(key.directory));
  FIRN_LET(OpenDirectory made, parent->make_dir(std::string(key.name)));
  if (by_path_.contains(path)) {
    recent_.erase(by_path_.at(path));
    by_path_.erase(path);
  }
  keep(path, made);
  return made;
}

}  // namespace firn::restore
