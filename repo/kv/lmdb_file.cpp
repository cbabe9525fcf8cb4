#include "repo/kv/lmdb_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "repo/base/bytes.h"
#include "repo/base/files.h"
#include "repo/kv/local_kv.h"

namespace firn::kv {
namespace {

// The file format of LMDB 0.9 on 64-bit machines, in the machine's byte order. Offsets in bytes.
constexpr std::uint32_t kMagic = 0xBEEFC0DE;
constexpr std::uint32_t kDataVersion = 1;
constexpr std::size_t kPageHeaderBytes = 16;
constexpr std::size_t kNodeHeaderBytes = 8;
constexpr std::size_t kPageNumberAt = 0;
constexpr std::size_t kPageFlagsAt = 10;
constexpr std::size_t kPageLowerAt = 12;
constexpr std::size_t kPageUpperAt = 14;
constexpr std::size_t kOverflowCountAt = 12;
constexpr std::uint16_t kPageBranch = 0x01;
constexpr std::uint16_t kPageLeaf = 0x02;
constexpr std::uint16_t kPageOverflow = 0x04;
constexpr std::uint16_t kPageMeta = 0x08;
constexpr std::uint16_t kNodeBigData = 0x01;
constexpr std::uint16_t kNodeSubData = 0x02;
constexpr std::uint16_t kTreeIntegerKey = 0x08;
constexpr std::uint64_t kNoPage = ~std::uint64_t{0};
constexpr std::size_t kMetaAt = kPageHeaderBytes;
constexpr std::size_t kMetaTreesAt = kMetaAt + 24;
constexpr std::size_t kTreeBytes = 48;
constexpr std::size_t kMetaLastPageAt = kMetaTreesAt + 2 * kTreeBytes;
constexpr std::size_t kMetaTransactionAt = kMetaLastPageAt + 8;
constexpr std::size_t kMetaBytes = kMetaTransactionAt + 8;
// LMDB itself stops at 32; a tree of 2^48 pages with two entries a page is no deeper than what it writes.
constexpr unsigned kDepthMax = 24;
constexpr std::size_t kPageBytesMax = 0x8000;

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

/// MDB_db: the root and the sums of one tree.
struct Tree {
  std::uint32_t pad = 0;
  std::uint16_t flags = 0;
  std::uint16_t depth = 0;
  std::uint64_t branch_pages = 0;
  std::uint64_t leaf_pages = 0;
  std::uint64_t overflow_pages = 0;
  std::uint64_t entries = 0;
  std::uint64_t root = kNoPage;

  static Tree parse(const std::byte* at) {
    return {load<std::uint32_t>(at),      load<std::uint16_t>(at + 4),  load<std::uint16_t>(at + 6),
            load<std::uint64_t>(at + 8),  load<std::uint64_t>(at + 16), load<std::uint64_t>(at + 24),
            load<std::uint64_t>(at + 32), load<std::uint64_t>(at + 40)};
  }
};

struct Meta {
  Tree free;
  Tree main;
  std::uint64_t page_last = 0;
  std::uint64_t transaction = 0;
};

std::size_t page_size_bytes() {
  return std::min<std::size_t>(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)), kPageBytesMax);
}

/// What the keys of a tree are, and what its leaves hold.
enum class TreeKind : std::uint8_t { Free, Main, Table };

/// Half-open bounds that a page's keys must keep.
struct KeyBounds {
  std::optional<Bytes> low;   // included
  std::optional<Bytes> high;  // not included
};

class Checker {
 public:
  Checker(int fd, std::uint64_t map_size_bytes, std::string_view name)
      : fd_(fd), map_size_bytes_(map_size_bytes), name_(name), page_bytes_(page_size_bytes()) {}

  Result<LmdbFileFacts> run(LmdbCheck what) {
    FIRN_LET(const Meta meta, newest_meta());
    if (what == LmdbCheck::Pages) {
      ::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
      used_.assign(meta.page_last + 1, false);
      used_[0] = used_[1] = true;
      FIRN_TRY(check_tree(meta.main, TreeKind::Main));
      for (std::size_t i = 0; i < tables_.size(); ++i) {
        FIRN_TRY(check_tree(tables_[i], TreeKind::Table));
      }
      transaction_ = meta.transaction;
      FIRN_TRY(check_tree(meta.free, TreeKind::Free));
    }
    return LmdbFileFacts{meta.transaction, meta.page_last};
  }

 private:
  Failure corrupt(std::string_view what) const {
    return fail(ErrorCode::Corrupt, std::string(name_) + ": " + std::string(what));
  }

  Result<> read_page(std::uint64_t number, MutableBytes out) const {
    return base::read_exactly_at(fd_, number * page_bytes_, out, name_);
  }

  Result<Meta> newest_meta() {
    std::optional<Meta> newest;
    Bytes page(page_bytes_);
    for (std::uint64_t number = 0; number < 2; ++number) {
      FIRN_TRY(read_page(number, page));
      FIRN_LET(const Meta meta, parse_meta(page, number));
      // The first one wins a tie, as in LMDB.
      if (!newest || meta.transaction > newest->transaction) {
        newest = meta;
      }
    }
    // The file itself may end earlier: pages that were used and freed by one transaction are never written.
    if (newest->page_last < 1 || newest->page_last >= map_size_bytes_ / page_bytes_) {
      return corrupt("counts more pages than fit");
    }
    return *newest;
  }

  Result<Meta> parse_meta(ByteView page, std::uint64_t number) const {
    static_assert(kMetaBytes <= 4096);
    const std::byte* at = page.data();
    if (load<std::uint64_t>(at + kPageNumberAt) != number ||
        load<std::uint16_t>(at + kPageFlagsAt) != kPageMeta || load<std::uint32_t>(at + kMetaAt) != kMagic ||
        load<std::uint32_t>(at + kMetaAt + 4) != kDataVersion) {
      return corrupt("bad meta page");
    }
    Meta meta;
    meta.free = Tree::parse(at + kMetaTreesAt);
    meta.main = Tree::parse(at + kMetaTreesAt + kTreeBytes);
    meta.page_last = load<std::uint64_t>(at + kMetaLastPageAt);
    meta.transaction = load<std::uint64_t>(at + kMetaTransactionAt);
    if (meta.free.pad != page_bytes_ || meta.free.flags != kTreeIntegerKey || meta.main.flags != 0) {
      return corrupt("meta page of another machine or with unknown flags");
    }
    // Commits write the two in turn; both begin with 0.
    if (meta.transaction != 0 && meta.transaction % 2 != number) {
      return corrupt("meta page with the other one's transaction");
    }
    return meta;
  }

  struct Sums {
    std::uint64_t branch_pages = 0;
    std::uint64_t leaf_pages = 0;
    std::uint64_t overflow_pages = 0;
    std::uint64_t entries = 0;
  };

  Result<> check_tree(const Tree& tree, TreeKind kind) {
    sums_ = Sums{};
    if (tree.root == kNoPage) {
      if (tree.depth != 0) {
        return corrupt("empty tree with a depth");
      }
    } else {
      if (tree.depth < 1 || tree.depth > kDepthMax) {
        return corrupt("tree of impossible depth");
      }
      while (levels_.size() < tree.depth) {
        levels_.emplace_back(page_bytes_);
      }
      kind_ = kind;
      FIRN_TRY(check_page(tree.root, tree.depth, true, KeyBounds{}));
    }
    if (sums_.branch_pages != tree.branch_pages || sums_.leaf_pages != tree.leaf_pages ||
        sums_.overflow_pages != tree.overflow_pages || sums_.entries != tree.entries) {
      return corrupt("tree does not have the pages and entries that its root counts");
    }
    return {};
  }

  Result<> claim_pages(std::uint64_t first, std::uint64_t count) {
    if (count == 0 || first >= used_.size() || count > used_.size() - first) {
      return corrupt("page number outside the file");
    }
    for (std::uint64_t page = first; page < first + count; ++page) {
      if (used_[page]) {
        return corrupt("page is used twice");
      }
      used_[page] = true;
    }
    return {};
  }

  /// A node of the page that is being looked at; offsets are checked.
  struct Node {
    ByteView key;
    std::uint16_t lo = 0;
    std::uint16_t hi = 0;
    std::uint16_t flags = 0;
    ByteView data;  // of leaves: the value, or the number of its first overflow page

    std::uint64_t child() const {
      return std::uint64_t{lo} | std::uint64_t{hi} << 16 | std::uint64_t{flags} << 32;
    }
    std::uint32_t data_size_bytes() const { return std::uint32_t{lo} | std::uint32_t{hi} << 16; }
  };

  /// Reads node `i`, and marks its place in `taken`, one bit for two bytes.
  Result<Node> read_node(ByteView page, std::size_t i, bool leaf, std::size_t upper,
                         std::array<std::uint64_t, kPageBytesMax / 128>& taken) const {
    const std::size_t start = load<std::uint16_t>(page.data() + kPageHeaderBytes + 2 * i);
    if (start < upper || start % 2 != 0 || start + kNodeHeaderBytes > page.size()) {
      return corrupt("node outside its page");
    }
    const std::byte* at = page.data() + start;
    Node node;
    node.lo = load<std::uint16_t>(at);
    node.hi = load<std::uint16_t>(at + 2);
    node.flags = load<std::uint16_t>(at + 4);
    const std::size_t key_bytes = load<std::uint16_t>(at + 6);
    std::size_t data_bytes = 0;
    if (leaf) {
      data_bytes = (node.flags & kNodeBigData) != 0 ? sizeof(std::uint64_t) : node.data_size_bytes();
      // Half a page at most: LMDB counts on it when it splits one.
      if (kNodeHeaderBytes + key_bytes + data_bytes > (page.size() - kPageHeaderBytes) / 2 / 2 * 2 - 2) {
        return corrupt("node larger than half a page");
      }
    }
    const std::size_t room = page.size() - start - kNodeHeaderBytes;
    if (key_bytes > room || data_bytes > room - key_bytes) {
      return corrupt("node ends outside its page");
    }
    const std::size_t end = start + (kNodeHeaderBytes + key_bytes + data_bytes + 1) / 2 * 2;
    for (std::size_t place = start / 2; place < end / 2; ++place) {
      const std::uint64_t bit = std::uint64_t{1} << (place % 64);
      if ((taken[place / 64] & bit) != 0) {
        return corrupt("nodes overlap");
      }
      taken[place / 64] |= bit;
    }
    node.key = page.subspan(start + kNodeHeaderBytes, key_bytes);
    node.data = page.subspan(start + kNodeHeaderBytes + key_bytes, data_bytes);
    return node;
  }

  /// Depth-first; `depth` counts down to 1 at the leaves, so the recursion is bounded.
  Result<> check_page(std::uint64_t number, unsigned depth, bool root, const KeyBounds& bounds) {
    FIRN_TRY(claim_pages(number, 1));
    const MutableBytes page(levels_[depth - 1]);
    FIRN_TRY(read_page(number, page));
    const bool leaf = depth == 1;
    const std::size_t lower = load<std::uint16_t>(page.data() + kPageLowerAt);
    const std::size_t upper = load<std::uint16_t>(page.data() + kPageUpperAt);
    if (load<std::uint64_t>(page.data() + kPageNumberAt) != number ||
        load<std::uint16_t>(page.data() + kPageFlagsAt) != (leaf ? kPageLeaf : kPageBranch)) {
      return corrupt("page is not the one that it should be");
    }
    if (lower < kPageHeaderBytes || lower % 2 != 0 || upper < lower || upper > page.size()) {
      return corrupt("page with impossible borders");
    }
    const std::size_t count = (lower - kPageHeaderBytes) / 2;
    // LMDB asserts two children of a branch page, but in its list of free pages, where one may stay.
    const std::size_t count_min = leaf || kind_ == TreeKind::Free ? 1 : 2;
    if (count < count_min) {
      return corrupt(root ? "root page without entries" : "page without entries");
    }
    (leaf ? sums_.leaf_pages : sums_.branch_pages) += 1;

    std::array<std::uint64_t, kPageBytesMax / 128> taken{};
    std::vector<Node>& nodes = nodes_at(depth);
    nodes.clear();
    std::size_t taken_bytes = 0;
    for (std::size_t i = 0; i < count; ++i) {
      FIRN_LET(const Node node, read_node(page, i, leaf, upper, taken));
      taken_bytes += (kNodeHeaderBytes + node.key.size() + node.data.size() + 1) / 2 * 2;
      nodes.push_back(node);
    }
    if (taken_bytes != page.size() - upper) {
      return corrupt("page with a gap between its nodes");
    }
    FIRN_TRY(check_keys(nodes, leaf, bounds));
    for (std::size_t i = 0; i < count; ++i) {
      if (leaf) {
        FIRN_TRY(check_leaf_node(nodes[i]));
      } else {
        KeyBounds inner;
        inner.low = i == 0 ? bounds.low : std::optional(to_bytes(nodes[i].key));
        inner.high = i + 1 == count ? bounds.high : std::optional(to_bytes(nodes[i + 1].key));
        FIRN_TRY(check_page(nodes[i].child(), depth - 1, false, inner));
      }
    }
    return {};
  }

  std::vector<Node>& nodes_at(unsigned depth) {
    while (nodes_.size() < depth) {
      nodes_.emplace_back();
    }
    return nodes_[depth - 1];
  }

  bool less(ByteView a, ByteView b) const {
    if (kind_ == TreeKind::Free) {
      return load<std::uint64_t>(a.data()) < load<std::uint64_t>(b.data());
    }
    const int order = std::memcmp(a.data(), b.data(), std::min(a.size(), b.size()));
    return order < 0 || (order == 0 && a.size() < b.size());
  }

  Result<> check_keys(const std::vector<Node>& nodes, bool leaf, const KeyBounds& bounds) const {
    // The first key of a branch page means nothing: it stands for "everything before".
    for (std::size_t i = leaf ? 0 : 1; i < nodes.size(); ++i) {
      const ByteView key = nodes[i].key;
      const bool size_right = kind_ == TreeKind::Free ? key.size() == sizeof(std::uint64_t)
                                                      : !key.empty() && key.size() <= kKeySizeBytesMax;
      if (!size_right) {
        return corrupt("key of impossible size");
      }
      if ((bounds.low && less(key, *bounds.low)) || (bounds.high && !less(key, *bounds.high))) {
        return corrupt("key outside the borders of its page");
      }
      if (i > (leaf ? 0U : 1U) && !less(nodes[i - 1].key, key)) {
        return corrupt("keys out of order");
      }
    }
    if (!leaf && nodes[0].key.size() > kKeySizeBytesMax) {
      return corrupt("key of impossible size");
    }
    return {};
  }

  Result<> check_leaf_node(const Node& node) {
    sums_.entries += 1;
    switch (kind_) {
      case TreeKind::Main:
        if (node.flags != kNodeSubData || node.data.size() != kTreeBytes) {
          return corrupt("the list of tables holds something else");
        }
        tables_.push_back(Tree::parse(node.data.data()));
        if (tables_.back().flags != 0 || tables_.size() > kTablesMax) {
          return corrupt("table of unknown kind");
        }
        return {};
      case TreeKind::Table:
        if (node.flags == 0) {
          return {};
        }
        if (node.flags != kNodeBigData) {
          return corrupt("value of unknown kind");
        }
        return claim_overflow(node, nullptr);
      case TreeKind::Free: {
        const auto freed_by = load<std::uint64_t>(node.key.data());
        if (freed_by == 0 || freed_by > transaction_) {
          return corrupt("pages freed by a transaction that never was");
        }
        if (node.flags == 0) {
          return check_free_list(node.data);
        }
        if (node.flags != kNodeBigData) {
          return corrupt("list of free pages of unknown kind");
        }
        Bytes list;
        FIRN_TRY(claim_overflow(node, &list));
        return check_free_list(list);
      }
    }
    return corrupt("tree of unknown kind");
  }

  /// A value on pages of its own, which `value` receives when somebody wants it.
  Result<> claim_overflow(const Node& node, Bytes* value) {
    const auto first = load<std::uint64_t>(node.data.data());
    if (first >= used_.size()) {
      return corrupt("page number outside the file");
    }
    Bytes header(kPageHeaderBytes);
    FIRN_TRY(read_page(first, header));
    const std::uint64_t pages = load<std::uint32_t>(header.data() + kOverflowCountAt);
    const std::uint64_t needed =
        (kPageHeaderBytes - 1 + std::uint64_t{node.data_size_bytes()}) / page_bytes_ + 1;
    if (load<std::uint64_t>(header.data() + kPageNumberAt) != first ||
        load<std::uint16_t>(header.data() + kPageFlagsAt) != kPageOverflow || pages < needed) {
      return corrupt("large value is not where it should be");
    }
    FIRN_TRY(claim_pages(first, pages));
    sums_.overflow_pages += pages;
    if (value != nullptr) {
      value->resize(node.data_size_bytes());
      FIRN_TRY(base::read_exactly_at(fd_, first * page_bytes_ + kPageHeaderBytes, *value, name_));
    }
    return {};
  }

  /// Free pages of one transaction: how many, then their numbers, falling.
  Result<> check_free_list(ByteView list) {
    if (list.size() < sizeof(std::uint64_t)) {
      return corrupt("list of free pages cut off");
    }
    const auto count = load<std::uint64_t>(list.data());
    if (count >= list.size() / sizeof(std::uint64_t)) {
      return corrupt("list of free pages longer than its value");
    }
    std::uint64_t before = kNoPage;
    for (std::uint64_t i = 1; i <= count; ++i) {
      const auto page = load<std::uint64_t>(list.data() + i * sizeof(std::uint64_t));
      if (page >= before) {
        return corrupt("list of free pages out of order");
      }
      FIRN_TRY(claim_pages(page, 1));
      before = page;
    }
    return {};
  }

  int fd_;
  std::uint64_t map_size_bytes_;
  std::string_view name_;
  std::size_t page_bytes_;
  std::vector<bool> used_;     // one bit a page
  std::vector<Bytes> levels_;  // the page of each level on the way down
  std::vector<std::vector<Node>> nodes_;
  std::vector<Tree> tables_;
  TreeKind kind_ = TreeKind::Main;
  std::uint64_t transaction_ = 0;
  Sums sums_;
};

}  // namespace

Result<LmdbFileFacts> check_lmdb_file(int fd, std::uint64_t map_size_bytes, LmdbCheck what,
                                      std::string_view name) {
  return Checker(fd, map_size_bytes, name).run(what);
}

}  // namespace firn::kv
