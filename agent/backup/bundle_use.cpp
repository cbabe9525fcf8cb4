#include "agent/backup/bundle_use.h"

#include <algorithm>
#include <utility>

namespace firn::backup {
namespace {

constexpr std::uint64_t kRunPart = 10;  // the tenth part of a run's bytes
constexpr std::size_t kSmallBundlesKept = 256;

}  // namespace

// Only small files have a digest, and those that have one slice lie in a bundle.
std::optional<format::Slice> bundle_slice(const format::Entry& entry) {
  const bool bundled =
      entry.digest && entry.content.form == format::BlobForm::Slices && entry.content.slices.size() == 1;
  return bundled ? std::optional(entry.content.slices.front()) : std::nullopt;
}

std::optional<format::Slice> bundle_slice(const format::EntryView& entry) {
  const bool bundled =
      entry.digest && entry.content.form == format::BlobForm::Slices && entry.content.slices.size() == 1;
  return bundled ? std::optional(*entry.content.slices.begin()) : std::nullopt;
}

Result<> BundleUse::add(const format::Slice& slice) {
  if (slice.chunk != last_) {
    FIRN_TRY(flush());
    last_ = slice.chunk;
  }
  last_bytes_ += slice.length;
  return {};
}

Result<> BundleUse::flush() {
  const std::uint64_t bytes = std::exchange(last_bytes_, 0);
  return bytes == 0 ? Result<>() : used_.add(format::chunk_id(last_).view(), bytes);
}

Result<state::SparseBundles> BundleUse::finish(repo::ChunkReader& reader,
                                               const format::Parameters& parameters,
                                               std::uint64_t run_bytes) {
  FIRN_TRY(flush());
  FIRN_TRY(used_.finish());
  state::SparseBundles list{.budget_bytes = run_bytes / kRunPart, .bundles = {}};
  std::size_t small = 0;
  while (list.bundles.size() < state::kSparseBundlesMax) {
    FIRN_LET(const auto row, used_.next());
    if (!row) {
      break;
    }
    const format::ChunkId id{row->name};
    FIRN_LET(const auto locations, reader.locate(id));
    if (locations.empty() || locations.front().shape.type != format::ChunkType::Bundle) {
      continue;
    }
    const std::uint32_t plain = locations.front().shape.plain;
    const bool is_small = plain < parameters.bundle_size / 4;
    small += is_small ? 1U : 0U;
    if (row->sum < plain / 8 * 5 || (is_small && small > kSmallBundlesKept)) {
      list.bundles.push_back(id);
    }
  }
  return list;
}

bool Rebundling::takes(const std::optional<format::Slice>& slice, std::uint64_t size_bytes) {
  if (!slice || list_.bundles.empty()) {
    return false;
  }
  if (slice->chunk != last_) {
    last_ = slice->chunk;
    last_listed_ = std::binary_search(list_.bundles.begin(), list_.bundles.end(), format::chunk_id(last_));
  }
  if (!last_listed_ || size_bytes > list_.budget_bytes) {
    return false;
  }
  list_.budget_bytes -= size_bytes;
  return true;
}

}  // namespace firn::backup
