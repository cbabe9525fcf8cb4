#include "repo/base/record_sorter.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "repo/base/check.h"

namespace firn::base {
namespace {
// Reading back in smaller pieces would cost a system call for every few records.
constexpr std::size_t kRunBufferBytesMin = 16 << 10;
}  // namespace

/// A sorted run in the scratch file, and the part of it that is in memory.
struct RecordSorter::Run {
  std::uint64_t offset = 0;  // of what is not in the buffer yet
  std::uint64_t end = 0;
  Bytes buffer;
  std::size_t at = 0;
};

RecordSorter::RecordSorter(Scratch& scratch, std::size_t record_bytes, std::size_t memory_bytes_max)
    : scratch_(scratch), record_bytes_(record_bytes), memory_bytes_max_(memory_bytes_max) {}

RecordSorter::~RecordSorter() = default;

Result<> RecordSorter::add(ByteView record) {
  FIRN_CHECK(record.size() == record_bytes_);
  // Beside its bytes each record takes a number while the run is sorted.
  const std::size_t records_max =
      std::max<std::size_t>(2, memory_bytes_max_ / (record_bytes_ + sizeof(std::uint32_t)));
  if (buffer_.size() / record_bytes_ == records_max) {
    FIRN_TRY(spill());
  }
  append(buffer_, record);
  count_ += 1;
  return {};
}

void RecordSorter::sort_buffer() {
  order_.resize(buffer_.size() / record_bytes_);
  std::iota(order_.begin(), order_.end(), 0U);
  std::sort(order_.begin(), order_.end(), [this](std::uint32_t a, std::uint32_t b) {
    return std::memcmp(buffer_.data() + a * record_bytes_, buffer_.data() + b * record_bytes_,
                       record_bytes_) < 0;
  });
}

Result<> RecordSorter::spill() {
  if (!file_) {
    FIRN_LET(file_, scratch_.create());
  }
  sort_buffer();
  Run run;
  run.offset = file_->size();
  Bytes piece;
  for (const std::uint32_t index : order_) {
    append(piece, ByteView(buffer_).subspan(index * record_bytes_, record_bytes_));
    if (piece.size() >= kRunBufferBytesMin) {
      FIRN_TRY(file_->append(piece));
      piece.clear();
    }
  }
  FIRN_TRY(file_->append(piece));
  run.end = file_->size();
  runs_.push_back(std::move(run));
  buffer_.clear();
  return {};
}

Result<> RecordSorter::finish() {
  if (runs_.empty()) {
    sort_buffer();
    return {};
  }
  FIRN_TRY(spill());
  buffer_ = Bytes();
  order_ = {};
  const auto after = [this](std::size_t a, std::size_t b) { return later(runs_[a], runs_[b]); };
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    FIRN_LET(const bool more, refill(runs_[i]));
    if (more) {
      heap_.push_back(i);
    }
  }
  std::make_heap(heap_.begin(), heap_.end(), after);
  return {};
}

bool RecordSorter::later(const Run& a, const Run& b) const {
  return std::memcmp(a.buffer.data() + a.at, b.buffer.data() + b.at, record_bytes_) > 0;
}

/// True when the run's buffer has a record at its position.
Result<bool> RecordSorter::refill(Run& run) {
  if (run.at < run.buffer.size()) {
    return true;
  }
  const std::size_t share = std::max(kRunBufferBytesMin, memory_bytes_max_ / runs_.size());
  const std::uint64_t records = std::max<std::uint64_t>(1, share / record_bytes_);
  run.buffer.resize(std::min<std::uint64_t>(records * record_bytes_, run.end - run.offset));
  run.at = 0;
  FIRN_TRY(file_->read_at(run.offset, run.buffer));
  run.offset += run.buffer.size();
  return !run.buffer.empty();
}

Result<ByteView> RecordSorter::next() {
  if (runs_.empty()) {
    if (next_in_order_ == order_.size()) {
      return ByteView();
    }
    return ByteView(buffer_).subspan(order_[next_in_order_++] * record_bytes_, record_bytes_);
  }
  const auto after = [this](std::size_t a, std::size_t b) { return later(runs_[a], runs_[b]); };
  if (top_is_borrowed_) {
    top_is_borrowed_ = false;
    std::pop_heap(heap_.begin(), heap_.end(), after);
    Run& run = runs_[heap_.back()];
    run.at += record_bytes_;
    FIRN_LET(const bool more, refill(run));
    if (more) {
      std::push_heap(heap_.begin(), heap_.end(), after);
    } else {
      heap_.pop_back();
    }
  }
  if (heap_.empty()) {
    return ByteView();
  }
  top_is_borrowed_ = true;
  const Run& run = runs_[heap_.front()];
  return ByteView(run.buffer).subspan(run.at, record_bytes_);
}

}  // namespace firn::base
