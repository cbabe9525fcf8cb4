// What a running restore remembers of directories and files, on disk: path and entry, found again by a
// number.
//
// Append-only, one scratch file; memory does not grow with the number of records.
// Threads: add() from one task; the others from any, once the record was added.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "repo/base/result.h"
#include "repo/base/scratch.h"
#include "repo/format/tree.h"

namespace firn::restore {

/// Where a record lies. 0 is no record.
enum class RecordNumber : std::uint64_t { None = 0 };

/// What becomes of a file's content.
enum class Fate : std::uint8_t {
  Make,    // it is new
  Update,  // the target had it, and it is changed in place
  Keep,    // the target has the same content already
};

struct Remembered {
  std::string directory;
  format::Entry entry;
  std::uint32_t pieces = 0;  // wanted slices of a file
  Fate fate = Fate::Make;
  RecordNumber previous = RecordNumber::None;
};

class FileTable {
 public:
  static Result<FileTable> create(base::Scratch& scratch);

  /// The number that the next record will get.
  RecordNumber next() const { return static_cast<RecordNumber>(file_->size()); }
  Result<RecordNumber> add(std::string_view directory, const format::Entry& entry, std::uint32_t pieces = 0,
                           Fate fate = Fate::Make);
  Result<Remembered> read(RecordNumber number);
  /// The record that was added last; previous leads to the ones before it.
  RecordNumber last() const { return last_; }

 private:
  explicit FileTable(std::unique_ptr<base::ScratchFile> file) : file_(std::move(file)) {}
  std::unique_ptr<base::ScratchFile> file_;
  RecordNumber last_ = RecordNumber::None;
};

}  // namespace firn::restore
