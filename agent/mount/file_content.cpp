#include "agent/mount/file_content.h"

#include <algorithm>
#include <utility>

namespace firn::mount {
namespace {

using format::BlobForm;

constexpr std::size_t kWindowSlices = 4096;
constexpr std::uint64_t kHoleMapBytesMax = 64 << 20;
constexpr std::uint64_t kAheadBytesMax = 16 << 20;
constexpr std::uint64_t kAheadBytesMin = 1 << 20;
/// Reading ahead goes on when this part of the share is free, so that what is asked for has neighbours.
constexpr std::uint64_t kAheadStep = 4;
/// The kernel's own read-ahead comes in several requests, whose order its threads shuffle.
constexpr std::uint64_t kShuffleBytes = 1 << 20;
/// Reads in order before a file counts as a stream: a look at a file's head costs no more than the head.
constexpr unsigned kStreamReads = 2;

Result<ByteView> bytes_of(const Bytes& chunk, const format::Slice& slice) {
  if (std::uint64_t{slice.offset} + slice.length > chunk.size()) {
    return fail(ErrorCode::Corrupt,
                "a slice reaches behind the end of its chunk " + format::chunk_id(slice.chunk).hex());
  }
  return ByteView(chunk).subspan(slice.offset, slice.length);
}

}  // namespace

Result<Bytes> CachedPages::read_page(format::ChunkType type, const format::ChunkSecret& t) {
  const ChunkKind kind = type == format::ChunkType::SlicePage ? ChunkKind::SlicePage : ChunkKind::TreePage;
  FIRN_LET(const Chunk page, cache_.get(kind, t, *call_));
  return *page;
}

Result<Bytes> CachedPages::read_refs(const format::ChunkId&) {
  return fail(ErrorCode::Unsupported, "a mount does not read refs pages");
}

Result<Bytes> read_blob(ChunkCache& cache, const format::Blob& blob, std::uint64_t bytes_max,
                        const Call& call) {
  if (blob.form == BlobForm::Empty || blob.form == BlobForm::Inline) {
    return blob.inline_bytes;
  }
  if (blob.length() > bytes_max) {
    return fail(ErrorCode::Unsupported,
                "an attribute or hole map is too large: " + std::to_string(blob.length()) + " bytes");
  }
  CachedPages pages(cache, &call);
  tree::SliceListReader slices(pages, blob);
  Bytes bytes;
  for (;;) {
    FIRN_LET(const auto placed, slices.next());
    if (!placed) {
      return bytes;
    }
    FIRN_LET(const Chunk chunk, cache.get(ChunkKind::Content, placed->slice.chunk, call));
    FIRN_LET(const ByteView piece, bytes_of(*chunk, placed->slice));
    append(bytes, piece);
  }
}

Result<std::unique_ptr<FileContent>> FileContent::open(ChunkCache& cache, Streams& streams,
                                                       const format::Entry& entry, const Call& call) {
  std::vector<format::Hole> holes;
  if (entry.holes.form != BlobForm::Empty) {
    FIRN_LET(const Bytes map, in("hole map", read_blob(cache, entry.holes, kHoleMapBytesMax, call)));
    FIRN_LET(holes, format::parse_holes(map, entry.size_bytes, entry.content.length()));
  }
  return std::unique_ptr<FileContent>(
      new FileContent(cache, streams, entry.content, Extents(std::move(holes), entry.size_bytes)));
}

FileContent::FileContent(ChunkCache& cache, Streams& streams, format::Blob content, Extents extents)
    : cache_(cache), streams_(streams), content_(std::move(content)), extents_(std::move(extents)) {
  if (content_.form == BlobForm::Inline) {
    inline_bytes_ = std::make_shared<const Bytes>(content_.inline_bytes);
  }
}

FileContent::~FileContent() {
  if (order_.is_stream) {
    --streams_;
  }
}

Result<std::vector<FileContent::Part>> FileContent::read(std::uint64_t offset, std::uint64_t length,
                                                         const Call& call) {
  std::vector<Part> parts;
  const std::uint64_t size_bytes = extents_.size_bytes();
  if (offset >= size_bytes) {
    return parts;
  }
  const std::uint64_t end = offset + std::min(length, size_bytes - offset);
  while (offset < end) {
    const Extents::Run run = extents_.at(offset);
    const std::uint64_t until = std::min(end, run.end);
    if (run.is_hole) {
      parts.push_back({.chunk = nullptr, .offset = 0, .length = until - offset});
    } else {
      const std::uint64_t position = run.content_begin + (offset - run.begin);
      FIRN_TRY(append_content({.begin = position, .end = position + (until - offset)}, call, parts));
    }
    offset = until;
  }
  return parts;
}

Result<> FileContent::append_content(const Span& span, const Call& call, std::vector<Part>& parts) {
  if (inline_bytes_) {
    parts.push_back({.chunk = inline_bytes_, .offset = span.begin, .length = span.end - span.begin});
    return {};
  }
  for (std::uint64_t position = span.begin; position < span.end;) {
    FIRN_LET(const auto window, window_at(position, call));
    const std::uint64_t until = std::min(span.end, window->end);
    auto slice = std::upper_bound(
        window->slices.begin(), window->slices.end(), position,
        [](std::uint64_t at, const tree::PlacedSlice& placed) { return at < placed.position; });
    --slice;
    if (slice->position + slice->slice.length < until) {
      // The first one is fetched by get(), the others meanwhile.
      std::vector<format::ChunkSecret> others;
      for (auto other = slice + 1; other != window->slices.end() && other->position < until; ++other) {
        others.push_back(other->slice.chunk);
      }
      cache_.prefetch(ChunkKind::Content, others);
    }
    read_ahead({.begin = position, .end = until}, *window);
    for (; position < until; ++slice) {
      FIRN_LET(const Chunk chunk, cache_.get(ChunkKind::Content, slice->slice.chunk, call));
      FIRN_TRY(bytes_of(*chunk, slice->slice));
      const std::uint64_t inside = position - slice->position;
      const std::uint64_t count = std::min(slice->slice.length - inside, until - position);
      parts.push_back({.chunk = chunk, .offset = slice->slice.offset + inside, .length = count});
      position += count;
    }
  }
  return {};
}

Result<std::shared_ptr<const FileContent::Window>> FileContent::window_at(std::uint64_t position,
                                                                          const Call& call) {
  {
    const std::lock_guard lock(mutex_);
    if (order_.window && position >= order_.window->begin && position < order_.window->end) {
      return order_.window;
    }
  }
  // Not under the lock: pages may have to be fetched.
  CachedPages pages(cache_, &call);
  tree::SliceListReader reader(pages, content_, position);
  auto fresh = std::make_shared<Window>();
  while (fresh->slices.size() < kWindowSlices) {
    FIRN_LET(const auto placed, reader.next());
    if (!placed) {
      break;
    }
    fresh->slices.push_back(*placed);
  }
  if (fresh->slices.empty()) {
    return fail(ErrorCode::Corrupt, "the slices end before the content does");
  }
  fresh->begin = fresh->slices.front().position;
  fresh->end = fresh->slices.back().position + fresh->slices.back().slice.length;
  if (position < fresh->begin || position >= fresh->end) {
    return fail(ErrorCode::Corrupt, "the slices end before the content does");
  }
  const std::lock_guard lock(mutex_);
  order_.window = fresh;
  return std::shared_ptr<const Window>(std::move(fresh));
}

/// A file that is read in order has the chunks behind the reader fetched, as far as its share of the cache
/// goes: more would push out what was not read yet.
void FileContent::read_ahead(const Span& span, const Window& window) {
  std::vector<format::ChunkSecret> wanted;
  {
    const std::lock_guard lock(mutex_);
    const bool follows = span.begin <= order_.next + kShuffleBytes && span.end + kShuffleBytes >= order_.next;
    order_.in_order = follows ? order_.in_order + 1 : 0;
    order_.next = follows ? std::max(order_.next, span.end) : span.end;
    if (!follows) {
      order_.ahead = 0;
    }
    if (order_.in_order >= kStreamReads && !order_.is_stream) {
      order_.is_stream = true;
      ++streams_;
    } else if (!follows && order_.is_stream) {
      order_.is_stream = false;
      --streams_;
    }
    if (!order_.is_stream) {
      return;
    }
    const std::uint64_t share =
        std::clamp(cache_.bytes_max() / 2 / std::max(1U, streams_.load()), kAheadBytesMin, kAheadBytesMax);
    const std::uint64_t from = std::max(order_.ahead, order_.next);
    const std::uint64_t until = order_.next + share;
    if (from + share / kAheadStep > until) {
      return;
    }
    auto slice = std::upper_bound(
        window.slices.begin(), window.slices.end(), from,
        [](std::uint64_t at, const tree::PlacedSlice& placed) { return at <= placed.position; });
    for (; slice != window.slices.end() && slice->position < until; ++slice) {
      wanted.push_back(slice->slice.chunk);
      order_.ahead = slice->position + slice->slice.length;
    }
  }
  cache_.prefetch(ChunkKind::Content, wanted);
}

}  // namespace firn::mount
