#include "repo/tree/refs_walk.h"

#include <string>
#include <utility>
#include <vector>

#include "repo/format/limits.h"
#include "repo/format/refs.h"
#include "repo/tree/page_place.h"

namespace firn::tree {

namespace {

/// A slice page's levels hang below the tree's.
constexpr std::size_t kDepthMax = 2 * (format::kPageLevelMax + std::size_t{1});

struct Open {
  std::vector<format::ChunkId> children;
  std::size_t at = 0;
};

/// Visits the page's chunks; its children are the caller's to visit.
Result<Open> open(PageSource& source, const format::ChunkId& id, RefsVisitor& visitor) {
  const auto place = [&] { return "refs page " + id.hex(); };
  FIRN_LET(const Bytes plain, at_page(source.read_refs(id), place));
  FIRN_LET(format::RefsPage page, at_page(format::parse_refs_page(plain), place));
  for (const format::ChunkId& chunk : page.chunks) {
    FIRN_TRY(visitor.chunk(chunk));
  }
  return Open{std::move(page.children)};
}

}  // namespace

Result<> walk_refs(PageSource& source, const format::ChunkId& root, RefsVisitor& visitor) {
  std::vector<Open> stack;
  stack.push_back({{root}});
  while (!stack.empty()) {
    Open& top = stack.back();
    if (top.at == top.children.size()) {
      stack.pop_back();
      continue;
    }
    const format::ChunkId id = top.children[top.at++];
    FIRN_LET(const bool wanted, visitor.enter(id));
    if (!wanted) {
      continue;
    }
    if (stack.size() > kDepthMax) {
      return fail(ErrorCode::Corrupt, "refs page " + id.hex() + ": lies deeper than a tree can be");
    }
    FIRN_LET(Open opened, open(source, id, visitor));
    stack.push_back(std::move(opened));
  }
  return {};
}

}  // namespace firn::tree
