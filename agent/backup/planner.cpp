#include "agent/backup/planner.h"

#include <algorithm>
#include <string>
#include <utility>

#include "repo/base/check.h"
#include "repo/format/cut.h"
#include "repo/tree/refs_walk.h"

namespace firn::backup {
namespace {

using format::BlobForm;
using format::FileType;

constexpr std::size_t kBatchItemsMax = 4096;
constexpr std::uint64_t kBatchMemoryMax = 2 << 20;
// Enough to keep a worker busy for some milliseconds; more only so as not to cut a bundle short.
constexpr std::uint64_t kBatchReadBytes = 8 << 20;
constexpr std::uint64_t kBatchReadBytesMax = 64 << 20;

/// Asks the session for every chunk below a refs page; stops at the first that is gone.
class ReferCheck final : public tree::RefsVisitor {
 public:
  explicit ReferCheck(repo::WriteSession& session) : session_(session) {}
  Result<bool> enter(const format::ChunkId& refs_page) override {
    FIRN_TRY(ask(refs_page));
    return all_there_;
  }
  Result<> chunk(const format::ChunkId& id) override { return ask(id); }
  bool all_there() const { return all_there_; }

 private:
  Result<> ask(const format::ChunkId& id) {
    if (all_there_) {
      FIRN_LET(all_there_, session_.may_refer(id));
    }
    return {};
  }
  repo::WriteSession& session_;
  bool all_there_ = true;
};

}  // namespace

Result<> Planner::run() {
  auto& progress = context_.backup.progress;
  while (true) {
    FIRN_TRY(context_.backup.stop.check());
    FIRN_LET(auto walked, context_.walker.next());
    if (!walked) {
      break;
    }
    FIRN_TRY(take(*walked));
  }
  progress.scan_finished.store(true);
  return finish_batch();
}

Result<> Planner::take(scan::WalkBatch& walked) {
  const auto directory = std::make_shared<const Directory>(
      Directory{.path = walked.directory, .dir = walked.dir, .self = walked.self});
  for (scan::WalkProblem& problem : walked.problems) {
    Item item{.directory = directory,
              .name = std::move(problem.name),
              .record = {},
              .problem = std::move(problem.error)};
    add(std::move(item));
  }
  for (const scan::WalkEntry& entry : walked.entries) {
    FIRN_TRY(plan_entry(directory, entry));
    if (batch_is_full()) {
      FIRN_TRY(finish_batch());
    }
  }
  return {};
}

Result<> Planner::plan_entry(const std::shared_ptr<const Directory>& directory,
                             const scan::WalkEntry& entry) {
  const scan::Stat& stat = entry.stat;
  auto& progress = context_.backup.progress;
  if (stat.type != FileType::Directory) {
    progress.files_found += 1;
    progress.bytes_found += stat.type == FileType::Regular ? stat.size_bytes : 0;
  }
  Item item{.directory = directory, .name = std::string(entry.name)};
  FIRN_LET(const auto known, context_.parent.at({.directory = directory->path, .name = entry.name}));
  const std::uint32_t device = ordinal(stat.device);
  const bool rebundle =
      known && context_.rebundling.takes(bundle_slice(*known->entry), known->entry->size_bytes);
  if (known && known->entry->device == device && !rebundle) {
    FIRN_LET(const bool taken, take_over(*known, item, stat));
    if (taken) {
      add(std::move(item));
      return {};
    }
  }
  item.work = std::make_unique<EntryWork>();
  item.work->stat = stat;
  item.work->device_ordinal = device;
  item.work->rebundle = rebundle;
  if (known) {
    const bool looks_same = looks_unchanged(*known->entry, stat);
    item.work->action = looks_same ? Action::Unchanged : Action::Modified;
    if (stat.type == FileType::Regular && !rebundle && (looks_same || known->entry->digest)) {
      item.work->before = format::to_entry(*known->entry);
    }
  }
  if (stat.type == FileType::Regular) {
    if (stat.nlink > 1) {
      FIRN_LET(const bool first, context_.links.first_name(stat));
      item.work->alias = !first;
    }
    const std::string path = format::path_of({.directory = directory->path, .name = entry.name});
    const bool small = stat.size_bytes <= context_.parameters.chunk_min;
    if (small && !item.work->alias && stat.size_bytes > format::kInlineContentBytesMax) {
      const std::uint32_t bundle_size = context_.parameters.bundle_size;
      if (batch_ && !format::bundle_takes(batch_->bundle_bytes, stat.size_bytes, bundle_size)) {
        FIRN_TRY(finish_batch());
      }
      const std::uint64_t size_bytes = stat.size_bytes;
      add(std::move(item));
      batch_->bundle_bytes += size_bytes;
      batch_->read_bytes += size_bytes;
      return format::bundle_ends_after(context_.seeds.bundle, path, size_bytes, bundle_size) ? finish_batch()
                                                                                             : Result<>();
    }
    const std::uint64_t read_bytes = item.work->alias ? 0 : stat.size_bytes;
    add(std::move(item));
    batch_->read_bytes += read_bytes;
    return {};
  }
  add(std::move(item));
  return {};
}

/// True when the parent's record stands for the entry as it is now.
Result<bool> Planner::take_over(const Known& known, Item& item, const scan::Stat& stat) {
  const BackupOptions& options = context_.options;
  const format::EntryView& before = *known.entry;
  const bool may_differ_in_times = options.skip_if_unchanged && only_passed_through(item, before, stat);
  if (!may_differ_in_times && ((options.force && stat.type == FileType::Regular) ||
                               !looks_unchanged(before, stat) || !settled(known))) {
    return false;
  }
  FIRN_LET(const bool there, may_refer_to(before));
  if (!there) {
    return false;
  }
  if (may_differ_in_times) {
    item.record = to_bytes(before.encoded);
    return true;
  }
  const bool same_atime = options.with_atime ? before.atime == stat.atime : !before.atime.has_value();
  const bool same_record =
      same_atime && before.ctime == stat.ctime && before.inode == stat.inode && before.nlink == stat.nlink;
  if (same_record) {
    item.record = to_bytes(before.encoded);
  } else if (stat.type == FileType::Regular) {
    // Told to ignore what differs: the content is the parent's, everything else as it is now.

    item.work = std::make_unique<EntryWork>();
    item.work->stat = stat;
    item.work->device_ordinal = before.device;
    item.work->action = Action::Unchanged;
    item.work->keep_content = true;
    item.work->before = format::to_entry(before);
  } else {
    return false;
  }
  item.size_bytes = before.size_bytes;
  return true;
}

/// A directory above the sources whose times change with neighbours that are not backed up: no change of what
/// is backed up.
bool Planner::only_passed_through(const Item& item, const format::EntryView& before,
                                  const scan::Stat& stat) const {
  const std::string path = "/" + format::path_of({.directory = item.directory->path, .name = item.name}) +
                           (item.name.empty() ? "" : "/");
  const auto is_below = [&](const std::string& root) {
    return root.size() > path.size() && root.starts_with(path);
  };
  const auto& roots = context_.options.walk.roots;
  return stat.type == FileType::Directory && before.type == stat.type && before.mode == stat.mode &&
         before.uid == stat.uid && before.gid == stat.gid && !context_.options.walk.tree_begins_at_root &&
         std::any_of(roots.begin(), roots.end(), is_below) &&
         std::find(roots.begin(), roots.end(), path.substr(0, path.size() - 1)) == roots.end();
}

/// By what the file system says of it.
bool Planner::looks_unchanged(const format::EntryView& before, const scan::Stat& stat) const {
  const BackupOptions& options = context_.options;
  const bool same_size = stat.type != FileType::Regular || before.size_bytes == stat.size_bytes;
  return before.type == stat.type && same_size && before.mtime == stat.mtime && !before.changed_while_read &&
         (options.ignore_ctime || before.ctime == stat.ctime) &&
         (options.ignore_inode || before.inode == stat.inode);
}

/// A ctime from about when the earlier scan began proves nothing: the file may have changed again after it
/// was read, within one step of the file system's clock.
bool Planner::settled(const Known& known) const {
  const format::Timestamp& last = context_.options.ignore_ctime ? known.entry->mtime : known.entry->ctime;
  // Kernels step by up to 10 ms; a time without a fraction comes from a file system that steps by up to 2 s.
  const std::int64_t step = last.nanoseconds == 0 ? 2'000'000'000 : 20'000'000;
  const std::int64_t before_scan = known.scanned.nanoseconds - step;
  const format::Timestamp limit{.seconds = before_scan / 1'000'000'000,
                                .nanoseconds = static_cast<std::uint32_t>(before_scan % 1'000'000'000)};
  return last < limit;
}

Result<bool> Planner::may_refer_to(const format::EntryView& entry) {
  for (const format::BlobView* blob : {&entry.content, &entry.holes, &entry.xattrs}) {
    FIRN_LET(const bool there, may_refer_to(*blob));
    if (!there) {
      return false;
    }
  }
  return true;
}

Result<bool> Planner::may_refer_to(const format::BlobView& blob) {
  repo::WriteSession& session = context_.backup.session;
  if (blob.form == BlobForm::Slices) {
    for (const format::Slice& slice : blob.slices) {
      if (slice.chunk != last_chunk_) {
        FIRN_LET(last_chunk_there_, session.may_refer(format::chunk_id(slice.chunk)));
        last_chunk_ = slice.chunk;
      }
      if (!last_chunk_there_) {
        return false;
      }
    }
  }
  if (blob.form == BlobForm::Pages) {
    FIRN_LET(const bool top_there, session.may_refer(format::chunk_id(blob.pages.root)));
    ReferCheck check(session);
    repo::RepositoryPages pages(context_.backup.reader);
    // A refs page that cannot be read proves nothing, so the file is read again.
    const auto walked = tree::walk_refs(pages, blob.pages.refs, check);
    return top_there && walked && check.all_there();
  }
  return true;
}

std::uint32_t Planner::ordinal(std::uint64_t device) {
  return ordinals_.try_emplace(device, static_cast<std::uint32_t>(ordinals_.size())).first->second;
}

void Planner::add(Item item) {
  if (!batch_) {
    batch_ = std::make_shared<Batch>(context_.backup.session.repository().services().executor);
  }
  batch_->memory_bytes +=
      sizeof(Item) + item.name.size() + item.record.size() + (item.work ? sizeof(EntryWork) : 0);
  batch_->items.push_back(std::move(item));
}

bool Planner::batch_is_full() const {
  if (!batch_) {
    return false;
  }
  const bool much_to_read =
      batch_->read_bytes >= (batch_->bundle_bytes == 0 ? kBatchReadBytes : kBatchReadBytesMax);
  return batch_->items.size() >= kBatchItemsMax || batch_->memory_bytes >= kBatchMemoryMax || much_to_read;
}

Result<> Planner::finish_batch() {
  if (!batch_) {
    return {};
  }
  BatchPointer batch = std::exchange(batch_, nullptr);
  if (!context_.assembly.push(batch)) {
    return fail(ErrorCode::Cancelled, "the backup was stopped");
  }
  context_.work.push(std::move(batch));
  return {};
}

}  // namespace firn::backup
