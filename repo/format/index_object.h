// index/<level>/<session>-<n>: packs, each with all its entries.
//
// An index object may have 64 MiB: IndexReader walks one without holding it decoded. Not here: the local
// index that is made of them (repo/index).
#pragma once

#include <cstdint>
#include <vector>

#include "repo/base/codec.h"
#include "repo/base/result.h"
#include "repo/format/names.h"
#include "repo/format/pack.h"
#include "repo/format/session.h"

namespace firn::format {

struct IndexedPack {
  PackName name;
  std::uint32_t size_bytes = 0;
  std::vector<PackEntry> entries;  // by offset, at least one
  bool operator==(const IndexedPack&) const = default;
};

struct IndexObject {
  SessionProof proof;  // of the session that puts it
  std::uint16_t level = 0;
  std::vector<IndexName> replaces;  // sorted, unique, each of a lower level; none at level 0
  std::vector<IndexedPack> packs;   // sorted by pack name (kind, id), unique
  bool operator==(const IndexObject&) const = default;
};
Result<Bytes> encode(const IndexObject& index);
/// Errors: Corrupt.
Result<IndexObject> parse_index(ByteView body);

/// Reads an index body pack by pack; borrows the body. Every pack that next() gives has been checked.
class IndexReader {
 public:
  /// Reads and checks what stands before the packs. Errors: Corrupt.
  static Result<IndexReader> open(ByteView body);

  const SessionProof& proof() const { return proof_; }
  std::uint16_t level() const { return level_; }
  const std::vector<IndexName>& replaces() const { return replaces_; }
  std::uint32_t pack_count() const { return pack_count_; }

  /// The next pack into `pack`, whose vector keeps its capacity; false after the last. Errors: Corrupt.
  Result<bool> next(IndexedPack& pack);

 private:
  explicit IndexReader(ByteView body) : in_(body) {}

  base::Reader in_;
  SessionProof proof_;
  std::uint16_t level_ = 0;
  std::vector<IndexName> replaces_;
  std::uint32_t pack_count_ = 0;
  std::uint32_t packs_read_ = 0;
  PackName previous_;
};

}  // namespace firn::format
