#include "repo/transcribe.h"

#include <algorithm>
#include <atomic>
#include <unordered_set>
#include <utility>

#include "repo/base/parallel.h"
#include "repo/tree/slice_list.h"
#include "repo/tree/tree_cursor.h"

namespace firn::repo {
namespace {

using format::BlobForm;
using format::ChunkSecret;

// Some 20 MiB: the chunks of 32 GB of large files, or of far more in small ones.
constexpr std::size_t kMovedMax = 1 << 17;
constexpr std::size_t kPendingEntriesMax = 512;
constexpr std::size_t kPendingChunksMax = 128;

bool is_damage(const Error& error) {
  return error.code == ErrorCode::Corrupt || error.code == ErrorCode::NotFound;
}

}  // namespace

Transcriber::Transcriber(base::Executor& executor, tree::PageSource& from, tree::PageSink& to,
                         const format::CutSeeds& seeds, ChunkMover& mover, TranscribeOptions options)
    : executor_(executor), from_(from), to_(to), seeds_(seeds), mover_(mover), options_(std::move(options)) {}

Result<> Transcriber::take_loss(const std::string& path, const Error& why) {
  if (!options_.keep_what_opens || !is_damage(why)) {
    return Failure(Error(why).in("/" + path));
  }
  if (options_.lost) {
    options_.lost("/" + path, why);
  }
  return {};
}

/// Moves those that were not moved before. A lost chunk is remembered as such.
Result<> Transcriber::move_all(const std::vector<ChunkSecret>& chunks) {
  if (moved_.size() + chunks.size() > kMovedMax) {
    moved_.clear();
  }
  std::vector<ChunkSecret> wanted;
  std::unordered_set<ChunkSecret> seen;
  for (const ChunkSecret& chunk : chunks) {
    if (!moved_.contains(chunk) && seen.insert(chunk).second) {
      wanted.push_back(chunk);
    }
  }
  std::vector<Moved> answers(wanted.size());
  std::atomic<std::size_t> next{0};
  FIRN_TRY(base::for_each_parallel(executor_, "move", options_.tasks, options_.tasks,
                                   [&](std::size_t task) -> Result<> {
                                     for (std::size_t i = next++; i < wanted.size(); i = next++) {
                                       answers[i] = mover_.move(static_cast<unsigned>(task), wanted[i]);
                                       if (!answers[i] && !is_damage(answers[i].error())) {
                                         return Failure(answers[i].error());
                                       }
                                     }
                                     return {};
                                   }));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    moved_.insert_or_assign(wanted[i], std::move(answers[i]));
  }
  return {};
}

/// The blob with its slices where they are now. Slice pages are read and written batch by batch.
Result<format::Blob> Transcriber::rewritten(const format::Blob& blob) {
  if (blob.form == BlobForm::Empty || blob.form == BlobForm::Inline) {
    return blob;
  }
  tree::SliceListReader slices(from_, blob);
  tree::SliceListWriter writer(to_, seeds_);
  std::vector<format::Slice> batch;
  bool more = true;
  while (more) {
    batch.clear();
    while (batch.size() < kPendingChunksMax) {
      FIRN_LET(const auto placed, slices.next());
      more = placed.has_value();
      if (!more) {
        break;
      }
      batch.push_back(placed->slice);
    }
    std::vector<ChunkSecret> chunks;
    for (const format::Slice& slice : batch) {
      chunks.push_back(slice.chunk);
    }
    FIRN_TRY(move_all(chunks));
    for (format::Slice slice : batch) {
      FIRN_LET(slice.chunk, Result<ChunkSecret>(moved_.at(slice.chunk)));
      FIRN_TRY(writer.add(slice));
    }
  }
  return writer.finish();
}

Result<> Transcriber::write_entry(tree::TreeWriter& writer, Pending& pending) {
  format::Entry& entry = pending.entry;
  const std::string path = format::path_of({.directory = pending.directory, .name = entry.name});
  if (!options_.keep_digests) {
    entry.digest.reset();
  }
  auto content = rewritten(entry.content);
  auto holes = content ? rewritten(entry.holes) : Result<format::Blob>();
  if (!content || !holes) {
    return take_loss(path, content ? holes.error() : content.error());
  }
  entry.content = *std::move(content);
  entry.holes = *std::move(holes);
  if (auto xattrs = rewritten(entry.xattrs)) {
    entry.xattrs = *std::move(xattrs);
  } else {
    FIRN_TRY(take_loss(path, std::move(xattrs).error().in("its extended attributes")));
    entry.xattrs = {};
  }
  return writer.add(pending.directory, entry);
}

Result<> Transcriber::write_pending(tree::TreeWriter& writer) {
  FIRN_TRY(move_all(pending_chunks_));
  pending_chunks_.clear();
  for (Pending& pending : pending_) {
    FIRN_TRY(write_entry(writer, pending));
  }
  pending_.clear();
  return {};
}

Result<> Transcriber::add(tree::TreeWriter& writer, const format::Key& key, const format::EntryView& entry) {
  pending_.push_back({.directory = std::string(key.directory), .entry = format::to_entry(entry)});
  for (const format::Blob* blob :
       {&pending_.back().entry.content, &pending_.back().entry.holes, &pending_.back().entry.xattrs}) {
    if (blob->form == BlobForm::Slices) {
      for (const format::Slice& slice : blob->slices) {
        pending_chunks_.push_back(slice.chunk);
      }
    }
  }
  const bool full = pending_.size() >= kPendingEntriesMax || pending_chunks_.size() >= kPendingChunksMax;
  return full ? write_pending(writer) : Result<>();
}

Result<tree::WrittenTree> Transcriber::run(const ChunkSecret& root) {
  pending_.clear();
  pending_chunks_.clear();
  tree::TreeWriter writer(to_, seeds_);
  tree::TreeCursor cursor(from_, root, {});
  std::string behind;  // the last path that was read
  bool any = false;
  while (cursor.at() != tree::TreeCursor::At::End) {
    if (cursor.at() == tree::TreeCursor::At::Page) {
      const bool at_root = cursor.at_root();
      auto opened = cursor.open_page();
      if (!opened && at_root) {
        return Failure(std::move(opened).error());
      }
      if (!opened) {
        FIRN_TRY(take_loss(behind, std::move(opened).error().in("what follows")));
        FIRN_TRY(cursor.skip_page());
      }
      continue;
    }
    if (!any && !cursor.entry().name.empty()) {
      format::Entry top;  // the page that held the root's own entry is lost
      top.type = format::FileType::Directory;
      top.mode = 0700;
      pending_.push_back({.directory = {}, .entry = top});
    }
    any = true;
    behind = format::path_of(cursor.key());
    FIRN_TRY(add(writer, cursor.key(), cursor.entry()));
    if (auto next = cursor.next_entry(); !next) {
      FIRN_TRY(take_loss(behind, std::move(next).error().in("what follows")));
      FIRN_TRY(cursor.abandon_page());
    }
  }
  FIRN_TRY(write_pending(writer));
  return writer.finish();
}

}  // namespace firn::repo
