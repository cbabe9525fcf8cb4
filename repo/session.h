// A session: the only way to write into a repository.
//
// Promise: commit() acknowledges a snapshot only when everything it needs was answered by the store (I2, I3)
// and nobody had fenced the session by then (I5). Whatever dies in between leaves garbage, never a broken
// snapshot. The order of steps is that of docs/PROTOCOL.md, chapter "Session"; the names below are its steps.
// Not here: what goes into a snapshot (agent/backup), maintenance.
// Threads: one session serves any number of workers; each worker has a ChunkWriter of its own.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "repo/base/budget.h"
#include "repo/base/result.h"
#include "repo/base/stop.h"
#include "repo/format/chunk.h"
#include "repo/format/session.h"
#include "repo/format/snapshot.h"
#include "repo/index/chunk_index.h"
#include "repo/kv/local_kv.h"
#include "repo/object_cache.h"
#include "repo/repository.h"
#include "repo/tree/page_store.h"
#include "repo/view.h"

namespace firn::repo {

/// Who opens the session, as its marker says it (agent/state reads it from the system).
struct ProcessIdentity {
  format::MachineId machine;
  format::BootId boot;
  std::uint64_t pid_namespace = 0;
  std::uint32_t pid = 0;
  std::uint64_t process_start = 0;
  std::string host;
  std::string node;
};

struct SessionOptions {
  format::SessionKind kind = format::SessionKind::Backup;
  ProcessIdentity process;
  int compression_level = 3;
  bool verify_chunks = true;  // open every chunk again before it leaves
  /// Seals and counts as ever, and stores nothing: no marker, no packs; commit() must not be called.
  bool dry_run = false;
  std::uint64_t pack_memory_bytes = 64 << 20;  // open and in-flight packs; at least three are always allowed
};

/// What a session stored so far.
struct StoredTotals {
  std::uint64_t data_chunks = 0;
  std::uint64_t tree_chunks = 0;
  std::uint64_t plain_bytes = 0;
  std::uint64_t stored_bytes = 0;
};

struct StoredChunk {
  format::ChunkSecret t;
  format::ChunkId id;
  bool added = false;              // false: it was there
  std::uint32_t stored_bytes = 0;  // of an added one
};

class WriteSession;

/// One worker's hand in a session: hashes, looks up, compresses, seals and verifies with buffers of its own.
class ChunkWriter {
 public:
  explicit ChunkWriter(WriteSession& session);
  ~ChunkWriter();
  ChunkWriter(ChunkWriter&&) noexcept;

  /// Makes sure that `plain` (1 to kPlainBytesMax bytes) is in the repository. May wait for the upload of
  /// earlier packs. An error is final for the session.
  Result<StoredChunk> store(format::ChunkType type, ByteView plain);
  /// The keyed digest of a small file's content.
  format::ContentDigest digest(ByteView content) const;
  /// A refs page: sealed so that a maintainer can read it.
  Result<format::ChunkId> store_refs(ByteView plain);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class WriteSession {
 public:
  /// Steps 1 to 3: PUT the marker, read maint/, bring the index to LIST index/; and takes over what a killed
  /// session of this cache had uploaded without an index object. Errors: Denied (the key's roles do not
  /// include it, it was revoked, or its certificate has expired), and those of the store.
  static Result<std::unique_ptr<WriteSession>> open(const Repository& repository, index::ChunkIndex& index,
                                                    ObjectCache& cache, kv::LocalKv& state,
                                                    const SessionOptions& options);
  /// Stops the uploads. Without end() the session is left open; maintenance will fence it.
  ~WriteSession();

  format::SessionId id() const;
  const format::SessionProof& proof() const;
  const Repository& repository() const;
  const MaintenanceView& maintenance() const;
  const IndexProblems& index_problems() const;

  /// I11: may a new tree name this chunk? It is in an uncondemned pack of the view, or this session stored
  /// it.
  Result<bool> may_refer(const format::ChunkId& id);

  /// Puts a stored chunk as it is, from another pack, into this session's packs: maintenance copies so. False
  /// when the session is about to put a copy of the chunk already: a pack holds an id once, so the caller
  /// comes again after flush(). An error is final for the session.
  Result<bool> copy_stored(const format::ChunkId& id, const format::ChunkShape& shape, ByteView stored);

  /// Everything stored so far is uploaded, indexed and answered.
  Result<> flush();

  /// HEADs the own fence. Errors: Changed (there is one), and those of the store: then nobody knows.
  Result<> check_not_fenced();

  /// Steps 4 to 7: flushes, seals `root` to all readers, PUTs the snapshot and looks at the own fence.
  /// Fills in of `snapshot`: repository, name (its source tag from snapshot.source.id), proof. Errors:
  /// Changed (the session was fenced: nothing is acknowledged, run again in a new one), and those of the
  /// store.
  Result<format::SnapshotId> commit(format::Snapshot snapshot, const format::ChunkSecret& root);

  /// Step 8: drops what was not flushed, waits for the answers to what is on its way, and says that the
  /// session is over, when every answer is certain and there is no fence. Best effort. Nothing is stored or
  /// committed afterwards.
  void end();

  /// Called after each index object that was answered (a checkpoint: everything stored before is safe).
  void on_checkpoint(std::function<void()> callback);

  StoredTotals totals() const;
  /// Bytes uploaded so far, for progress.
  std::uint64_t uploaded_bytes() const;

 private:
  friend class ChunkWriter;
  struct State;
  explicit WriteSession(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// The tree's door into a session.
class SessionPages final : public tree::PageSink {
 public:
  explicit SessionPages(WriteSession& session) : writer_(session) {}
  Result<tree::StoredPage> store_page(format::ChunkType type, ByteView plain) override;
  Result<format::ChunkId> store_refs(ByteView plain) override;

 private:
  ChunkWriter writer_;
};

}  // namespace firn::repo
