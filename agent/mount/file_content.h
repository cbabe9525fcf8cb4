// The bytes of an open file: which chunks a range needs, and what is read ahead.
//
// Promise: exactly the file's bytes or an error; nothing that was not asked for makes a read fail. Chunks
// that a range needs are fetched at once, not one after the other. Memory: up to 4,096 slices of a long list
// (a window of about 1 GiB of file), the hole map. Threads: any number of readers.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "agent/mount/chunk_cache.h"
#include "agent/mount/extents.h"
#include "repo/format/tree.h"
#include "repo/tree/page_store.h"
#include "repo/tree/slice_list.h"

namespace firn::mount {

/// Pages through the cache, for one call after the other.
class CachedPages final : public tree::PageSource {
 public:
  explicit CachedPages(ChunkCache& cache, const Call* call = nullptr) : cache_(cache), call_(call) {}
  void set_call(const Call& call) { call_ = &call; }
  Result<Bytes> read_page(format::ChunkType type, const format::ChunkSecret& t) override;
  Result<Bytes> read_refs(const format::ChunkId& id) override;

 private:
  ChunkCache& cache_;
  const Call* call_;
};

/// All bytes of a blob that hangs on an entry. Errors: Corrupt, Cancelled, Unsupported (larger than
/// `bytes_max`), those of the store.
Result<Bytes> read_blob(ChunkCache& cache, const format::Blob& blob, std::uint64_t bytes_max,
                        const Call& call);

/// How many files are being read in order: they share the memory for reading ahead.
using Streams = std::atomic<unsigned>;

class FileContent {
 public:
  /// Reads the hole map. `cache` and `streams` outlive the file. Errors: those of read_blob().
  static Result<std::unique_ptr<FileContent>> open(ChunkCache& cache, Streams& streams,
                                                   const format::Entry& entry, const Call& call);
  ~FileContent();
  FileContent(const FileContent&) = delete;
  FileContent& operator=(const FileContent&) = delete;

  struct Part {
    Chunk chunk;  // null: zeros
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };
  /// What [offset, offset + length) is made of, less what lies behind the end of the file.
  Result<std::vector<Part>> read(std::uint64_t offset, std::uint64_t length, const Call& call);

  const Extents& extents() const { return extents_; }

 private:
  /// Slices of a part of the content, in order.
  struct Window {
    std::vector<tree::PlacedSlice> slices;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  /// A range of the content.
  struct Span {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  struct Order {
    std::uint64_t next = 0;   // where the last read ended, in the content
    std::uint64_t ahead = 0;  // what was read ahead ends here
    unsigned in_order = 0;    // reads that followed each other
    bool is_stream = false;
    std::shared_ptr<const Window> window;
  };

  FileContent(ChunkCache& cache, Streams& streams, format::Blob content, Extents extents);
  Result<std::shared_ptr<const Window>> window_at(std::uint64_t position, const Call& call);
  Result<> append_content(const Span& span, const Call& call, std::vector<Part>& parts);
  void read_ahead(const Span& span, const Window& window);

  ChunkCache& cache_;
  Streams& streams_;
  const format::Blob content_;
  const Extents extents_;
  Chunk inline_bytes_;
  std::mutex mutex_;
  Order order_;  // under mutex_
};

}  // namespace firn::mount
