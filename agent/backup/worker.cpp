#include "agent/backup/worker.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "repo/base/check.h"
#include "repo/format/blobs.h"
#include "repo/format/cut.h"

namespace firn::backup {
namespace {

using format::Blob;
using format::BlobForm;
using format::ChunkType;
using format::Slice;

constexpr int kReadTriesMax = 4;
constexpr std::size_t kBlockBytes = 2 << 20;
// A piece is worth handing to another core: some chunks of the usual size.
constexpr std::size_t kPieceBytes = 1 << 20;

bool same_version(const scan::Stat& a, const scan::Stat& b) {
  return a.inode == b.inode && a.size_bytes == b.size_bytes && a.mtime == b.mtime && a.ctime == b.ctime;
}

/// A file whose allocated blocks cannot hold its size has holes. Below a block it is the file system's own
/// packing.
bool may_have_holes(const scan::Stat& stat) {
  constexpr std::uint64_t kBlock = 4096;
  return stat.blocks_bytes + kBlock <= stat.size_bytes;
}

/// Chunks of a large file that are on their way, in file order.
struct ChunksInFlight {
  struct Chunk {
    bool stored = false;
    repo::StoredChunk chunk;
    std::uint32_t length = 0;
  };
  std::deque<Chunk> chunks;
  std::uint64_t first = 0;  // number of chunks.front() in the file
  std::size_t pieces = 0;   // not finished
  std::optional<Error> error;
};
using SharedChunks = std::shared_ptr<base::Guarded<ChunksInFlight>>;  // the reader's and its pieces'

/// Neighbouring chunks of a block: what one piece of work stores.
struct ChunkRun {
  std::shared_ptr<const Block> block;  // shared by the runs of a block
  std::size_t first_end = 0;           // index into block->ends
  std::size_t last_end = 0;
  std::uint64_t first_chunk = 0;  // in the file
};

void store_run(Worker& worker, const ChunkRun& run, base::Guarded<ChunksInFlight>& flight) {
  for (std::size_t i = run.first_end; i < run.last_end; ++i) {
    if (flight.lock()->error) {
      break;
    }
    const std::size_t begin = i == 0 ? 0 : run.block->ends[i - 1];
    const ByteView plain = run.block->bytes().subspan(begin, run.block->ends[i] - begin);
    auto stored = worker.chunks().store(ChunkType::Data, plain);
    auto state = flight.lock();
    if (!stored) {
      state->error = std::move(stored).error();
      break;
    }
    auto& slot = state->chunks[run.first_chunk + (i - run.first_end) - state->first];
    slot = {.stored = true, .chunk = *stored, .length = static_cast<std::uint32_t>(plain.size())};
  }
  flight.lock()->pieces -= 1;
}

}  // namespace

Worker::Worker(WorkerContext& context)
    : context_(context), chunks_(context.backup.session), pages_(context.backup.session) {
  bundle_.reserve(2 * static_cast<std::size_t>(context.parameters.bundle_size));
}

Result<> Worker::work_on(Batch& batch) {
  const base::Clock& clock = context_.backup.session.repository().services().clock;
  for (Item& item : batch.items) {
    if (item.work && !item.work->alias) {
      FIRN_TRY(context_.backup.stop.check());
      const base::SteadyTime began = clock.steady();
      FIRN_TRY(work_on_item(item));
      item.work->spent = clock.steady() - began;
    } else if (item.work) {
      describe(item, *item.work);
    }
  }
  return flush_bundle();
}

Result<> Worker::work_on_item(Item& item) {
  EntryWork& work = *item.work;
  describe(item, work);
  if (work.error || work.stat.type != format::FileType::Regular) {
    return {};
  }
  if (work.keep_content) {
    work.entry.content = work.before->content;
    work.entry.holes = work.before->holes;
    work.entry.digest = work.before->digest;
    work.entry.size_bytes = work.before->size_bytes;
    return {};
  }
  return read_regular(item, work);
}

/// Everything of an entry that is not its content.
void Worker::describe(const Item& item, EntryWork& work) {
  const scan::Stat& stat = work.stat;
  format::Entry& entry = work.entry;
  entry.name = item.name;
  entry.type = stat.type;
  entry.mode = stat.mode;
  entry.uid = stat.uid;
  entry.gid = stat.gid;
  entry.mtime = stat.mtime;
  entry.ctime = stat.ctime;
  if (context_.with_atime) {
    entry.atime = stat.atime;
  }
  entry.inode = stat.inode;
  entry.device = work.device_ordinal;
  entry.nlink = stat.nlink;
  if (stat.type == format::FileType::Block || stat.type == format::FileType::Character) {
    entry.rdev = stat.rdev;
  }
  scan::SourceDir& dir = item.directory->self ? *item.directory->self : *item.directory->dir;
  const std::string name = item.directory->self ? std::string() : item.name;
  if (stat.type == format::FileType::Symlink) {
    auto target = dir.read_link(name);
    if (!target) {
      work.error = std::move(target).error();
      return;
    }
    entry.target = *std::move(target);
  }
  if (stat.type != format::FileType::Regular || work.keep_content || work.alias) {
    set_attributes(work, dir.xattrs(name, stat.type), dir.attributes(name, stat.type));
  }
}

/// What could not be read is missing from the entry, and noted.
void Worker::set_attributes(EntryWork& work, Result<std::vector<scan::Xattr>> xattrs,
                            const Result<scan::Attributes>& attributes) {
  work.notes.clear();
  if (attributes) {
    work.entry.inode_flags = attributes->inode_flags;
    work.entry.project_id = attributes->project_id;
  } else {
    work.notes.push_back(attributes.error());
  }
  auto blob = [&]() -> Result<Blob> {
    FIRN_LET(auto found, std::move(xattrs));
    std::vector<format::ExtendedAttribute> list;
    for (scan::Xattr& xattr : found) {
      list.push_back({.name = std::move(xattr.name), .value = std::move(xattr.value)});
    }
    FIRN_LET(const Bytes encoded, format::encode_xattrs(std::move(list)));
    return store_blob(encoded, format::kInlineBlobBytesMax);
  }();
  if (blob) {
    work.entry.xattrs = *std::move(blob);
  } else {
    work.notes.push_back(std::move(blob).error());
  }
}

/// A blob that hangs on an entry: inline, or as one or more chunks.
Result<Blob> Worker::store_blob(ByteView bytes, std::size_t inline_max) {
  if (bytes.empty()) {
    return Blob{};
  }
  if (bytes.size() <= inline_max) {
    return Blob{.form = BlobForm::Inline, .inline_bytes = to_bytes(bytes), .slices = {}, .pages = {}};
  }
  tree::SliceListWriter slices(pages_, context_.seeds);
  while (!bytes.empty()) {
    const ByteView piece = bytes.first(std::min<std::size_t>(bytes.size(), context_.parameters.chunk_max));
    FIRN_LET(const repo::StoredChunk chunk, chunks_.store(ChunkType::Data, piece));
    FIRN_TRY(slices.add({.chunk = chunk.t, .offset = 0, .length = static_cast<std::uint32_t>(piece.size())}));
    bytes = bytes.subspan(piece.size());
  }
  return slices.finish();
}

/// Reads until a version was seen whole, a few times at most. What the world does to one file ends in `work`;
/// the error that comes back is the repository's.
Result<> Worker::read_regular(const Item& item, EntryWork& work) {
  scan::SourceDir& dir = item.directory->self ? *item.directory->self : *item.directory->dir;
  *context_.backup.progress.current_file.lock() =
      "/" + format::path_of({.directory = item.directory->path, .name = item.name});
  const std::size_t small_max = context_.parameters.chunk_min;
  for (int attempt = 1;; ++attempt) {
    work.error.reset();
    auto file = dir.open_file(item.directory->self ? std::string() : item.name);
    auto before = file ? (*file)->stat() : Failure(std::move(file).error());
    if (before && before->type != format::FileType::Regular) {
      before = fail(ErrorCode::Changed, "is no regular file any more");
    }
    if (!before) {
      work.error = std::move(before).error();
      return {};
    }
    set_attributes(work, (*file)->xattrs(), (*file)->attributes());
    const bool small = before->size_bytes <= small_max;
    work.entry.content = {};
    work.entry.holes = {};
    work.entry.digest.reset();
    ByteView content;
    if (small && !may_have_holes(*before)) {
      small_.resize(before->size_bytes);
      std::size_t filled = 0;
      while (filled < small_.size()) {
        auto got = (*file)->read_at(filled, MutableBytes(small_).subspan(filled));
        if (!got) {
          work.error = std::move(got).error();
          return {};
        }
        if (*got == 0) {
          break;
        }
        filled += *got;
      }
      small_.resize(filled);
      content = small_;
      work.entry.size_bytes = filled;
    } else {
      work.entry.size_bytes = before->size_bytes;
      FIRN_TRY(store_large(**file, *before, work));
      if (work.error && work.error->code != ErrorCode::Changed) {
        return {};
      }
    }
    auto after = (*file)->stat();
    if (!after) {
      work.error = std::move(after).error();
      return {};
    }
    const bool stable = !work.error && same_version(*before, *after);
    if (!stable && attempt < kReadTriesMax) {
      continue;
    }
    if (work.error) {
      return {};  // it shrank under every try
    }
    // The entry tells of the version that was read, which may be newer than what the walk saw.
    work.entry.mtime = before->mtime;
    work.entry.ctime = before->ctime;
    work.entry.inode = before->inode;
    work.entry.changed_while_read = !stable;
    return small && !may_have_holes(*before) ? take_small(work, content) : Result<>();
  }
}

/// Small content: inline, or the parent's slice when it is the same, or into the bundle.
Result<> Worker::take_small(EntryWork& work, ByteView content) {
  format::Entry& entry = work.entry;
  context_.backup.progress.bytes_done += content.size();
  if (content.size() <= format::kInlineContentBytesMax) {
    FIRN_LET(entry.content, store_blob(content, format::kInlineContentBytesMax));
    return {};
  }
  entry.digest = chunks_.digest(content);
  FIRN_LET(const bool known, take_known(work, content.size()));
  if (known) {
    return {};
  }
  if (!format::bundle_takes(bundle_.size(), content.size(), context_.parameters.bundle_size)) {
    FIRN_TRY(flush_bundle());
  }
  bundled_.push_back({.work = &work,
                      .offset = static_cast<std::uint32_t>(bundle_.size()),
                      .length = static_cast<std::uint32_t>(content.size())});
  append(bundle_, content);
  return {};
}

/// True when the content that the entry's digest names is in the repository already: where the parent has
/// this very file, or where the last backup had some file of this content.
Result<bool> Worker::take_known(EntryWork& work, std::size_t length) {
  format::Entry& entry = work.entry;
  const auto take = [&](const Blob& content) -> Result<bool> {
    if (content.form != BlobForm::Slices || content.length() != length) {
      return false;
    }
    FIRN_LET(const bool there, may_refer_to(content));
    if (there) {
      entry.content = content;
    }
    return there;
  };
  if (work.before && work.before->digest == entry.digest) {
    FIRN_LET(const bool taken, take(work.before->content));
    if (taken) {
      return true;
    }
  }
  if (work.rebundle) {
    return false;
  }
  const auto slice = context_.contents.find(*entry.digest);
  return slice ? take({.form = BlobForm::Slices, .inline_bytes = {}, .slices = {*slice}, .pages = {}})
               : Result<bool>(false);
}

Result<bool> Worker::may_refer_to(const Blob& content) {
  for (const Slice& slice : content.slices) {
    FIRN_LET(const bool there, context_.backup.session.may_refer(format::chunk_id(slice.chunk)));
    if (!there) {
      return false;
    }
  }
  return true;
}

Result<> Worker::flush_bundle() {
  if (bundled_.empty()) {
    return {};
  }
  FIRN_LET(const repo::StoredChunk chunk, chunks_.store(ChunkType::Bundle, bundle_));
  for (const BundledFile& file : bundled_) {
    file.work->entry.content = {.form = BlobForm::Slices,
                                .inline_bytes = {},
                                .slices = {{.chunk = chunk.t, .offset = file.offset, .length = file.length}},
                                .pages = {}};
    if (chunk.added) {
      file.work->added_bytes = file.length;
    }
  }
  bundled_.back().work->added_stored_bytes = chunk.stored_bytes;
  bundled_.clear();
  bundle_.clear();
  return {};
}

/// Content of any size. Problems of the file end in work.error (Changed: worth another try).
Result<> Worker::store_large(scan::SourceFile& file, const scan::Stat& before, EntryWork& work) {
  FileReader reader(context_.table, context_.rules, file, before, kBlockBytes);
  tree::SliceListWriter slices(pages_, context_.seeds);
  const auto flight = std::make_shared<base::Guarded<ChunksInFlight>>();
  const std::size_t pieces_max =
      4 * static_cast<std::size_t>(context_.backup.session.repository().services().executor.cpu_count());
  std::uint64_t chunks_cut = 0;

  // Slices go into the list in file order, as far as their chunks are stored.
  const auto collect = [&]() -> Result<> {
    while (true) {
      ChunksInFlight::Chunk chunk;
      {
        auto state = flight->lock();
        if (state->error) {
          return Failure(*state->error);
        }
        if (state->chunks.empty() || !state->chunks.front().stored) {
          return {};
        }
        chunk = state->chunks.front();
        state->chunks.pop_front();
        state->first += 1;
      }
      if (chunk.chunk.added) {
        work.added_bytes += chunk.length;
        work.added_stored_bytes += chunk.chunk.stored_bytes;
      }
      context_.backup.progress.bytes_done += chunk.length;
      FIRN_TRY(slices.add({.chunk = chunk.chunk.t, .offset = 0, .length = chunk.length}));
    }
  };
  const auto help_until_pieces_below = [&](std::size_t count) {
    context_.queue.help_until(
        [&] {
          auto state = flight->lock();
          return state->pieces < count;
        },
        [&](Piece& piece) { piece(*this); });
  };

  std::optional<Error> read_error;
  while (true) {
    if (auto stop = context_.backup.stop.check(); !stop) {
      help_until_pieces_below(1);
      return stop;
    }
    // One block a file is always allowed; more only as the budget has room.
    base::ByteBudget::Lease lease = context_.blocks.try_acquire(reader.block_memory_bytes());
    if (lease.bytes() == 0) {
      help_until_pieces_below(1);
    }
    help_until_pieces_below(pieces_max);
    auto read = reader.next(std::move(lease));
    if (!read) {
      read_error = std::move(read).error();
      break;
    }
    if (!*read) {
      break;
    }
    const auto block = std::make_shared<const Block>(*std::move(*read));
    std::size_t first = 0;
    while (first < block->ends.size()) {
      const std::size_t begin = first == 0 ? 0 : block->ends[first - 1];
      std::size_t last = first + 1;
      while (last < block->ends.size() && block->ends[last] - begin <= kPieceBytes) {
        ++last;
      }
      const ChunkRun run{.block = block, .first_end = first, .last_end = last, .first_chunk = chunks_cut};
      chunks_cut += last - first;
      {
        auto state = flight->lock();
        state->chunks.resize(state->chunks.size() + (last - first));
        state->pieces += 1;
      }
      if (last == block->ends.size()) {
        store_run(*this, run, *flight);  // the reader does its share instead of waiting
      } else {
        WorkQueue& queue = context_.queue;
        queue.push([run, flight, &queue](Worker& worker) {
          store_run(worker, run, *flight);
          queue.wake();
        });
      }
      first = last;
    }
    FIRN_TRY(collect());
  }
  help_until_pieces_below(1);
  FIRN_TRY(collect());
  if (read_error) {
    work.error = std::move(read_error);
    return {};
  }
  FIRN_CHECK(slices.length() == reader.content_bytes());
  FIRN_LET(work.entry.content, slices.finish());
  FIRN_LET(work.entry.holes, store_blob(reader.holes(), format::kInlineBlobBytesMax));
  if (file.is_stream()) {
    work.entry.size_bytes = reader.content_bytes();
  }
  return {};
}

}  // namespace firn::backup
