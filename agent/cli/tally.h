// Counts names that are too many for memory: what was added, name by name, in order.
//
// Memory: kTallyMemoryBytes for each tally, whatever is added; the rest lies in scratch space. Threads: one
// caller at a time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "repo/base/record_sorter.h"

namespace firn::cli {

inline constexpr std::size_t kTallyMemoryBytes = 8 << 20;

class Tally {
 public:
  using Name = std::array<std::byte, 32>;
  struct Row {
    Name name;
    std::uint64_t least = 0;  // of the numbers added with this name
    std::uint64_t sum = 0;
  };

  explicit Tally(base::Scratch& scratch) : sorter_(scratch, kRecordBytes, kTallyMemoryBytes) {}

  /// A name shorter than 32 bytes is filled up with zeros. Errors: Exhausted (scratch space).
  Result<> add(ByteView name, std::uint64_t number = 0);
  /// No more is added; next() may be called. Errors: as add().
  Result<> finish();
  /// The next name, each once, in byte order; nothing after the last.
  Result<std::optional<Row>> next();

 private:
  static constexpr std::size_t kRecordBytes = 32 + 8;
  Result<> read();

  base::RecordSorter sorter_;
  std::optional<Row> ahead_;  // the next record, on its own
};

}  // namespace firn::cli
