// Counts how much of each bundle a new tree uses, and keeps bundles from living on for a few of their files.
//
// A bundle that holds many small files stays in the repository as long as one of them is in a snapshot, and
// maintenance cannot take it apart without keys. So a backup counts what the tree that it writes uses of
// each, and the next backup of the source reads the files of mostly dead ones again and bundles them anew:
// those of which less than five eighths are used, and small bundles beyond a number. Costs at most a tenth of
// a run's bytes. Threads: one caller each.
#pragma once

#include <cstdint>

#include "agent/state/sparse_bundles.h"
#include "repo/base/tally.h"
#include "repo/chunk_reader.h"
#include "repo/format/config.h"
#include "repo/format/tree.h"

namespace firn::backup {

/// The bundle of which a file is a slice; nothing for files that lie in none.
std::optional<format::Slice> bundle_slice(const format::Entry& entry);
std::optional<format::Slice> bundle_slice(const format::EntryView& entry);

class BundleUse {
 public:
  explicit BundleUse(base::Scratch& scratch) : used_(scratch, kMemoryBytes) {}

  /// Each bundled file of the tree, in its order.
  Result<> add(const format::Slice& slice);
  /// What the next backup is to bundle anew, as the index of `reader` knows the bundles: those of this very
  /// run are not in there, and are all in use. `run_bytes` is what the backup had to look at.
  Result<state::SparseBundles> finish(repo::ChunkReader& reader, const format::Parameters& parameters,
                                      std::uint64_t run_bytes);

 private:
  static constexpr std::size_t kMemoryBytes = 2 << 20;
  Result<> flush();

  base::Tally used_;  // bundle → bytes used
  format::ChunkSecret last_;
  std::uint64_t last_bytes_ = 0;  // of the last bundle, not in used_ yet: neighbours share one
};

/// Which files a backup reads again for the sake of their bundles.
class Rebundling {
 public:
  explicit Rebundling(state::SparseBundles list) : list_(std::move(list)) {}

  /// True when a file of `size_bytes` in this slice is to be read again; takes it off the budget.
  bool takes(const std::optional<format::Slice>& slice, std::uint64_t size_bytes);

 private:
  state::SparseBundles list_;
  format::ChunkSecret last_;
  bool last_listed_ = false;
};

}  // namespace firn::backup
