// Refs pages: the twin of every tree page and slice page, for marking without keys that read contents.
//
// It holds the ids of the chunks that the page names, and the ids of the refs pages of the pages it names
// (the pages themselves are among the chunks). It does not hold the id of its own page: its parent, or the
// snapshot, names both.
#pragma once

#include <vector>

#include "repo/base/result.h"
#include "repo/format/chunk.h"
#include "repo/format/ids.h"

namespace firn::format {

struct RefsPage {
  std::vector<ChunkId> chunks;    // sorted, unique: data, bundles, and pages below
  std::vector<ChunkId> children;  // sorted, unique: refs pages of the pages below
  bool operator==(const RefsPage&) const = default;
};

/// Errors: Invalid (more than kRefsMax of one kind, unsorted).
Result<Bytes> encode(const RefsPage& refs);
/// Errors: Corrupt.
Result<RefsPage> parse_refs_page(ByteView plain);

/// The twin of a page of `type` TreePage or SlicePage, any level. Errors: Corrupt (the page).
Result<RefsPage> refs_of_page(ChunkType type, ByteView page);

}  // namespace firn::format
