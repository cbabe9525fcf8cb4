// Which bundles the last backup of a source found mostly dead, kept locally for the next one to bundle their
// files anew.
//
// A cache: without it nothing is lost but space. A list that is torn or foreign is an empty one. Threads: one
// caller.
#pragma once

#include <cstdint>
#include <vector>

#include "repo/base/bytes.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"
#include "repo/kv/local_kv.h"

namespace firn::state {

/// At most so many bundles are remembered: 2 MiB of ids, in memory too.
inline constexpr std::size_t kSparseBundlesMax = 65'536;

struct SparseBundles {
  std::uint64_t budget_bytes = 0;        // of files that may be read again for their sake
  std::vector<format::ChunkId> bundles;  // sorted, unique
};

Bytes encode(const SparseBundles& list);
/// Errors: Corrupt.
Result<SparseBundles> parse_sparse_bundles(ByteView bytes);

/// Empty when there is none of this source.
SparseBundles load_sparse_bundles(kv::LocalKv& state, const format::SourceTag& source);
/// An empty list is removed. Best effort: a disk that will not have it costs space in the repository.
void save_sparse_bundles(kv::LocalKv& state, const format::SourceTag& source, const SparseBundles& list);

}  // namespace firn::state
