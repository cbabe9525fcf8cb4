// Leaf digests: SHA-256 of each 16 KiB of some bytes, the last leaf shorter. They are what chunk
// capabilities, pack names and page digests are computed from.
//
// Promise: the same digests whatever implementation runs (crypto/kernels.h) and however the bytes were cut
// into update() calls. No bytes have no leaves; a leaf is never empty.
// Not here: how leaf digests become a name or a capability (repo/format).
// Threads: the functions may be called from any thread and keep nothing alive between calls, so fibers may
// move between threads. A LeafHasher belongs to one caller at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "crypto/digest.h"
#include "crypto/types.h"

namespace firn::crypto {

inline constexpr std::size_t kLeafBytes = 16 * 1024;

constexpr std::uint64_t leaf_count(std::uint64_t size_bytes) {
  return size_bytes / kLeafBytes + (size_bytes % kLeafBytes != 0 ? 1 : 0);
}

/// Replaces `out` by the leaf digests of `data`; `out` keeps its capacity.
void leaf_digests(ByteView data, std::vector<Digest>& out);

/// Replaces `out` by the leaf digests of every input, one input after the other: input i has
/// leaf_count(inputs[i].size()) of them. Faster than one call each, because leaves of neighbours share the
/// processor's vector lanes. The digests are those of separate calls.
void leaf_digests_of_each(std::span<const ByteView> inputs, std::vector<Digest>& out);

/// Leaf digests of bytes that arrive bit by bit, for a pack while it grows. Holds up to 256 KiB of bytes that
/// wait for their neighbours, and does not wipe them: packs are ciphertext.
class LeafHasher {
 public:
  void update(ByteView bytes);
  std::uint64_t size_bytes() const { return size_bytes_; }
  /// The leaf digests of all bytes so far. More bytes may follow.
  std::vector<Digest> digests() const;

 private:
  std::vector<std::byte> waiting_;  // starts at a leaf border
  std::vector<Digest> done_;
  std::uint64_t size_bytes_ = 0;
};

}  // namespace firn::crypto
