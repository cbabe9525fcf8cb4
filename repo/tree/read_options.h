// How a walk over pages reads ahead.
#pragma once

#include <functional>
#include <span>

#include "repo/format/chunk.h"
#include "repo/format/ids.h"

namespace firn::tree {

struct ReadOptions {
  /// Called with pages of `type` that the walk will ask for soon, in that order, each once; may be empty.
  /// What it starts must be bounded by itself; it need not do anything.
  std::function<void(format::ChunkType type, std::span<const format::ChunkSecret> pages)> prefetch;
  /// How many leaf pages the walk names before it needs them.
  unsigned prefetch_pages = 8;
};

}  // namespace firn::tree
