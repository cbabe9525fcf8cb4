// Decides in walk order what has to be read, and groups the rest of the world's entries into batches.
//
// Promise: an entry is taken over from the parent only when nothing says that it changed and everything that
// it names may still be referred to (I11). Not here: reading (worker), writing the tree (assembler). Threads:
// run() on one task.
#pragma once

#include <map>
#include <memory>

#include "agent/backup/backup.h"
#include "agent/backup/bundle_use.h"
#include "agent/backup/hard_links.h"
#include "agent/backup/parent.h"
#include "agent/backup/work_queue.h"
#include "repo/base/queue.h"

namespace firn::backup {

struct PlannerContext {
  const BackupContext& backup;
  const BackupOptions& options;
  const format::CutSeeds& seeds;
  const format::Parameters& parameters;
  scan::Walker& walker;
  ParentEntries& parent;
  HardLinks& links;
  Rebundling& rebundling;
  WorkQueue& work;
  base::BoundedQueue<BatchPointer>& assembly;  // its capacity bounds the batches in flight
};

class Planner {
 public:
  explicit Planner(PlannerContext& context) : context_(context) {}

  /// Walks to the end. Errors: those of the walk, the session and the scratch state.
  Result<> run();

 private:
  Result<> take(scan::WalkBatch& walked);
  Result<> plan_entry(const std::shared_ptr<const Directory>& directory, const scan::WalkEntry& entry);
  Result<bool> take_over(const Known& known, Item& item, const scan::Stat& stat);
  Result<bool> may_refer_to(const format::EntryView& entry);
  Result<bool> may_refer_to(const format::BlobView& blob);
  bool looks_unchanged(const format::EntryView& before, const scan::Stat& stat) const;
  bool settled(const Known& known) const;
  bool only_passed_through(const Item& item, const format::EntryView& before, const scan::Stat& stat) const;
  std::uint32_t ordinal(std::uint64_t device);
  void add(Item item);
  bool batch_is_full() const;
  Result<> finish_batch();

  PlannerContext& context_;
  BatchPointer batch_;
  std::map<std::uint64_t, std::uint32_t> ordinals_;  // one for each file system met
  format::ChunkSecret last_chunk_;                   // bundles: neighbours share their chunk
  bool last_chunk_there_ = false;
};

}  // namespace firn::backup
