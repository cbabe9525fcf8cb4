// What passes from the planner of a restore to its writers.
//
// Not here: who makes them (planner.h), who does them (file_writer.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "agent/restore/file_table.h"
#include "agent/restore/restore.h"
#include "repo/format/chunk.h"
#include "repo/index/chunk_index.h"

namespace firn::restore {

/// A wanted piece of a chunk, and where it goes. Sorts by where the chunk lies.
struct WantedPiece {
  index::Location location;
  format::Slice slice;
  RecordNumber file = RecordNumber::None;
  std::uint64_t file_offset = 0;
};

inline constexpr std::size_t kWantedPieceBytes = 1 + 32 + 4 + 32 + 4 + 4 + 1 + 1 + 4 + 4 + 8 + 8;
/// A record that sorts bytewise by pack, offset, file and position.
std::array<std::byte, kWantedPieceBytes> encode(const WantedPiece& piece);
WantedPiece parse_wanted_piece(ByteView record);

/// Neighbouring pieces of one pack: read in one go.
struct FetchJob {
  format::PackName pack;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::vector<WantedPiece> pieces;  // by offset
};

/// Files whose content needs no chunk.
struct InlineJob {
  std::vector<RecordNumber> files;
};

using Job = std::variant<FetchJob, InlineJob>;

/// Tells the observer, one call at a time, and counts.
class Reporter {
 public:
  Reporter(Progress& progress, Observer& observer) : progress_(progress), observer_(&observer) {}

  void item(Action action, std::string_view path, std::uint64_t size_bytes);
  void problem(std::string_view path, const Error& error);
  /// What the target cannot take is told as not kept, a failure to set it as a problem.
  void shortfalls(std::string_view path, const Shortfalls& shortfalls);
  std::uint64_t not_kept() { return *not_kept_.lock(); }
  Progress& progress() { return progress_; }

 private:
  Progress& progress_;
  base::Guarded<Observer*> observer_;
  base::Guarded<std::uint64_t> not_kept_;
};

}  // namespace firn::restore
