// LocalKv on a directory, with one LMDB environment in each sub-directory.
//
//   <directory>/owner          locked (flock) by the process that owns the directory
//   <directory>/<name>/        data.mdb, lock.mdb and, while nobody has it open, `closed`
//   <directory>/<name>.state   a small state file
//
// Promise: a commit of a durable environment survives power loss; a process that is killed leaves the last
// commit. Before LMDB maps a file that this class did not close itself, every page of it is checked
// (lmdb_file.h), so that no damage makes the process crash; `closed` remembers identity, size and times of
// the file at the last close, and saves that work. An environment is never renamed, and its lock file never
// outlives its owner: LMDB would believe the wrong one. A disk that fails to read a mapped page while it is
// in use still ends in SIGBUS. Threads: LocalKv's members from any thread; a write transaction begins and
// ends on one thread.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "repo/base/files.h"
#include "repo/base/monitor.h"
#include "repo/kv/local_kv.h"

namespace firn::kv {

class LmdbKv final : public LocalKv {
 public:
  /// Takes `directory` (made where it is missing, mode 0700). Errors: Unavailable (another process owns it),
  /// Denied, Exhausted.
  static Result<std::unique_ptr<LmdbKv>> open_directory(const std::string& directory);

  /// Takes the first of `cache_root`/slot-0, slot-1, … that no other process owns. Errors: Exhausted (all
  /// `slots_max` are taken, or the disk is full), Denied.
  static Result<std::unique_ptr<LmdbKv>> open_slot(const std::string& cache_root, unsigned slots_max = 64);

  ~LmdbKv() override;

  Result<std::unique_ptr<Environment>> open(std::string_view name,
                                            const EnvironmentOptions& options) override;
  Result<> remove(std::string_view name) override;
  Result<std::vector<std::string>> names() override;
  Result<> write_file(std::string_view name, ByteView bytes) override;
  Result<Bytes> read_file(std::string_view name, std::size_t size_bytes_max) override;
  Result<> remove_file(std::string_view name) override;

  const std::string& directory() const { return directory_; }

 private:
  friend class LmdbEnvironment;
  LmdbKv(std::string directory, base::FileDescriptor owner);

  std::string directory_;
  base::FileDescriptor owner_;
  base::Guarded<std::set<std::string, std::less<>>> open_names_;
};

}  // namespace firn::kv
