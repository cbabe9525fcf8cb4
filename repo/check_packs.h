// The packs: those that the index names against those that exist, and every stored byte of the chosen ones.
// Internal to check.
//
// Memory is bounded: lists of packs and of what to open in them are sorted in scratch space. Threads: one
// caller; reading makes tasks of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "repo/base/record_sorter.h"
#include "repo/base/stop.h"
#include "repo/check_findings.h"
#include "repo/index/chunk_index.h"
#include "repo/repository.h"

namespace firn::repo {

/// A pack that exists, and what the index says of it.
struct ExistingPack {
  format::PackName name;
  std::uint32_t size_bytes = 0;  // as LIST says
  std::uint32_t entries = 0;     // as the index says
};

struct PackLists {
  /// Missing, or of another size than the index says.
  std::map<format::PackName, DefectId> bad;
  /// In no index object; bounded.
  std::vector<ExistingPack> unlisted;
  std::uint64_t unlisted_count = 0;
  /// What the index names and the store has, to be read back in order of names: encode_existing().
  std::unique_ptr<base::RecordSorter> existing;
  std::uint64_t existing_count = 0;
  std::uint64_t existing_bytes = 0;
};

/// Holds LIST data/ and meta/ against the index, which was synced before.
Result<PackLists> list_packs(const Repository& repository, index::ChunkIndex& index,
                             std::uint64_t memory_bytes, const std::function<Result<>()>& sync,
                             CheckFindings& findings);

struct ReadPacksOptions {
  DataSubset subset;
  std::uint64_t memory_bytes = 0;
};

struct PacksRead {
  std::uint64_t packs = 0;
  std::uint64_t chunks_opened = 0;
  bool index_disagrees = false;
};

/// Reads the chosen ones of `lists.existing` whole. `wanted` is finished: records as in check_trees.h.
Result<PacksRead> read_packs(const Repository& repository, index::ChunkIndex& index, PackLists& lists,
                             base::RecordSorter& wanted, const ReadPacksOptions& options,
                             const std::function<Result<>()>& sync, const base::StopFlag& stop,
                             CheckProgress& progress, CheckFindings& findings);

}  // namespace firn::repo
