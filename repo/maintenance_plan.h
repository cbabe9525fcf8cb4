// Choosing what goes: which packs hold what nobody needs, and which of them are worth rewriting. Internal to
// maintenance.
//
// Promise: pure bookkeeping. A wrong choice costs work, never data: what is needed is looked for again after
// the packs were condemned. Memory does not grow with the number of chunks. Threads: one caller.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "repo/base/stop.h"
#include "repo/index/chunk_index.h"
#include "repo/maintenance.h"
#include "repo/maintenance_mark.h"

namespace firn::repo {

/// A pack that is condemned, or is to be, and exists.
struct DoomedPack {
  format::PackName name;
  std::uint32_t size_bytes = 0;
  auto operator<=>(const DoomedPack&) const = default;
};

struct Plan {
  MaintenanceCounts counts;
  std::vector<format::PackName> condemn;  // new ones, sorted
  std::vector<DoomedPack> doomed;         // new and older ones, sorted
  /// Needed, and in no index object; bounded, beside their number.
  std::set<format::ChunkId> missing;
  std::uint64_t missing_count = 0;
  /// Packs that the index lists, and those of them that are condemned and do not exist any more.
  std::uint64_t packs_indexed = 0;
  std::uint64_t packs_gone = 0;
  bool more = false;  // one run condemns only so many
};

struct PlanInput {
  const Repository& repository;
  index::ChunkIndex& index;
  const IdList& needed;
  const std::set<format::PackName>& condemned;
  /// Of a pack in no index object: is the session that put it over?
  std::function<Result<bool>(const DoomedPack&)> is_abandoned;
  UnusedLimit max_unused;
  std::optional<std::uint64_t> repack_bytes_max;
  std::size_t memory_bytes = 0;
  const base::StopFlag& stop;
};

/// Reads the index, LISTs data/ and meta/. Errors: those of store, index and scratch space.
Result<Plan> make_plan(const PlanInput& input);

inline constexpr std::size_t kMissingMax = 100;

}  // namespace firn::repo
