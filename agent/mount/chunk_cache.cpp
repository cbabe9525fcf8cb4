#include "agent/mount/chunk_cache.h"

#include <utility>

namespace firn::mount {
namespace {
/// Chunks that were asked for ahead and not begun. A reader asks again for what was dropped.
constexpr std::size_t kAheadMax = 256;
/// What an entry takes beside its bytes.
constexpr std::size_t kEntryBytes = 256;
/// How far one task looks for neighbours of a chunk.
constexpr std::size_t kNeighboursMax = 16;

Failure cancelled() { return fail(ErrorCode::Cancelled, "interrupted"); }
}  // namespace

ChunkCache::ChunkCache(base::Executor& executor, Load load, Neighbours neighbours, const Options& options)
    : executor_(executor), load_(std::move(load)), neighbours_(std::move(neighbours)), options_(options) {
  for (unsigned number = 0; number < options_.tasks; ++number) {
    tasks_.push_back(executor.spawn("mount-fetch", [this] { work(); }));
  }
}

ChunkCache::~ChunkCache() {
  stop();
  tasks_.clear();
}

/// False when the call ended before `ready()` held.
template <class Ready>
bool ChunkCache::wait(std::unique_lock<std::mutex>& lock, const Call& call, Ready ready) {
  done_.wait(lock, [&] { return stopped_ || call.interrupted() || ready(); });
  return ready();
}

Result<Chunk> ChunkCache::get(ChunkKind kind, const format::ChunkSecret& t, const Call& call) {
  std::unique_lock lock(mutex_);
  const auto [found, is_new] = entries_.try_emplace(t);
  if (is_new) {
    found->second = std::make_shared<Entry>();
    found->second->kind = kind;
    found->second->t = t;
  }
  const std::shared_ptr<Entry> entry = found->second;
  if (entry->state == Entry::State::Ready) {
    recent_.splice(recent_.begin(), recent_, entry->place);
    return entry->chunk;
  }
  if (entry->state == Entry::State::Queued) {
    // It may stand among those ahead, too: whoever comes second finds it begun.
    wanted_.push_back({.entry = entry, .job = nullptr});
    queued_.notify_one();
  }
  const auto ready = [&] { return entry->state >= Entry::State::Ready; };
  if (!wait(lock, call, ready)) {
    return cancelled();
  }
  if (entry->state == Entry::State::Failed) {
    return Failure(*entry->error);
  }
  return entry->chunk;
}

void ChunkCache::prefetch(ChunkKind kind, std::span<const format::ChunkSecret> wanted) {
  const std::lock_guard lock(mutex_);
  for (const format::ChunkSecret& t : wanted) {
    if (ahead_.size() >= kAheadMax) {
      return;
    }
    const auto [found, is_new] = entries_.try_emplace(t);
    if (!is_new) {
      continue;
    }
    found->second = std::make_shared<Entry>();
    found->second->kind = kind;
    found->second->t = t;
    ahead_.push_back({.entry = found->second, .job = nullptr});
    queued_.notify_one();
  }
}

Result<> ChunkCache::run(std::function<Result<>()> work, const Call& call) {
  const auto job = std::make_shared<Job>();
  job->work = std::move(work);
  std::unique_lock lock(mutex_);
  wanted_.push_back({.entry = nullptr, .job = job});
  queued_.notify_one();
  if (!wait(lock, call, [&] { return job->done; })) {
    return cancelled();
  }
  return job->result;
}

void ChunkCache::wake() {
  const std::lock_guard lock(mutex_);
  done_.notify_all();
}

void ChunkCache::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  done_.notify_all();
  queued_.notify_all();
}

std::size_t ChunkCache::bytes_held() {
  const std::lock_guard lock(mutex_);
  return bytes_held_;
}

void ChunkCache::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    queued_.wait(lock, [&] { return stopped_ || !wanted_.empty() || !ahead_.empty(); });
    if (stopped_) {
      return;
    }
    const bool is_ahead = wanted_.empty();
    std::deque<Queued>& queue = is_ahead ? ahead_ : wanted_;
    const Queued next = std::move(queue.front());
    queue.pop_front();
    if (next.job) {
      lock.unlock();
      Result<> result = next.job->work();
      // What the work owns goes before its caller may.
      next.job->work = nullptr;
      lock.lock();
      next.job->result = std::move(result);
      next.job->done = true;
      done_.notify_all();
    } else if (next.entry->state != Entry::State::Queued) {
      // Somebody wanted it at once.
    } else if (is_ahead && neighbours_.count && next.entry->kind == ChunkKind::Content) {
      fetch_neighbours(lock, next.entry);
    } else {
      fetch(lock, next.entry);
    }
  }
}

void ChunkCache::fetch(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Entry>& entry) {
  entry->state = Entry::State::Loading;
  lock.unlock();
  Result<Bytes> bytes = load_(entry->kind, entry->t);
  lock.lock();
  finish(entry, std::move(bytes));
}

/// The chunk, and those behind it in the queue that the same request brings.
void ChunkCache::fetch_neighbours(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Entry>& first) {
  std::vector<std::shared_ptr<Entry>> entries = {first};
  std::vector<format::ChunkSecret> wanted = {first->t};
  while (entries.size() < kNeighboursMax && !ahead_.empty() && ahead_.front().entry &&
         ahead_.front().entry->kind == ChunkKind::Content) {
    entries.push_back(ahead_.front().entry);
    wanted.push_back(ahead_.front().entry->t);
    ahead_.pop_front();
  }
  lock.unlock();
  const std::size_t count = neighbours_.count(wanted);
  lock.lock();
  for (; entries.size() > count; entries.pop_back()) {
    ahead_.push_front({.entry = entries.back(), .job = nullptr});
    queued_.notify_one();
  }
  // Meanwhile somebody may have wanted one at once.
  std::erase_if(entries, [](const auto& entry) { return entry->state != Entry::State::Queued; });
  wanted.clear();
  for (const std::shared_ptr<Entry>& entry : entries) {
    entry->state = Entry::State::Loading;
    wanted.push_back(entry->t);
  }
  lock.unlock();
  neighbours_.load(wanted, [&](std::size_t place, Result<Bytes> bytes) {
    const std::lock_guard finishing(mutex_);
    finish(entries[place], std::move(bytes));
  });
  lock.lock();
}

void ChunkCache::finish(const std::shared_ptr<Entry>& entry, Result<Bytes> bytes) {
  if (bytes) {
    entry->chunk = std::make_shared<const Bytes>(*std::move(bytes));
    entry->state = Entry::State::Ready;
    keep(entry);
  } else {
    entry->error = std::move(bytes).error();
    entry->state = Entry::State::Failed;
    entries_.erase(entry->t);
  }
  done_.notify_all();
}

void ChunkCache::keep(const std::shared_ptr<Entry>& entry) {
  recent_.push_front(entry);
  entry->place = recent_.begin();
  bytes_held_ += entry->chunk->size() + kEntryBytes;
  // The newest stays, however large it is.
  while (bytes_held_ > options_.bytes_max && recent_.size() > 1) {
    const std::shared_ptr<Entry> oldest = recent_.back();
    recent_.pop_back();
    bytes_held_ -= oldest->chunk->size() + kEntryBytes;
    entries_.erase(oldest->t);
  }
}

}  // namespace firn::mount
