// A worker: reads what a batch asks for and stores it.
//
// Shape: one worker takes a batch and goes through it in order. Small files are read into the batch's bundle;
// a large file is read in blocks and cut here, its chunks are hashed, compressed and sealed as pieces by all
// workers. Not here: what has to be read (planner), where entries go (assembler). Threads: a Worker belongs
// to one task; pieces run on whichever worker takes them.
#pragma once

#include <memory>
#include <vector>

#include "agent/backup/backup.h"
#include "agent/backup/file_reader.h"
#include "agent/backup/work.h"
#include "agent/backup/work_queue.h"
#include "agent/state/content_table.h"
#include "chunker/cut_selector.h"
#include "chunker/gear.h"
#include "repo/base/budget.h"
#include "repo/tree/slice_list.h"

namespace firn::backup {

/// What all workers share, and outlives them.
struct WorkerContext {
  const BackupContext& backup;
  const chunker::GearTable& table;
  const chunker::CutRules& rules;
  const format::CutSeeds& seeds;
  const format::Parameters& parameters;
  WorkQueue& queue;
  base::ByteBudget& blocks;  // for buffers of large files
  const bool with_atime;
  const state::ContentTable& contents;  // of the source's last backup
};

class Worker {
 public:
  explicit Worker(WorkerContext& context);

  /// Fills in every item of the batch. An error is of the repository, and final.
  Result<> work_on(Batch& batch);

  repo::ChunkWriter& chunks() { return chunks_; }

 private:
  struct BundledFile {
    EntryWork* work = nullptr;
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
  };

  Result<> work_on_item(Item& item);
  void describe(const Item& item, EntryWork& work);
  Result<> read_regular(const Item& item, EntryWork& work);
  Result<> take_small(EntryWork& work, ByteView content);
  Result<bool> take_known(EntryWork& work, std::size_t length);
  Result<bool> may_refer_to(const format::Blob& content);
  Result<> flush_bundle();
  Result<> store_large(scan::SourceFile& file, const scan::Stat& before, EntryWork& work);
  void set_attributes(EntryWork& work, Result<std::vector<scan::Xattr>> xattrs,
                      const Result<scan::Attributes>& attributes);
  Result<format::Blob> store_blob(ByteView bytes, std::size_t inline_max);

  WorkerContext& context_;
  repo::ChunkWriter chunks_;
  repo::SessionPages pages_;
  Bytes small_;  // read buffer for small files
  Bytes bundle_;
  std::vector<BundledFile> bundled_;
};

}  // namespace firn::backup
