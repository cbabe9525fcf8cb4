// Sorts entry records that do not fit into memory: runs sorted in memory, kept in a scratch file, merged.
//
// Memory: `memory_bytes_max` while records come in and while they are merged. Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "repo/base/result.h"
#include "repo/base/scratch.h"
#include "repo/index/rows.h"

namespace firn::index {

class EntrySorter {
 public:
  EntrySorter(base::Scratch& scratch, std::size_t memory_bytes_max);
  ~EntrySorter();

  /// Errors: Exhausted (scratch space).
  Result<> add(const EntryRecord& record);
  std::uint64_t count() const { return count_; }

  /// No more records come in; next() may be called.
  Result<> finish();
  /// The next record in order, equal ones as often as they were added; false after the last. Errors: Corrupt
  /// or Unavailable (scratch space does not give back what it took).
  Result<bool> next(EntryRecord& record);

 private:
  struct Run {
    std::uint64_t offset = 0;
    std::uint64_t end = 0;
  };
  class Merge;

  Result<> spill();
  /// Merges runs of file_ into one run at the end of `out`.
  Result<Run> merge_into(base::ScratchFile& out, std::span<const Run> runs);

  base::Scratch& scratch_;
  std::size_t memory_bytes_max_;
  std::size_t records_max_;
  std::vector<EntryRecord> records_;  // of the run that is growing
  std::size_t next_record_ = 0;
  std::uint64_t count_ = 0;
  std::unique_ptr<base::ScratchFile> file_;
  std::vector<Run> runs_;
  std::unique_ptr<Merge> merge_;
};

}  // namespace firn::index
