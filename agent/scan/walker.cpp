// How it works: one list of items in output order stands for what is left of the walk. An item is a batch
// that is ready, something that a task is working on, or directories that nobody has begun. Finished work is
// replaced in its place by what it gave: its batch, then its subdirectories. Tasks begin the first item that
// nobody has begun, and look ahead only as far as the memory bound allows; the first item of all may always
// be begun, so the walk never stands still. The consumer takes batches from the front of the list, and works
// itself when there are none.
#include "agent/scan/walker.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <list>
#include <map>
#include <utility>
#include <vector>

#include "agent/scan/linux_calls.h"
#include "agent/scan/name_sorter.h"
#include "agent/scan/pending_names.h"
#include "repo/base/check.h"
#include "repo/base/task_group.h"

namespace firn::scan {

namespace {

// How many batches the consumer takes at once.
constexpr std::size_t kTakeBatches = 32;
// A list of subdirectories is moved to scratch only when that frees something.
constexpr std::size_t kSpillBytesMin = 512;
// How many of the directories on the way to one that must be opened again are kept open.
constexpr std::size_t kReopenedKept = 64;

// The roots as a tree: which names of a directory lead to roots.
struct Anchor {
  std::map<std::string, Anchor> below;
  bool is_root = false;
};

struct Dir;

// Shares a Dir between its subdirectories, which find their path through it, and the items that hold what is
// left of it. Not shared_ptr: a chain may be ten thousand directories long, and must not be freed by
// recursion.
class DirRef {
 public:
  DirRef() = default;
  static DirRef make();
  DirRef(const DirRef& other);
  DirRef(DirRef&& other) noexcept : dir_(std::exchange(other.dir_, nullptr)) {}
  DirRef& operator=(DirRef other) noexcept {
    std::swap(dir_, other.dir_);
    return *this;
  }
  ~DirRef();
  Dir* get() const { return dir_; }
  Dir* operator->() const { return dir_; }
  Dir& operator*() const { return *dir_; }
  explicit operator bool() const { return dir_ != nullptr; }

 private:
  Dir* dir_ = nullptr;
};

// A directory that was begun.
struct Dir {
  std::atomic<std::size_t> references{1};
  DirRef parent;
  std::string name;
  std::size_t path_bytes = 0;
  std::uint64_t device = 0;    // what Crossing::SameDevice compares with
  std::uint64_t mount_id = 0;  // what Crossing::SameMount compares with; 0 = compare devices
  const Anchor* anchor = nullptr;
  bool partial = false;  // only what leads to roots is walked
  Filter::State filter;
  // Below: guarded by the walker's lock.
  std::shared_ptr<SourceDir> handle;  // empty when it was closed to save descriptors
  std::size_t items = 0;              // Pending and Large items of it
  std::size_t chunks_out = 0;         // of a large directory: begun, and not emitted
  bool large_done = false;            // of a large directory: all its chunks are begun
};

DirRef DirRef::make() {
  DirRef ref;
  ref.dir_ = new Dir();
  return ref;
}

DirRef::DirRef(const DirRef& other) : dir_(other.dir_) {
  if (dir_ != nullptr) {
    dir_->references.fetch_add(1, std::memory_order_relaxed);
  }
}

DirRef::~DirRef() {
  while (dir_ != nullptr && dir_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    Dir* parent = std::exchange(dir_->parent.dir_, nullptr);
    delete dir_;
    dir_ = parent;
  }
}

std::string path_of(const Dir& dir) {
  std::string path(dir.path_bytes, '/');
  std::size_t end = path.size();
  for (const Dir* at = &dir; at->parent; at = at->parent.get()) {
    path.replace(end - at->name.size(), at->name.size(), at->name);
    end -= at->name.size() + (at->parent->parent ? 1 : 0);
  }
  return path;
}

std::string join(const std::string& directory, std::string_view name) {
  std::string path = directory;
  if (!path.empty() && !name.empty()) {
    path.push_back('/');
  }
  return path.append(name);
}

// What a task found, on its way into the list.
struct Found {
  DirRef dir;
  std::vector<WalkBatch> batches;
  PendingNames subdirs;
  std::unique_ptr<NameSorter> large;  // names that are too many for one batch
};

struct Item {
  enum class Kind : std::uint8_t {
    Root,     // the root of the tree, not begun
    Pending,  // `names`: subdirectories of `dir`, not begun
    Large,    // `sorter`: names of `dir`, not begun; null while a task takes some from it
    Running,  // a task works on it
    Ready,    // `batch`
  };
  Kind kind = Kind::Running;
  DirRef dir;
  bool more_to_come = false;  // Pending, of a large directory: its chunks will add names
  bool is_chunk = false;      // Running and Ready: of a large directory
  PendingNames names;         // Pending; Ready chunk: what it adds to the Pending item of `dir`
  std::unique_ptr<NameSorter> sorter;
  WalkBatch batch;
  std::size_t bytes = 0;
};
using Items = std::list<Item>;

// What a task works on.
struct Work {
  Items::iterator item;               // the Running one that stands for it
  DirRef dir;                         // Root and Large: itself. Else the parent
  std::shared_ptr<SourceDir> handle;  // of `dir`, when it is open
  std::string name;                   // of the subdirectory; empty for Root and Large
  std::unique_ptr<NameSorter> sorter;
  Items::iterator large;  // where `sorter` was taken from
};

struct State {
  Items items;
  std::size_t ready_bytes = 0;
  std::size_t ready_dirs = 0;  // batches that hold a directory open
  std::size_t pending_bytes = 0;
  std::size_t spill_at_bytes = 0;
  std::size_t open_dirs = 0;  // Dirs with a handle
  std::unique_ptr<base::ScratchFile> spilled;
  std::uint64_t changes = 0;
  unsigned waiting = 0;
  bool stopped = false;
  Result<> failure;
};

std::size_t bytes_of(const WalkBatch& batch) {
  std::size_t names = 0;
  for (const WalkEntry& entry : batch.entries) {
    names += entry.name.size();
  }
  return sizeof(Item) + batch.directory.size() + batch.entries.capacity() * sizeof(WalkEntry) + names +
         batch.problems.size() * (sizeof(WalkProblem) + 200);
}

class TreeWalker final : public Walker {
 public:
  TreeWalker(base::Executor& executor, SourceFs& source, base::Scratch& scratch, const base::StopFlag& stop,
             WalkOptions options, Anchor anchor)
      : executor_(executor),
        source_(source),
        scratch_(scratch),
        stop_(stop),
        options_(std::move(options)),
        anchor_(std::move(anchor)),
        workers_(options_.tasks != 0 ? options_.tasks : executor.cpu_count()),
        sort_bytes_(std::max<std::size_t>(options_.memory_bytes / 4 / (workers_ + 1), 64u << 10)),
        state_(executor, State{}),
        tasks_(executor) {}

  ~TreeWalker() override {
    {
      auto state = state_.lock();
      state->stopped = true;
      state.notify();
    }
    (void)tasks_.join();
  }

  Result<> start() {
    auto root = DirRef::make();
    FIRN_LET(std::unique_ptr<SourceDir> handle,
             source_.open_root(options_.tree_begins_at_root ? options_.roots.front() : "/"));
    FIRN_LET(const Stat stat, handle->stat_self());
    root->handle = std::move(handle);
    root->device = stat.device;
    root->mount_id = stat.mount_id;
    root->filter = options_.filter.root();
    root->anchor = &anchor_;
    root->partial = !anchor_.is_root;

    Item entry;
    entry.kind = Item::Kind::Ready;
    entry.batch.dir = root->handle;
    entry.batch.self = root->handle;
    entry.batch.entries.push_back({std::string_view(), stat});
    Item rest;
    rest.kind = Item::Kind::Root;
    rest.dir = std::move(root);
    {
      auto state = state_.lock();
      state->items.push_back(std::move(entry));
      state->items.push_back(std::move(rest));
      state->ready_dirs = 1;
      state->open_dirs = 1;
    }
    for (unsigned i = 0; i < workers_; ++i) {
      tasks_.spawn("walk", [this] { return work(); });
    }
    return {};
  }

  Result<std::optional<WalkBatch>> next() override {
    while (taken_.empty()) {
      FIRN_TRY(stop_.check());
      Work work;
      {
        auto state = state_.lock();
        if (!state->failure) {
          return Failure(state->failure.error());
        }
        if (state->items.empty()) {
          return std::nullopt;
        }
        if (!take_ready(state) && !begin(*state, work)) {
          wait(state);
          continue;
        }
      }
      if (taken_.empty()) {
        run(std::move(work));
      }
      executor_.yield();
    }
    WalkBatch batch = std::move(taken_.front());
    taken_.pop_front();
    return batch;
  }

 private:
  using Lock = base::Monitor<State>::Lock;

  // A task's life.
  Result<> work() {
    for (;;) {
      Work work;
      {
        auto state = state_.lock();
        if (state->stopped || state->items.empty() || !state->failure) {
          return {};
        }
        if (stop_.requested()) {
          fail_walk(state, stop_.check().error());
          return {};
        }
        if (!begin(*state, work)) {
          wait(state);
          continue;
        }
      }
      run(std::move(work));
      executor_.yield();
    }
  }

  static void wait(Lock& state) {
    if (!state->failure) {
      announce(state);  // scratch failed while looking for work; the caller will see
      return;
    }
    const std::uint64_t seen = state->changes;
    state->waiting += 1;
    state.wait([seen](const State& s) { return s.changes != seen || s.stopped; });
    state->waiting -= 1;
  }

  static void announce(Lock& state) {
    state->changes += 1;
    if (state->waiting > 0) {
      state.notify();
    }
  }

  static void fail_walk(Lock& state, Error error) {
    if (state->failure) {
      state->failure = Failure(std::move(error));
    }
    announce(state);
  }

  // Moves batches from the front of the list to taken_. False when the first item is none.
  bool take_ready(Lock& state) {
    Items& items = state->items;
    while (!items.empty() && taken_.size() < kTakeBatches) {
      Item& item = items.front();
      if (item.kind == Item::Kind::Pending && item.names.empty() && !item.more_to_come) {
        drop_item(*state, items.begin());
        continue;
      }
      if (item.kind != Item::Kind::Ready) {
        break;
      }
      if (item.is_chunk) {
        emit_chunk(*state, item);
      }
      state->ready_bytes -= item.bytes;
      state->ready_dirs -= item.batch.dir ? 1 : 0;
      if (says_something(item.batch)) {
        taken_.push_back(std::move(item.batch));
      }
      items.pop_front();
    }
    // The tasks that wait do so for room, and are woken for a good piece of it only.
    if (state->waiting > 0 && (items.empty() || has_room(*state, 2))) {
      announce(state);
    }
    return !taken_.empty() || items.empty();
  }

  static bool says_something(const WalkBatch& batch) {
    return !batch.entries.empty() || !batch.problems.empty() || batch.excluded > 0;
  }

  // Whether work may be done ahead of its turn. With `parts` above 1, there is so much less to be held.
  bool has_room(const State& state, std::size_t parts) const {
    return state.ready_bytes < options_.memory_bytes / 2 / parts &&
           state.ready_dirs < options_.open_dirs_max / 2 / parts;
  }

  // The subdirectories of a large directory stand after all its chunks, in one item that each chunk adds to
  // when its turn comes.
  static void emit_chunk(State& state, Item& chunk) {
    Dir& dir = *chunk.dir;
    dir.chunks_out -= 1;
    const auto pending = std::find_if(state.items.begin(), state.items.end(), [&dir](const Item& item) {
      return item.kind == Item::Kind::Pending && item.dir.get() == &dir;
    });
    FIRN_CHECK(pending != state.items.end());
    state.pending_bytes -= pending->names.memory_bytes();
    pending->names.push_encoded(chunk.names.encoded());
    state.pending_bytes += pending->names.memory_bytes();
    pending->more_to_come = !dir.large_done || dir.chunks_out > 0;
  }

  // Takes a Pending or Large item out of the list, and closes its directory when it was the last of it. The
  // root stays open, so that everything can be found again from it.
  static void drop_item(State& state, Items::iterator item) {
    Dir& dir = *item->dir;
    dir.items -= 1;
    if (dir.items == 0 && dir.handle && dir.parent) {
      dir.handle.reset();
      state.open_dirs -= 1;
    }
    state.items.erase(item);
  }

  // Finds the first item that nobody has begun and that may be, and makes `work` of it.
  bool begin(State& state, Work& work) {
    std::size_t before = 0;  // items in front that are begun
    for (auto item = state.items.begin(); item != state.items.end();) {
      const bool may_begin = before == 0 || has_room(state, 1);
      if (!may_begin) {
        return false;
      }
      switch (item->kind) {
        case Item::Kind::Root:
          item->kind = Item::Kind::Running;
          work.item = item;
          work.dir = item->dir;
          work.handle = item->dir->handle;
          return true;
        case Item::Kind::Large:
          if (item->sorter) {
            begin_chunk(state, item, work);
            return true;
          }
          before += 1;
          ++item;
          break;
        case Item::Kind::Pending:
          if (!item->names.empty()) {
            return begin_subdir(state, item, work);
          }
          if (item->more_to_come) {
            ++item;
          } else {
            const auto empty = item++;
            drop_item(state, empty);
          }
          break;
        case Item::Kind::Running:
        case Item::Kind::Ready:
          before += 1;
          ++item;
          break;
      }
    }
    return false;
  }

  static void begin_chunk(State& state, Items::iterator large, Work& work) {
    Item running;
    running.dir = large->dir;
    running.is_chunk = true;
    work.item = state.items.insert(large, std::move(running));
    work.dir = large->dir;
    work.handle = large->dir->handle;
    work.sorter = std::move(large->sorter);
    work.large = large;
    large->dir->chunks_out += 1;
  }

  bool begin_subdir(State& state, Items::iterator pending, Work& work) {
    state.pending_bytes -= pending->names.memory_bytes();
    auto name = pending->names.pop(state.spilled.get());
    state.pending_bytes += pending->names.memory_bytes();
    if (!name) {
      state.failure = Failure(std::move(name).error());
      return false;
    }
    work.item = state.items.insert(pending, Item{});
    work.dir = pending->dir;
    work.handle = pending->dir->handle;
    work.name = std::move(*name);
    if (pending->names.empty() && !pending->more_to_come) {
      drop_item(state, pending);
    }
    return true;
  }

  // Does a piece of work and puts what came of it into the list.
  void run(Work work) {
    if (!work.handle) {
      auto opened = reopen(work.dir);
      if (opened) {
        work.handle = std::move(*opened);
      } else if (work.sorter) {
        // The names are known, but nothing can be said of them any more.
        Found found = failed(*work.dir, {}, std::move(opened).error());
        finish_large(work);
        publish(work, std::move(found));
        return;
      } else {
        publish(work, failed(*work.dir, work.name, std::move(opened).error()));
        return;
      }
    }
    auto found = work.sorter ? run_chunk(work) : run_directory(work);
    if (!found) {
      auto state = state_.lock();
      fail_walk(state, std::move(found).error());
      return;
    }
    publish(work, std::move(*found));
  }

  // A batch that says only that `name` in `dir` (or, without a name, `dir` itself) cannot be read.
  static Found failed(const Dir& dir, const std::string& name, Error error) {
    Found found;
    WalkBatch batch;
    batch.directory = join(path_of(dir), name);
    const std::string shown = "/" + printable(batch.directory);
    batch.problems.push_back({std::string(), std::move(error).in(shown)});
    found.batches.push_back(std::move(batch));
    return found;
  }

  Result<Found> run_chunk(Work& work) {
    NameBlock names;
    FIRN_TRY(work.sorter->take(options_.batch_entries_max, names));
    if (!work.sorter->exhausted()) {
      auto state = state_.lock();
      work.large->sorter = std::move(work.sorter);
      announce(state);
    } else {
      finish_large(work);
    }
    Found found;
    WalkBatch batch = new_batch(*work.dir, work.handle);
    read_names(*work.dir, names, batch, found.subdirs);
    found.batches.push_back(std::move(batch));
    return found;
  }

  void finish_large(Work& work) {
    auto state = state_.lock();
    work.sorter.reset();
    work.dir->large_done = true;
    state->ready_bytes -= work.large->bytes;
    drop_item(*state, work.large);
    announce(state);
  }

  Result<Found> run_directory(Work& work) {
    DirRef dir = work.dir;
    if (!work.name.empty()) {
      auto opened = open_subdir(work);
      if (!opened) {
        return failed(*work.dir, work.name, std::move(opened).error());
      }
      dir = std::move(*opened);
    }
    std::shared_ptr<SourceDir> handle = dir->handle;
    Result<Found> found = dir->partial ? read_partial(*dir, handle) : read_whole(*dir, handle);
    if (found) {
      found->dir = std::move(dir);
    }
    return found;
  }

  // The Dir for a subdirectory, open.
  Result<DirRef> open_subdir(const Work& work) {
    const Dir& parent = *work.dir;
    auto dir = DirRef::make();
    dir->parent = work.dir;
    dir->name = work.name;
    dir->path_bytes = parent.path_bytes + (parent.parent ? 1 : 0) + work.name.size();
    if (dir->path_bytes > options_.path_bytes_max) {
      return fail(ErrorCode::Invalid, "the path is longer than " + std::to_string(options_.path_bytes_max) +
                                          " bytes; what is below is left out");
    }
    if (options_.filter.has_patterns()) {
      dir->filter = options_.filter.enter(parent.filter, work.name);
    }
    dir->device = parent.device;
    dir->mount_id = parent.mount_id;
    dir->anchor = anchor_below(parent, work.name);
    FIRN_LET(dir->handle, open_below(parent, *work.handle, *dir));
    dir->partial = parent.partial && !dir->anchor->is_root;
    if (options_.crossing == Crossing::All) {
      return dir;
    }
    // Asked of what was opened: something may have been mounted there since it was looked at.
    FIRN_LET(const Stat stat, dir->handle->stat_self());
    const bool new_base = dir->anchor != nullptr && dir->anchor->is_root;
    if (!new_base && !parent.partial && !is_same_place(parent, stat)) {
      if (dir->anchor == nullptr) {
        return fail(ErrorCode::Changed, "something was mounted here while it was read");
      }
      dir->partial = true;
    }
    if (new_base) {
      dir->device = stat.device;
      dir->mount_id = stat.mount_id;
    }
    return dir;
  }

  static const Anchor* anchor_below(const Dir& dir, const std::string& name) {
    if (dir.anchor == nullptr) {
      return nullptr;
    }
    const auto found = dir.anchor->below.find(name);
    return found == dir.anchor->below.end() ? nullptr : &found->second;
  }

  // Links on the way to a root are followed, all others are not.
  Result<std::shared_ptr<SourceDir>> open_below(const Dir& parent, SourceDir& handle, const Dir& dir) {
    std::shared_ptr<SourceDir> opened;
    if (parent.partial && !dir.anchor->is_root) {
      FIRN_LET(opened, source_.open_root("/" + path_of(dir)));
    } else {
      FIRN_LET(opened, handle.open_dir(dir.name));
    }
    return opened;
  }

  // Opens a directory again whose handle was given up: from the nearest one above it that is open.
  Result<std::shared_ptr<SourceDir>> reopen(const DirRef& dir) {
    std::vector<Dir*> chain;
    std::shared_ptr<SourceDir> at;
    {
      auto state = state_.lock();
      Dir* next = dir.get();
      while (!next->handle) {
        chain.push_back(next);
        next = next->parent.get();
      }
      at = next->handle;
    }
    std::vector<std::pair<Dir*, std::shared_ptr<SourceDir>>> kept;
    while (!chain.empty()) {
      Dir& next = *chain.back();
      FIRN_LET(at, open_below(*next.parent, *at, next));
      if (chain.size() <= kReopenedKept) {
        kept.emplace_back(&next, at);
      }
      chain.pop_back();
    }
    auto state = state_.lock();
    for (auto& [opened, handle] : kept) {
      if (opened->items > 0 && !opened->handle) {
        opened->handle = std::move(handle);
        state->open_dirs += 1;
      }
    }
    return at;
  }

  static WalkBatch new_batch(const Dir& dir, const std::shared_ptr<SourceDir>& handle) {
    WalkBatch batch;
    batch.directory = path_of(dir);
    batch.dir = handle;
    return batch;
  }

  static void add_problem(WalkBatch& batch, std::string name, Error error) {
    const std::string shown = "/" + printable(join(batch.directory, name));
    batch.problems.push_back({std::move(name), std::move(error).in(shown)});
  }

  // Lists a directory, and reads its entries when they are not too many.
  Result<Found> read_whole(const Dir& dir, const std::shared_ptr<SourceDir>& handle) {
    Found found;
    WalkBatch batch = new_batch(dir, handle);
    auto sorter = std::make_unique<NameSorter>(scratch_, sort_bytes_);
    std::vector<const TagFile*> tags;
    Result<> scratch_failure;
    const auto listed = handle->list([&](std::span<const ListedName> names) -> Result<> {
      for (const ListedName& entry : names) {
        scratch_failure = sorter->add(entry.name);
        if (!scratch_failure) {
          return fail(ErrorCode::Cancelled, "no scratch space");
        }
        for (const TagFile& tag : options_.filter.tag_files()) {
          if (tag.name == entry.name) {
            tags.push_back(&tag);
          }
        }
      }
      return stop_.check();
    });
    FIRN_TRY(scratch_failure);
    FIRN_TRY(stop_.check());
    if (!listed) {
      add_problem(batch, {}, listed.error());
    }
    if (const auto kept = kept_by_tags(*handle, tags)) {
      const std::size_t all = sorter->added();
      sorter = std::make_unique<NameSorter>(scratch_, sort_bytes_);
      if (!kept->empty()) {
        FIRN_TRY(sorter->add(*kept));
      }
      batch.excluded += all - sorter->added();
    }
    FIRN_TRY(sorter->finish());
    if (sorter->added() <= options_.batch_entries_max) {
      NameBlock names;
      FIRN_TRY(sorter->take(options_.batch_entries_max, names));
      read_names(dir, names, batch, found.subdirs);
    } else {
      found.large = std::move(sorter);
    }
    found.batches.push_back(std::move(batch));
    return found;
  }

  // When one of the tag files says that this directory's content is not worth keeping: the one name that is
  // kept all the same, the tag file itself; empty when there are two, each of which excludes the other.
  static std::optional<std::string> kept_by_tags(SourceDir& handle, const std::vector<const TagFile*>& tags) {
    std::optional<std::string> kept;
    for (const TagFile* tag : tags) {
      if (has_header(handle, *tag)) {
        kept = !kept || *kept == tag->name ? tag->name : std::string();
      }
    }
    return kept;
  }

  static bool has_header(SourceDir& handle, const TagFile& tag) {
    if (tag.header.empty()) {
      return true;
    }
    const auto file = handle.open_file(tag.name);
    Bytes bytes(tag.header.size());
    std::size_t have = 0;
    while (file && have < bytes.size()) {
      const auto length = (*file)->read_at(have, std::span(bytes).subspan(have));
      if (!length || *length == 0) {
        break;
      }
      have += *length;
    }
    return have == bytes.size() && as_text(bytes) == tag.header;
  }

  void read_names(const Dir& dir, const NameBlock& names, WalkBatch& batch, PendingNames& subdirs) {
    std::size_t text_bytes = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      text_bytes += names[i].size();
    }
    batch.names = std::make_unique<char[]>(text_bytes);
    batch.entries.reserve(names.size());
    char* text = batch.names.get();
    const bool has_patterns = options_.filter.has_patterns();
    std::string name;  // the calls below need it to end with a zero byte
    for (std::size_t i = 0; i < names.size(); ++i) {
      name.assign(names[i]);
      if (has_patterns && options_.filter.excludes(dir.filter, name)) {
        batch.excluded += 1;
        continue;
      }
      auto stat = batch.dir->stat(name);
      if (!stat) {
        add_problem(batch, name, std::move(stat).error());
        continue;
      }
      if (stat->type == FileType::Regular && options_.filter.excludes_size(stat->size_bytes)) {
        batch.excluded += 1;
        continue;
      }
      if (stat->type == FileType::Directory && is_entered(dir, name, *stat)) {
        subdirs.push(name);
      }
      std::copy(name.begin(), name.end(), text);
      batch.entries.push_back({std::string_view(text, name.size()), *stat});
      text += name.size();
    }
  }

  bool is_same_place(const Dir& dir, const Stat& stat) const {
    if (options_.crossing == Crossing::SameMount && dir.mount_id != 0 && stat.mount_id != 0) {
      return dir.mount_id == stat.mount_id;
    }
    return dir.device == stat.device;
  }

  bool is_entered(const Dir& dir, const std::string& name, const Stat& stat) const {
    return options_.crossing == Crossing::All || is_same_place(dir, stat) ||
           anchor_below(dir, name) != nullptr;
  }

  // A directory of which only the names count that lead to roots. They are ancestors, which are directories
  // or links to such, or roots, which may be anything.
  Result<Found> read_partial(const Dir& dir, const std::shared_ptr<SourceDir>& handle) {
    Found found;
    NameBlock one;
    for (const auto& [name, anchor] : dir.anchor->below) {
      WalkBatch batch = new_batch(dir, handle);
      if (anchor.is_root) {
        one.clear();
        one.add(name);
        read_names(dir, one, batch, found.subdirs);
      } else {
        read_ancestor(name, batch, found.subdirs);
      }
      found.batches.push_back(std::move(batch));
    }
    return found;
  }

  void read_ancestor(const std::string& name, WalkBatch& batch, PendingNames& subdirs) {
    auto stat = batch.dir->stat(name);
    if (stat && stat->type != FileType::Directory) {
      auto self = source_.open_root("/" + join(batch.directory, name));
      if (!self) {
        add_problem(batch, name, std::move(self).error());
        return;
      }
      batch.self = std::move(*self);
      stat = batch.self->stat_self();
    }
    if (!stat) {
      add_problem(batch, name, std::move(stat).error());
      return;
    }
    subdirs.push(name);
    batch.names = std::make_unique<char[]>(name.size());
    std::copy(name.begin(), name.end(), batch.names.get());
    batch.entries.push_back({std::string_view(batch.names.get(), name.size()), *stat});
  }

  // Puts what a task found where its Running item stands.
  void publish(Work& work, Found found) {
    auto state = state_.lock();
    Items& items = state->items;
    const auto at = work.item;
    if (at->is_chunk) {
      at->names = std::move(found.subdirs);
      make_ready(*state, *at, std::move(found.batches.front()));
      announce(state);
      return;
    }
    for (WalkBatch& batch : found.batches) {
      if (says_something(batch)) {
        make_ready(*state, *items.insert(at, Item{}), std::move(batch));
      }
    }
    if (found.dir) {
      insert_rest(*state, at, found);
    }
    items.erase(at);
    close_far_directories(*state);
    auto spilled = spill_far_names(*state);
    if (!spilled) {
      fail_walk(state, std::move(spilled).error());
      return;
    }
    announce(state);
  }

  static void make_ready(State& state, Item& item, WalkBatch batch) {
    item.kind = Item::Kind::Ready;
    item.bytes = bytes_of(batch);
    item.batch = std::move(batch);
    state.ready_bytes += item.bytes;
    state.ready_dirs += item.batch.dir ? 1 : 0;
  }

  // What is still to be done of a directory: its further names, its subdirectories.
  static void insert_rest(State& state, Items::iterator at, Found& found) {
    Dir& dir = *found.dir;
    if (found.large) {
      Item large;
      large.kind = Item::Kind::Large;
      large.dir = found.dir;
      large.bytes = found.large->memory_bytes();
      large.sorter = std::move(found.large);
      state.ready_bytes += large.bytes;
      dir.items += 1;
      Item pending;
      pending.more_to_come = true;
      pending.kind = Item::Kind::Pending;
      pending.dir = found.dir;
      dir.items += 1;
      state.items.insert(at, std::move(large));
      state.items.insert(at, std::move(pending));
    } else if (!found.subdirs.empty()) {
      Item pending;
      pending.kind = Item::Kind::Pending;
      pending.dir = found.dir;
      pending.names = std::move(found.subdirs);
      state.pending_bytes += pending.names.memory_bytes();
      dir.items += 1;
      state.items.insert(at, std::move(pending));
    }
    if (!dir.parent) {
      return;  // counted since the start, and never closed
    }
    if (dir.items > 0) {
      state.open_dirs += 1;
    } else {
      dir.handle.reset();
    }
  }

  // Farthest first: they are needed last. Half of them at once, so that the list is looked through seldom.
  void close_far_directories(State& state) const {
    if (state.open_dirs <= options_.open_dirs_max / 2) {
      return;
    }
    for (auto item = state.items.rbegin();
         item != state.items.rend() && state.open_dirs > options_.open_dirs_max / 4; ++item) {
      const bool holds = item->kind == Item::Kind::Pending || item->kind == Item::Kind::Large;
      if (holds && item->dir->handle && item->dir->parent) {
        item->dir->handle.reset();
        state.open_dirs -= 1;
      }
    }
  }

  Result<> spill_far_names(State& state) {
    if (state.pending_bytes <= std::max(state.spill_at_bytes, options_.memory_bytes / 4)) {
      return {};
    }
    if (!state.spilled) {
      FIRN_LET(state.spilled, scratch_.create());
    }
    for (auto item = state.items.rbegin();
         item != state.items.rend() && state.pending_bytes > options_.memory_bytes / 8; ++item) {
      if (item->kind == Item::Kind::Pending && item->names.memory_bytes() > kSpillBytesMin) {
        state.pending_bytes -= item->names.memory_bytes();
        FIRN_TRY(item->names.spill(*state.spilled));
        state.pending_bytes += item->names.memory_bytes();
      }
    }
    // Many short lists cannot be made shorter; do not try again for each directory.
    state.spill_at_bytes = 2 * state.pending_bytes;
    return {};
  }

  base::Executor& executor_;
  SourceFs& source_;
  base::Scratch& scratch_;
  const base::StopFlag& stop_;
  const WalkOptions options_;
  const Anchor anchor_;
  const unsigned workers_;
  const std::size_t sort_bytes_;
  std::deque<WalkBatch> taken_;  // of the consumer alone
  base::Monitor<State> state_;
  base::TaskGroup tasks_;  // last: it joins before anything else goes
};

Failure bad_root(const std::string& root, std::string_view why) {
  return fail(ErrorCode::Invalid, printable(root) + ": " + std::string(why));
}

Result<> add_root(Anchor& anchor, const std::string& root) {
  if (!root.starts_with('/')) {
    return bad_root(root, "a root must be an absolute path");
  }
  Anchor* at = &anchor;
  std::string_view rest = root;
  while (!rest.empty()) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const std::string name(rest.substr(0, slash));
    rest.remove_prefix(std::min(rest.size(), slash + 1));
    if (name.empty() || name == ".") {
      continue;
    }
    if (!is_plain_name(name)) {
      return bad_root(root, "a root cannot hold '..', zero bytes or names longer than 255 bytes");
    }
    at = &at->below[name];
  }
  at->is_root = true;
  return {};
}

}  // namespace

Result<std::unique_ptr<Walker>> start_walk(base::Executor& executor, SourceFs& source, base::Scratch& scratch,
                                           const base::StopFlag& stop, WalkOptions options) {
  Anchor anchor;
  if (options.tree_begins_at_root) {
    FIRN_CHECK(options.roots.size() == 1);
    anchor.is_root = true;
  } else {
    for (const std::string& root : options.roots) {
      FIRN_TRY(add_root(anchor, root));
    }
  }
  auto walker =
      std::make_unique<TreeWalker>(executor, source, scratch, stop, std::move(options), std::move(anchor));
  FIRN_TRY(walker->start());
  return walker;
}

}  // namespace firn::scan
