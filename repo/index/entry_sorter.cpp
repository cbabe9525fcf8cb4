#include "repo/index/entry_sorter.h"

#include <algorithm>

namespace firn::index {
namespace {

// Below this a read of a run costs more for the call than for the bytes.
constexpr std::size_t kRunBufferBytesMin = 16 << 10;
constexpr std::size_t kRecordsMin = 64;

}  // namespace

/// Merges runs of one file, each read through a buffer of its own.
class EntrySorter::Merge {
 public:
  Merge(base::ScratchFile& file, std::span<const Run> runs, std::size_t memory_bytes) : file_(file) {
    const std::size_t records =
        std::max<std::size_t>(memory_bytes / std::max<std::size_t>(runs.size(), 1) / sizeof(EntryRecord), 1);
    for (const Run& run : runs) {
      sources_.push_back({run, std::vector<EntryRecord>(records), 0, 0});
    }
  }

  Result<> start() {
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      FIRN_TRY(refill(i));
    }
    return {};
  }

  Result<bool> next(EntryRecord& record) {
    if (heap_.empty()) {
      return false;
    }
    std::ranges::pop_heap(heap_, Later{sources_});
    const std::size_t source = heap_.back();
    heap_.pop_back();
    record = sources_[source].head();
    sources_[source].next += 1;
    FIRN_TRY(refill(source));
    return true;
  }

 private:
  struct Source {
    Run run;
    std::vector<EntryRecord> buffer;
    std::size_t next = 0;
    std::size_t end = 0;
    const EntryRecord& head() const { return buffer[next]; }
  };

  /// The order of the heap: the smallest record on top.
  struct Later {
    const std::vector<Source>& sources;
    bool operator()(std::size_t a, std::size_t b) const { return sources[b].head() < sources[a].head(); }
  };

  /// Puts the source back into the heap when it has a record left.
  Result<> refill(std::size_t number) {
    Source& source = sources_[number];
    if (source.next == source.end) {
      const std::uint64_t left = source.run.end - source.run.offset;
      const std::size_t bytes = std::min<std::uint64_t>(left, source.buffer.size() * sizeof(EntryRecord));
      if (bytes == 0) {
        return {};
      }
      const auto target = std::as_writable_bytes(std::span(source.buffer)).first(bytes);
      FIRN_TRY(file_.read_at(source.run.offset, target));
      source.run.offset += bytes;
      source.next = 0;
      source.end = bytes / sizeof(EntryRecord);
    }
    heap_.push_back(number);
    std::ranges::push_heap(heap_, Later{sources_});
    return {};
  }

  base::ScratchFile& file_;
  std::vector<Source> sources_;
  std::vector<std::size_t> heap_;
};

EntrySorter::EntrySorter(base::Scratch& scratch, std::size_t memory_bytes_max)
    : scratch_(scratch),
      memory_bytes_max_(memory_bytes_max),
      records_max_(std::max(memory_bytes_max / sizeof(EntryRecord), kRecordsMin)) {}

EntrySorter::~EntrySorter() = default;

Result<> EntrySorter::add(const EntryRecord& record) {
  if (records_.size() == records_max_) {
    FIRN_TRY(spill());
  }
  if (records_.size() == records_.capacity()) {
    records_.reserve(std::min(std::max(records_.size() * 2, kRecordsMin), records_max_));
  }
  records_.push_back(record);
  count_ += 1;
  return {};
}

Result<> EntrySorter::spill() {
  std::sort(records_.begin(), records_.end());
  if (!file_) {
    FIRN_LET(file_, scratch_.create());
  }
  const std::uint64_t offset = file_->size();
  FIRN_TRY(file_->append(std::as_bytes(std::span(records_))));
  runs_.push_back({offset, file_->size()});
  records_.clear();
  return {};
}

Result<> EntrySorter::finish() {
  if (runs_.empty()) {
    std::sort(records_.begin(), records_.end());
    return {};
  }
  if (!records_.empty()) {
    FIRN_TRY(spill());
  }
  records_ = std::vector<EntryRecord>();
  const std::size_t runs_max = std::max<std::size_t>(memory_bytes_max_ / kRunBufferBytesMin, 2);
  while (runs_.size() > runs_max) {
    FIRN_LET(std::unique_ptr<base::ScratchFile> merged, scratch_.create());
    std::vector<Run> merged_runs;
    for (std::size_t first = 0; first < runs_.size(); first += runs_max) {
      const auto group = std::span(runs_).subspan(first, std::min(runs_max, runs_.size() - first));
      FIRN_LET(const Run run, merge_into(*merged, group));
      merged_runs.push_back(run);
    }
    file_ = std::move(merged);
    runs_ = std::move(merged_runs);
  }
  merge_ = std::make_unique<Merge>(*file_, runs_, memory_bytes_max_);
  return merge_->start();
}

Result<EntrySorter::Run> EntrySorter::merge_into(base::ScratchFile& out, std::span<const Run> runs) {
  Merge merge(*file_, runs, memory_bytes_max_ / 2);
  FIRN_TRY(merge.start());
  std::vector<EntryRecord> buffer;
  const std::size_t buffer_records = std::max(records_max_ / 2, kRecordsMin);
  buffer.reserve(buffer_records);
  const std::uint64_t offset = out.size();
  EntryRecord record;
  while (true) {
    FIRN_LET(const bool more, merge.next(record));
    if (more) {
      buffer.push_back(record);
    }
    if (buffer.size() == buffer_records || !more) {
      FIRN_TRY(out.append(std::as_bytes(std::span(buffer))));
      buffer.clear();
    }
    if (!more) {
      return Run{offset, out.size()};
    }
  }
}

Result<bool> EntrySorter::next(EntryRecord& record) {
  if (merge_) {
    return merge_->next(record);
  }
  if (next_record_ == records_.size()) {
    return false;
  }
  record = records_[next_record_++];
  return true;
}

}  // namespace firn::index
