// What a running backup has done so far, kept locally so that the next one need not do it again when this is
// killed.
//
// The log holds the leaf pages of the tree that is being written, in order, sealed with a key of the
// repository's; it is thrown away when the snapshot is committed. Promise: what a reader gives was written
// whole by a backup of the same source; a torn or foreign log is an empty one. It proves nothing about
// chunks: the session is asked for each. Threads: one caller.
#pragma once

#include <memory>
#include <optional>

#include "repo/base/clock.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"
#include "repo/kv/local_kv.h"
#include "repo/repository.h"
#include "repo/tree/page_store.h"

namespace firn::state {

/// Pages of an earlier, unfinished backup.
class ResumeReader {
 public:
  /// Null when there is none of this source.
  static std::unique_ptr<ResumeReader> open(kv::LocalKv& state, const repo::Repository& repository,
                                            const format::SourceTag& source);
  base::WallTime scan_start() const { return scan_start_; }
  /// The next leaf page; empty after the last. Errors: Corrupt.
  Result<std::optional<Bytes>> next_page();

 private:
  ResumeReader(std::unique_ptr<kv::Environment> environment, const repo::Repository& repository)
      : environment_(std::move(environment)), repository_(repository) {}

  std::unique_ptr<kv::Environment> environment_;
  const repo::Repository& repository_;
  base::WallTime scan_start_;
  std::uint64_t next_ = 0;
};

/// A page sink that also writes the log.
class ResumeWriter final : public tree::PageSink {
 public:
  /// Begins a new log beside the one that may be read at the same time.
  ResumeWriter(kv::LocalKv& state, const repo::Repository& repository, const format::SourceTag& source,
               base::WallTime scan_start, tree::PageSink& pages);

  Result<tree::StoredPage> store_page(format::ChunkType type, ByteView plain) override;
  Result<format::ChunkId> store_refs(ByteView plain) override { return pages_.store_refs(plain); }

  /// The snapshot is committed: nothing is left to resume.
  void finished();

 private:
  void log(ByteView page);

  kv::LocalKv& state_;
  const repo::Repository& repository_;
  tree::PageSink& pages_;
  std::unique_ptr<kv::Environment> environment_;  // null when the disk would not have it: no log then
  std::string name_;
  std::uint64_t next_ = 0;
};

}  // namespace firn::state
