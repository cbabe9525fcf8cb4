// Maintenance: gives back the space of what no snapshot needs any more, beside running backups.
//
// Promise: a chunk that a valid, unforgotten snapshot needs stays readable all the time, whatever sessions
// and other maintenance runs do meanwhile, whatever dies, and whatever clocks say. No locks: any number of
// runs at once, each resumable at any point by another. What is condemned and cannot go yet, a later run
// drops. The steps are those of docs/PROTOCOL.md, chapter "Maintenance", in repo/maintenance_run.h. A
// maintainer key is enough: nothing here reads contents or names. Not here: which snapshots are to be
// forgotten (forget puts tombstones, this acts on them). Threads: maintain() blocks its caller; it makes its
// own tasks.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "repo/base/clock.h"
#include "repo/base/result.h"
#include "repo/base/stop.h"
#include "repo/index/chunk_index.h"
#include "repo/kv/local_kv.h"
#include "repo/object_cache.h"
#include "repo/repository.h"
#include "repo/session.h"

namespace firn::repo {

/// How many bytes that nobody needs may stay in packs that hold needed ones.
struct UnusedLimit {
  enum class Kind : std::uint8_t { Percent, Bytes, Unlimited } kind = Kind::Percent;
  double percent = 5;  // of what is stored afterwards
  std::uint64_t bytes = 0;
};

struct MaintenanceOptions {
  ProcessIdentity process;
  /// Writes nothing, and counts what a run would do.
  bool dry_run = false;
  /// Dry runs only: snapshots to be looked at as if they were forgotten.
  std::set<format::SnapshotId> as_if_forgotten;
  UnusedLimit max_unused;
  /// At most so many bytes of packs are rewritten.
  std::optional<std::uint64_t> repack_bytes_max;
  /// How long a condemned pack stays for readers that know no better; nothing: as the store suggests.
  std::optional<std::chrono::seconds> delete_after;
  /// How long live sessions are waited for.
  std::chrono::seconds wait{0};
  std::uint64_t memory_bytes = 64 << 20;
  /// What this process knows of others; without the functions it knows nothing. A process of this machine,
  /// boot and pid namespace:
  std::function<bool(std::uint32_t pid, std::uint64_t start)> process_is_gone;
  std::function<bool(const std::string& node)> node_is_gone;
};

struct MaintenanceProgress {
  std::atomic<const char*> phase{"opening"};
  std::atomic<std::uint64_t> done{0};  // of the phase
  std::atomic<std::uint64_t> total{0};
  std::atomic<std::uint64_t> bytes_copied{0};
};

/// What was found and decided. A dry run and the run after it say the same.
struct MaintenanceCounts {
  struct Blobs {
    std::uint64_t used = 0;           // chunks that some snapshot needs
    std::uint64_t duplicate = 0;      // further copies of them
    std::uint64_t unused = 0;         // needed by nobody
    std::uint64_t total = 0;          // all of the above
    std::uint64_t repack = 0;         // needed ones in packs that go: copied
    std::uint64_t repack_remove = 0;  // the others in those packs
    std::uint64_t remove = 0;         // in packs that hold nothing needed
    std::uint64_t remove_total = 0;
    std::uint64_t remaining = 0;
  } blobs;
  struct Bytes {
    std::uint64_t used = 0;
    std::uint64_t duplicate = 0;
    std::uint64_t unused = 0;
    std::uint64_t unreferenced = 0;  // of packs in no index
    std::uint64_t total = 0;
    std::uint64_t repack = 0;
    std::uint64_t remove = 0;
    std::uint64_t remove_total = 0;
    std::uint64_t remaining = 0;
    std::uint64_t remaining_unused = 0;
  } bytes;
  struct Packs {
    std::uint64_t used = 0;  // wholly
    std::uint64_t unused = 0;
    std::uint64_t partly_used = 0;
    std::uint64_t unreferenced = 0;
    std::uint64_t total = 0;
    std::uint64_t keep = 0;
    std::uint64_t repack = 0;
    std::uint64_t remove = 0;  // without copying anything
    std::uint64_t remove_total = 0;
  } packs;
};

struct MaintenanceReport {
  MaintenanceCounts counts;
  std::uint64_t snapshots = 0;      // that count
  std::uint64_t packs_deleted = 0;  // now
  std::uint64_t bytes_deleted = 0;
  std::uint64_t packs_waiting = 0;  // condemned, and not deleted yet
  std::uint64_t bytes_waiting = 0;
  /// When the last of them may go, by the store's clock, if nothing but time is missing.
  std::optional<base::WallTime> free_from;
  /// Live sessions, and a store that refuses to delete, one line each, bounded.
  std::vector<std::string> waiting_for;
  std::uint64_t sessions_fenced = 0;
  std::uint64_t index_objects_replaced = 0;
  std::uint64_t objects_removed = 0;  // markers, dead snapshots, folded records
  /// More could be condemned than one run takes on.
  bool more = false;
  /// What kept packs from going, each naming the object, and what to do: none in a good run.
  std::vector<std::string> problems;
};

/// Errors: Denied (the key is no maintainer's), Changed (the run was fenced by another: run again),
/// Cancelled, Corrupt (snapshots or index are not what they must be: nothing was dropped), and those of the
/// store.
Result<MaintenanceReport> maintain(const Repository& repository, index::ChunkIndex& index, ObjectCache& cache,
                                   kv::LocalKv& state, const MaintenanceOptions& options,
                                   const base::StopFlag& stop, MaintenanceProgress& progress);

}  // namespace firn::repo
