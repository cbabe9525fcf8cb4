// The seam to local temporary space: sorted runs and spilled lists of a job that must not grow in memory.
//
// A scratch file has no name, is seen by nobody else, and is gone when it is destroyed or the process dies.
// Threads: read_at may be called from several threads at once; append from one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "repo/base/bytes.h"
#include "repo/base/result.h"

namespace firn::base {

class ScratchFile {
 public:
  virtual ~ScratchFile() = default;
  /// Errors: Exhausted (names the directory).
  virtual Result<> append(ByteView bytes) = 0;
  /// Reads exactly out.size() bytes. Errors: Corrupt when the file ends before.
  virtual Result<> read_at(std::uint64_t offset, MutableBytes out) = 0;
  virtual std::uint64_t size() const = 0;
};

class Scratch {
 public:
  virtual ~Scratch() = default;
  virtual Result<std::unique_ptr<ScratchFile>> create() = 0;
};

/// Unlinked files (O_TMPFILE) in `directory`.
class DirectoryScratch final : public Scratch {
 public:
  explicit DirectoryScratch(std::string directory);
  Result<std::unique_ptr<ScratchFile>> create() override;

 private:
  std::string directory_;
};

class MemoryScratch final : public Scratch {
 public:
  Result<std::unique_ptr<ScratchFile>> create() override;
};

}  // namespace firn::base
