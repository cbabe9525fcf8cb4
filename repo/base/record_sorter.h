// Sorts records of one fixed size, bytewise, in bounded memory: runs sorted in memory, kept in scratch,
// merged.
//
// A job that fits into memory never touches scratch space. Threads: one caller at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "repo/base/bytes.h"
#include "repo/base/result.h"
#include "repo/base/scratch.h"

namespace firn::base {

class RecordSorter {
 public:
  RecordSorter(Scratch& scratch, std::size_t record_bytes, std::size_t memory_bytes_max);
  ~RecordSorter();

  /// `record` has record_bytes bytes. Errors: Exhausted (scratch space).
  Result<> add(ByteView record);
  std::uint64_t count() const { return count_; }

  /// No more records come in; next() may be called. Errors: as add().
  Result<> finish();
  /// The next record in order, borrowed until the next call; empty after the last. Equal records come as
  /// often as they were added. Errors: Corrupt or Unavailable (scratch space does not give back what it
  /// took).
  Result<ByteView> next();

 private:
  struct Run;
  Result<> spill();
  void sort_buffer();
  Result<bool> refill(Run& run);
  bool later(const Run& a, const Run& b) const;

  Scratch& scratch_;
  const std::size_t record_bytes_;
  const std::size_t memory_bytes_max_;
  std::uint64_t count_ = 0;
  Bytes buffer_;
  std::vector<std::uint32_t> order_;  // records of buffer_, sorted
  std::size_t next_in_order_ = 0;
  std::unique_ptr<ScratchFile> file_;
  std::vector<Run> runs_;
  std::vector<std::size_t> heap_;  // runs, the one with the least record on top
  bool top_is_borrowed_ = false;   // its record was given out: the next call steps over it
};

}  // namespace firn::base
