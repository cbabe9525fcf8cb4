// Writes the tree of a snapshot again, into a session: what copy and repair have in common.
//
// Every entry keeps all that it says; where its chunks are found afterwards is asked of a ChunkMover.
// Promise: the new tree names only chunks that the mover answered for (I11 is the mover's), and pages that
// the sink stored. With `keep_what_opens` damage is data: what is lost is left out and told; else it is an
// error. Memory is bounded: a batch of entries, and a bounded memory of chunks that were moved before. Not
// here: snapshots (repo/copy.h, repo/repair.h). Threads: run() blocks its caller; movers are called from
// several tasks.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "repo/base/executor.h"
#include "repo/format/keys.h"
#include "repo/format/tree.h"
#include "repo/tree/page_store.h"
#include "repo/tree/tree_writer.h"

namespace firn::repo {

/// Brings data chunks and bundles to where the new tree needs them.
class ChunkMover {
 public:
  virtual ~ChunkMover() = default;
  /// The capability under which the new tree names the chunk `t` of the old one. `task` (below the number of
  /// tasks) is running once only. Errors: Corrupt, NotFound (the chunk is lost), those of the stores.
  virtual Result<format::ChunkSecret> move(unsigned task, const format::ChunkSecret& t) = 0;
};

struct TranscribeOptions {
  unsigned tasks = 2;
  /// Content digests are keyed: they mean nothing under other keys.
  bool keep_digests = false;
  bool keep_what_opens = false;
  /// What was left out, by its path, and why. One task at a time.
  std::function<void(const std::string& path, const Error& why)> lost;
};

class Transcriber {
 public:
  /// All outlive it. One transcriber may write many trees: it remembers what was moved.
  Transcriber(base::Executor& executor, tree::PageSource& from, tree::PageSink& to,
              const format::CutSeeds& seeds, ChunkMover& mover, TranscribeOptions options);

  /// Errors: Corrupt, NotFound (damage: with keep_what_opens only of the root), those of source and sink.
  Result<tree::WrittenTree> run(const format::ChunkSecret& root);

 private:
  struct Pending {
    std::string directory;
    format::Entry entry;
  };
  /// Where a chunk went, or why it is lost.
  using Moved = Result<format::ChunkSecret>;

  Result<> add(tree::TreeWriter& writer, const format::Key& key, const format::EntryView& entry);
  Result<> write_pending(tree::TreeWriter& writer);
  Result<> write_entry(tree::TreeWriter& writer, Pending& pending);
  Result<> move_all(const std::vector<format::ChunkSecret>& chunks);
  Result<format::Blob> rewritten(const format::Blob& blob);
  Result<> take_loss(const std::string& path, const Error& why);

  base::Executor& executor_;
  tree::PageSource& from_;
  tree::PageSink& to_;
  const format::CutSeeds seeds_;
  ChunkMover& mover_;
  const TranscribeOptions options_;
  std::unordered_map<format::ChunkSecret, Moved> moved_;
  std::vector<Pending> pending_;
  std::vector<format::ChunkSecret> pending_chunks_;
};

}  // namespace firn::repo
