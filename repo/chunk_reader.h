// Reading chunks: finds the copies of a chunk, reads them, and gives back the first that opens.
//
// Promise: what comes out is exactly the chunk that was asked for, or an error that names chunk and pack.
// Writes nothing to the repository. Copies in condemned packs are tried too. When a pack is gone the index is
// read anew, at most every kReloadEvery: a reader may live for weeks beside prunes. Threads: any.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "repo/base/result.h"
#include "repo/format/chunk.h"
#include "repo/index/chunk_index.h"
#include "repo/repository.h"
#include "repo/tree/page_store.h"
#include "repo/view.h"

namespace firn::repo {

/// A chunk that is missing for good must not make every look for it read the index.
inline constexpr std::chrono::seconds kReloadEvery{2};

/// A copy of a chunk that opened: the stored bytes as they lie in the pack, and what they hold.
struct OpenedCopy {
  format::ChunkShape shape;
  Bytes stored;
  Bytes plain;
};

class ChunkReader {
 public:
  /// `window_bytes`: read-ahead memory for neighbours in meta packs.
  ChunkReader(const Repository& repository, index::ChunkIndex& index, ObjectCache& cache,
              std::size_t window_bytes = 8 << 20);
  ~ChunkReader();

  /// From now on pages that the cache holds are not fetched. For who works on what this node wrote, not for
  /// who is asked whether the repository is whole. Call it before the reader is shared.
  void use_local_pages() { uses_local_pages_ = true; }

  /// Errors: NotFound (no pack holds it), Corrupt (no copy opens; names each pack), and those of the store.
  Result<Bytes> read(format::ChunkType type, const format::ChunkSecret& t);
  /// The same for a chunk of files' contents: data or bundle, as the index says.
  Result<Bytes> read_content(const format::ChunkSecret& t);
  /// How many of the first chunks of `wanted` lie so near to each other in one pack that one request brings
  /// them: at least 1, unless `wanted` is empty. Looks into the index only.
  std::size_t count_neighbours(std::span<const format::ChunkSecret> wanted);
  /// read_content() of each, in order; neighbours come in one request. Each goes to `visit` when it is there.
  using VisitContent = std::function<void(std::size_t place, Result<Bytes> plain)>;
  void read_contents(std::span<const format::ChunkSecret> wanted, const VisitContent& visit);
  Result<Bytes> read_refs(const format::ChunkId& id);
  /// The same with the stored bytes, for whoever stores the chunk again as it is.
  Result<OpenedCopy> read_copy(format::ChunkType type, const format::ChunkSecret& t);
  Result<OpenedCopy> read_refs_copy(const format::ChunkId& id);

  /// Where the copies of a chunk lie, best first (uncondemned before condemned).
  Result<std::vector<index::Location>> locate(const format::ChunkId& id);
  /// Raw bytes of a pack, for restores that plan their own ranges.
  Result<> read_pack(const format::PackName& pack, std::uint64_t offset, MutableBytes out);
  /// Opens a stored chunk that was read with read_pack(). `plain` is replaced and keeps its capacity.
  Result<> open(const index::Location& location, const format::ChunkSecret& t, ByteView stored, Bytes& plain,
                format::Decompressor& decompressor) const;

  const Repository& repository() const { return repository_; }
  index::ChunkIndex& index() { return index_; }

 private:
  struct Windows;
  using OpenCopy = std::function<Result<>(const index::Location&, ByteView stored, Bytes& plain)>;
  using Fits = bool (*)(format::ChunkType wanted, format::ChunkType found);
  /// Chunks that one request brings: where they lie, in the order of the wish.
  struct Run {
    std::vector<index::Location> places;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  Run first_run(std::span<const format::ChunkSecret> wanted);
  Result<OpenedCopy> read_copies(const format::ChunkId& id, format::ChunkType type, Fits fits,
                                 const OpenCopy& open_copy);
  bool open_local(const format::ChunkId& id, const index::Location& location, const OpenCopy& open_copy,
                  OpenedCopy& copy);
  Result<OpenedCopy> read_sealed(format::ChunkType type, const format::ChunkSecret& t, Fits fits);
  Result<> read_window(const index::Location& location, MutableBytes out);
  Result<> reload_index();

  const Repository& repository_;
  index::ChunkIndex& index_;
  ObjectCache& cache_;
  std::unique_ptr<Windows> windows_;
  bool uses_local_pages_ = false;
  base::TaskLock reloading_;
  std::optional<base::SteadyTime> reloaded_;  // under reloading_
};

/// The tree's door into a repository.
class RepositoryPages final : public tree::PageSource {
 public:
  explicit RepositoryPages(ChunkReader& reader) : reader_(reader) {}
  Result<Bytes> read_page(format::ChunkType type, const format::ChunkSecret& t) override;
  Result<Bytes> read_refs(const format::ChunkId& id) override;

 private:
  ChunkReader& reader_;
};

}  // namespace firn::repo
