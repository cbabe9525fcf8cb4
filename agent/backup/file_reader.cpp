#include "agent/backup/file_reader.h"

#include <algorithm>
#include <utility>

namespace firn::backup {

FileReader::FileReader(const chunker::GearTable& table, const chunker::CutRules& rules,
                       scan::SourceFile& file, const scan::Stat& stat, std::size_t block_bytes)
    : table_(table),
      rules_(rules),
      file_(file),
      size_bytes_(stat.size_bytes),
      sparse_(stat.blocks_bytes < stat.size_bytes && !file.is_stream()),
      block_bytes_(block_bytes),
      selector_(rules) {
  if (!sparse_) {
    extent_end_ = size_bytes_;
  }
}

/// Goes to the next data of a sparse file; false at its end. Notes the hole in between.
Result<bool> FileReader::find_extent() {
  if (offset_ >= size_bytes_) {
    return false;
  }
  FIRN_LET(const auto extent, file_.next_data(offset_));
  const std::uint64_t data = extent ? std::min(extent->offset, size_bytes_) : size_bytes_;
  if (data > offset_) {
    hole_writer_.add({.offset = offset_, .length = data - offset_});
  }
  offset_ = data;
  extent_end_ = extent ? std::min(extent->offset + extent->length, size_bytes_) : size_bytes_;
  return offset_ < size_bytes_;
}

/// Reads content until `out` is full or the file ends.
Result<std::size_t> FileReader::fill(MutableBytes out) {
  std::size_t filled = 0;
  while (filled < out.size()) {
    if (offset_ == extent_end_) {
      FIRN_LET(const bool more, find_extent());
      if (!more) {
        break;
      }
    }
    const std::size_t wanted = std::min<std::uint64_t>(out.size() - filled, extent_end_ - offset_);
    FIRN_LET(const std::size_t got, file_.read_at(offset_, out.subspan(filled, wanted)));
    if (got == 0 && file_.is_stream()) {
      extent_end_ = size_bytes_ = offset_;
      break;
    }
    if (got == 0) {
      return fail(ErrorCode::Changed, "became shorter while it was read");
    }
    file_.done_with(offset_, got);
    filled += got;
    offset_ += got;
  }
  return filled;
}

Result<std::optional<Block>> FileReader::next(base::ByteBudget::Lease lease) {
  if (finished_) {
    return std::nullopt;
  }
  const std::size_t carried = carry_.size();
  Block block{.buffer = base::RawBuffer(carried + block_bytes_),
              .size_bytes = 0,
              .lease = std::move(lease),
              .ends = {}};
  const MutableBytes all = block.buffer.bytes();
  std::copy(carry_.begin(), carry_.end(), all.begin());
  const std::uint64_t block_start = position_ - carried;  // of the buffer, in the content
  FIRN_LET(const std::size_t filled, fill(all.subspan(carried)));
  const ByteView fresh = all.subspan(carried, filled);

  candidates_.clear();
  chunker::find_candidates(table_, rules_, warmup_, fresh, position_, candidates_);
  position_ += filled;
  cuts_.clear();
  selector_.add(candidates_, position_, cuts_);
  if (filled < block_bytes_) {
    finished_ = true;
    selector_.finish(cuts_);
  }
  for (const std::uint64_t cut : cuts_) {
    block.ends.push_back(cut - block_start);
  }
  block.size_bytes = block.ends.empty() ? 0 : block.ends.back();
  const ByteView rest = all.subspan(block.size_bytes, carried + filled - block.size_bytes);
  carry_.assign(rest.begin(), rest.end());
  append(warmup_, fresh.last(std::min(fresh.size(), chunker::kWarmupBytes)));
  if (warmup_.size() > chunker::kWarmupBytes) {
    warmup_.erase(warmup_.begin(), warmup_.end() - static_cast<std::ptrdiff_t>(chunker::kWarmupBytes));
  }
  return block;
}

}  // namespace firn::backup
