// Reads the content of one large file as a stream without its holes, in blocks, cut into chunks.
//
// Promise: every byte of data between the holes comes exactly once, in order; holes are reported with it.
// Ends with Changed when the file is shorter than its stat says. Not here: storing (worker.cpp). Threads: one
// object, one task.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "agent/scan/source_fs.h"
#include "chunker/cut_selector.h"
#include "chunker/gear.h"
#include "repo/base/budget.h"
#include "repo/base/raw_buffer.h"
#include "repo/format/blobs.h"

namespace firn::backup {

/// Content bytes that belong together with the chunks that end in them.
struct Block {
  base::RawBuffer buffer;
  std::size_t size_bytes = 0;  // of what belongs to it, at the buffer's beginning
  base::ByteBudget::Lease lease;
  /// Chunk borders inside bytes: chunk i is [ends[i-1], ends[i]); what is behind the last one is in the next
  /// block.
  std::vector<std::size_t> ends;

  ByteView bytes() const { return buffer.bytes().first(size_bytes); }
};

class FileReader {
 public:
  FileReader(const chunker::GearTable& table, const chunker::CutRules& rules, scan::SourceFile& file,
             const scan::Stat& stat, std::size_t block_bytes);

  /// The most memory that a block takes.
  std::size_t block_memory_bytes() const { return block_bytes_ + rules_.max_bytes; }

  /// The next block into a buffer that `lease` pays for; empty after the last. Errors: Changed, and those of
  /// reading.
  Result<std::optional<Block>> next(base::ByteBudget::Lease lease);

  std::uint64_t content_bytes() const { return position_; }
  /// The hole map so far, encoded as format/blobs.h has it; whole once next() gave nothing.
  const Bytes& holes() const { return holes_; }

 private:
  Result<std::size_t> fill(MutableBytes out);
  Result<bool> find_extent();

  const chunker::GearTable& table_;
  const chunker::CutRules rules_;
  scan::SourceFile& file_;
  std::uint64_t size_bytes_;  // of a stream an upper bound, until its end was met
  const bool sparse_;
  const std::size_t block_bytes_;
  chunker::CutSelector selector_;
  std::vector<chunker::Candidate> candidates_;
  std::vector<std::uint64_t> cuts_;
  Bytes carry_;                 // the open chunk's bytes so far
  Bytes warmup_;                // the last content bytes before the next block
  std::uint64_t position_ = 0;  // content bytes read
  std::uint64_t offset_ = 0;    // in the file
  std::uint64_t extent_end_ = 0;
  bool finished_ = false;
  Bytes holes_;
  format::HoleWriter hole_writer_{holes_};
};

}  // namespace firn::backup
