// Check: proves that what the repository promises is there.
//
// Structure: every small object opens and is signed by who may; the index names only packs that exist, with
// their sizes; every page of every snapshot that counts opens (with a reader key: tree and slice pages; with
// any key: refs pages) and names only chunks that an existing pack holds. Data: every stored byte of the
// chosen packs: name, trailer, entries against the index, and with a reader key each chunk opened whose
// capability some snapshot's tree names. Promise: writes nothing. A finding names the object, and which
// snapshots and files it touches. Memory is bounded: what must be remembered lies in scratch space. Threads:
// check_repository() blocks its caller; it makes its own tasks.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "repo/base/result.h"
#include "repo/base/stop.h"
#include "repo/index/chunk_index.h"
#include "repo/kv/local_kv.h"
#include "repo/object_cache.h"
#include "repo/repository.h"

namespace firn::repo {

/// Which packs are read whole. Part n of t: packs whose name falls into it, so that t runs read all.
struct DataSubset {
  enum class Kind : std::uint8_t { None, All, Part, Percent, Bytes } kind = Kind::None;
  std::uint32_t part = 0;  // 1-based
  std::uint32_t of = 0;
  double percent = 0;
  std::uint64_t bytes = 0;
};

struct CheckOptions {
  DataSubset data;
  std::uint64_t memory_bytes = 96ULL << 20;
};

struct Finding {
  enum class Kind : std::uint8_t {
    Damage,    // bytes are lost or wrong: num_errors counts these
    Leftover,  // garbage that harms nobody: prune removes it
    Hint,      // worth knowing (a session that is open for days, a certificate near its end)
  } kind = Kind::Damage;
  std::string message;  // names the object and what is wrong with it
  std::vector<std::string>
      affects;  // "snapshot 1a2b3c4d: /path/of/file", bounded; the last says how many more
};

struct CheckProgress {
  std::atomic<std::uint64_t> packs_done{0};
  std::atomic<std::uint64_t> packs_total{0};
  std::atomic<std::uint64_t> snapshots_done{0};
  std::atomic<std::uint64_t> snapshots_total{0};
  std::atomic<std::uint64_t> bytes_read{0};
};

struct CheckReport {
  std::uint64_t errors = 0;
  std::vector<std::string> broken_packs;  // names, bounded
  bool suggest_repair_index = false;
  bool suggest_prune = false;
  std::uint64_t packs_read = 0;
  std::uint64_t chunks_opened = 0;
  bool contents_opened = false;  // false: the key at hand cannot read contents; stored bytes were verified
};

/// Brings `index` to what the repository holds first; keeps its own notes in `state` while it runs. `found`
/// is called on the caller's task: for most findings as they are made, for damage that touches snapshots at
/// the end. Errors: Cancelled, and those that make checking impossible.
Result<CheckReport> check_repository(const Repository& repository, index::ChunkIndex& index,
                                     ObjectCache& cache, kv::LocalKv& state, const CheckOptions& options,
                                     const base::StopFlag& stop, CheckProgress& progress,
                                     const std::function<void(const Finding&)>& found);

}  // namespace firn::repo
