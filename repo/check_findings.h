// What a check has found so far. Some findings are told at once; defects wait for the walk that finds which
// snapshots and files they touch, and are told at the end. Internal to check.
//
// Memory is bounded: so many defects, blamed chunks and lines of each are kept, the rest is counted.
// Threads: any, but tell() and tell_defects(), which call the visitor: the task that checks.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "repo/base/monitor.h"
#include "repo/check.h"
#include "repo/format/ids.h"
#include "repo/format/names.h"

namespace firn::repo {

/// A defect by its number.
enum class DefectId : std::size_t {};

class CheckFindings {
 public:
  explicit CheckFindings(const std::function<void(const Finding&)>& found) : found_(found) {}

  void tell(Finding::Kind kind, std::string message);

  /// A damage whose effects are to be found. `pack`: it is listed among the broken ones.
  DefectId add_defect(std::string message, std::optional<format::PackName> pack = std::nullopt);
  /// Replaces what was said of it.
  void rename_defect(DefectId defect, std::string message);
  /// Whoever needs the chunk is affected by the defect.
  void blame(const format::ChunkId& chunk, DefectId defect);

  bool any_blamed();
  std::vector<DefectId> blamed(const format::ChunkId& chunk);
  /// One more thing that the defect affects. The same line twice running counts once.
  void affects(DefectId defect, std::string line);

  void tell_defects();

  std::uint64_t errors();
  std::vector<std::string> broken_packs();

 private:
  struct Defect {
    std::string message;
    std::vector<std::string> affects;
    std::string last;
    std::uint64_t more = 0;
  };
  struct State {
    std::vector<Defect> defects;
    std::uint64_t defects_beyond = 0;
    std::unordered_multimap<format::ChunkId, DefectId> blamed;
    std::uint64_t errors = 0;
    std::vector<std::string> broken_packs;
  };

  const std::function<void(const Finding&)>& found_;
  base::Guarded<State> state_;
};

}  // namespace firn::repo
