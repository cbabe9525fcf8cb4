// How an error names a page: by its id, which is no secret, and by the path where it begins. Internal to
// repo/tree.
#pragma once

#include <string>
#include <utility>

#include "repo/base/bytes.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"

namespace firn::tree {

/// "tree page 3f09… (from home/x)". `separator` is a sort key or the beginning of one.
std::string tree_page_place(const format::ChunkSecret& t, ByteView separator);
/// "slice page 3f09… (from byte 4096)".
std::string slice_page_place(const format::ChunkSecret& t, std::uint64_t position);

/// Adds a place to a failed result. The place is made only then: it costs digests.
template <class T, class MakePlace>
Result<T> at_page(Result<T> result, const MakePlace& make_place) {
  if (!result) [[unlikely]] {
    return Failure(std::move(result).error().in(make_place()));
  }
  return result;
}

}  // namespace firn::tree
