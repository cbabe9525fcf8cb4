// Counts names that are too many for memory: what was added, name by name, in order.
//
// Memory: as much as the tally is given, whatever is added; the rest lies in scratch space. Threads: one
// caller at a time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "repo/base/record_sorter.h"

namespace firn::base {

class Tally {
 public:
  using Name = std::array<std::byte, 32>;
  struct Row {
    Name name;
    std::uint64_t least = 0;  // of the numbers added with this name
    std::uint64_t sum = 0;
  };

  explicit Tally(Scratch& scratch, std::size_t memory_bytes = 8 << 20)
      : sorter_(scratch, kRecordBytes, memory_bytes) {}

  /// A name shorter than 32 bytes is filled up with zeros. Errors: Exhausted (scratch space).
  Result<> add(ByteView name, std::uint64_t number = 0);
  /// No more is added; next() may be called. Errors: as add().
  Result<> finish();
  /// The next name, each once, in byte order; nothing after the last.
  Result<std::optional<Row>> next();

 private:
  static constexpr std::size_t kRecordBytes = 32 + 8;
  Result<> read();

  RecordSorter sorter_;
  std::optional<Row> ahead_;  // the next record, on its own
};

}  // namespace firn::base
