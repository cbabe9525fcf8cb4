// Cuts bytes into leaves and hands them to the chosen kernel, many at a time.
#include "crypto/leaf_hash.h"

#include <algorithm>

#include "crypto/detail/kernel.h"

namespace firn::crypto {

namespace {

// A multiple of every kernel's lane count; 256 KiB also still fits a core's second cache.
constexpr std::size_t kLeavesPerBatch = 16;
constexpr std::size_t kBatchBytes = kLeavesPerBatch * kLeafBytes;

void append_leaves(ByteView data, std::vector<ByteView>& leaves) {
  while (!data.empty()) {
    const std::size_t taken = std::min(kLeafBytes, data.size());
    leaves.push_back(data.first(taken));
    data = data.subspan(taken);
  }
}

void append_digests(ByteView data, std::vector<Digest>& out) {
  std::vector<ByteView> leaves;
  leaves.reserve(leaf_count(data.size()));
  append_leaves(data, leaves);
  const std::size_t before = out.size();
  out.resize(before + leaves.size());
  detail::current_kernel().hash_leaves(leaves, std::span(out).subspan(before));
}

}  // namespace

void leaf_digests(ByteView data, std::vector<Digest>& out) {
  out.clear();
  append_digests(data, out);
}

void leaf_digests_of_each(std::span<const ByteView> inputs, std::vector<Digest>& out) {
  std::vector<ByteView> leaves;
  for (const ByteView input : inputs) {
    append_leaves(input, leaves);
  }
  out.resize(leaves.size());
  detail::current_kernel().hash_leaves(leaves, out);
}

void LeafHasher::update(ByteView bytes) {
  size_bytes_ += bytes.size();
  while (!bytes.empty()) {
    if (waiting_.empty() && bytes.size() >= kBatchBytes) {
      const std::size_t whole = bytes.size() / kBatchBytes * kBatchBytes;
      append_digests(bytes.first(whole), done_);
      bytes = bytes.subspan(whole);
      continue;
    }
    waiting_.reserve(kBatchBytes);
    const std::size_t taken = std::min(kBatchBytes - waiting_.size(), bytes.size());
    waiting_.insert(waiting_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken));
    bytes = bytes.subspan(taken);
    if (waiting_.size() == kBatchBytes) {
      append_digests(waiting_, done_);
      waiting_.clear();
    }
  }
}

std::vector<Digest> LeafHasher::digests() const {
  std::vector<Digest> all = done_;
  append_digests(waiting_, all);
  return all;
}

}  // namespace firn::crypto
