// Trees whose pages lie: everything that a reader is given is either right or refused, and no walk is
// endless.
#include <gtest/gtest.h>

#include "repo/format/page.h"
#include "repo/tree/tree_diff.h"
#include "written.h"

namespace firn::tree {
namespace {

constexpr auto kTreePage = format::ChunkType::TreePage;

format::ChunkSecret named(int number) {
  format::ChunkSecret t;
  t.bytes[0] = static_cast<std::byte>(number);
  return t;
}

Bytes key_of(std::string_view name) { return format::sort_key({"", name}); }

Bytes leaf(std::initializer_list<const char*> names) {
  format::LeafPageWriter writer(kSeeds.page);
  for (const char* name : names) {
    format::Entry entry;
    entry.name = name;
    EXPECT_TRUE(writer.add("", entry));
  }
  return writer.take().bytes;
}

struct Child {
  Bytes separator;
  int page;
};

/// The children must ascend: what a page writer would not write is made by damaging bytes.
Bytes inner(std::uint8_t level, std::initializer_list<Child> children) {
  format::InnerPageWriter writer(kSeeds.page, level);
  for (const Child& child : children) {
    (void)writer.add({child.separator, named(child.page), {}});
  }
  return writer.take().bytes;
}

/// Reads to the end or the first error; what was read must ascend.
Result<std::size_t> count(PageSource& source, const format::ChunkSecret& root) {
  TreeReader reader(source, root);
  std::optional<ModelKey> before;
  std::size_t entries = 0;
  for (;;) {
    FIRN_LET(const bool more, reader.next());
    if (!more) {
      return entries;
    }
    const ModelKey key = model_key(reader.key());
    EXPECT_TRUE(!before || *before < key);
    before = key;
    ++entries;
  }
}

struct Hostile {
  const char* what;
  std::vector<std::pair<int, Bytes>> pages;  // page 1 is the root
};

std::vector<Hostile> hostile_trees() {
  return {
      {"children swapped",
       {{1, inner(1, {{{}, 3}, {key_of("m"), 2}})}, {2, leaf({"a", "b"})}, {3, leaf({"x", "y"})}}},
      {"the same child twice", {{1, inner(1, {{{}, 2}, {key_of("m"), 2}})}, {2, leaf({"a", "b"})}}},
      {"a child that begins before its separator",
       {{1, inner(1, {{{}, 2}, {key_of("m"), 3}})}, {2, leaf({"a", "b"})}, {3, leaf({"c", "x"})}}},
      {"a child that reaches beyond the next separator",
       {{1, inner(1, {{{}, 2}, {key_of("m"), 3}})}, {2, leaf({"a", "n"})}, {3, leaf({"x", "y"})}}},
      {"an inner page that reaches beyond the next separator",
       {{1, inner(2, {{{}, 2}, {key_of("m"), 3}})},
        {2, inner(1, {{{}, 4}, {key_of("p"), 5}})},
        {3, inner(1, {{key_of("m"), 6}})},
        {4, leaf({"a"})},
        {5, leaf({"q"})},
        {6, leaf({"x"})}}},
      {"an inner page that begins elsewhere than its parent says",
       {{1, inner(2, {{{}, 2}, {key_of("m"), 3}})},
        {2, inner(1, {{{}, 4}})},
        {3, inner(1, {{key_of("n"), 5}})},
        {4, leaf({"a"})},
        {5, leaf({"x"})}}},
      {"a root that begins behind the beginning", {{1, inner(1, {{key_of("b"), 2}})}, {2, leaf({"x"})}}},
      {"a page that names itself", {{1, inner(1, {{{}, 1}})}}},
      {"a loop of two pages", {{1, inner(2, {{{}, 2}})}, {2, inner(1, {{{}, 1}})}}},
      {"a leaf two levels down", {{1, inner(2, {{{}, 2}})}, {2, leaf({"a"})}}},
      {"an inner page where a leaf must be",
       {{1, inner(1, {{{}, 2}})}, {2, inner(1, {{{}, 3}})}, {3, leaf({"a"})}}},
      {"an empty page", {{1, {}}}},
      {"a level alone", {{1, {std::byte{0}}}}},
      {"an inner level alone", {{1, {std::byte{1}}}}},
      {"a level above all levels", {{1, {std::byte{16}}}}},
  };
}

TEST(HostilePages, AreRefused) {
  for (const auto& [what, pages] : hostile_trees()) {
    SCOPED_TRACE(what);
    MemoryPageStore store;
    for (const auto& [number, bytes] : pages) {
      store.pages[{kTreePage, named(number)}] = bytes;
    }
    const auto read = count(store, named(1));
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::Corrupt);
    EXPECT_NE(read.error().message.find("tree page"), std::string::npos) << read.error().message;
    EXPECT_EQ(read.error().message.find(to_hex(named(1).bytes)), std::string::npos) << "t is a secret";
  }
}

TEST(HostilePages, AnHonestTreeOfTheSameMakeIsRead) {
  MemoryPageStore store;
  store.pages[{kTreePage, named(1)}] = inner(2, {{{}, 2}, {key_of("m"), 3}});
  store.pages[{kTreePage, named(2)}] = inner(1, {{{}, 4}, {key_of("f"), 5}});
  store.pages[{kTreePage, named(3)}] = inner(1, {{key_of("m"), 6}});
  store.pages[{kTreePage, named(4)}] = leaf({"a"});
  store.pages[{kTreePage, named(5)}] = leaf({"f", "l"});
  store.pages[{kTreePage, named(6)}] = leaf({"x"});
  EXPECT_EQ(count(store, named(1)).value(), 4U);
}

TEST(HostilePages, AnErrorNamesThePathWhereThePageBegins) {
  MemoryPageStore store;
  store.pages[{kTreePage, named(1)}] = inner(1, {{{}, 2}, {format::sort_key({"home/x", "y\n"}), 3}});
  store.pages[{kTreePage, named(2)}] = leaf({"a"});
  const auto read = count(store, named(1));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::NotFound);
  EXPECT_NE(read.error().message.find("(from home/x/y\\x0a)"), std::string::npos) << read.error().message;
}

TEST(HostilePages, NothingIsGivenAfterDamage) {
  MemoryPageStore store;
  store.pages[{kTreePage, named(1)}] = leaf({"a", "b", "c"});
  store.pages[{kTreePage, named(1)}].back() ^= std::byte{0xff};
  TreeReader reader(store, named(1));
  ASSERT_TRUE(reader.next().value());
  ASSERT_TRUE(reader.next().value());
  for (int i = 0; i < 3; ++i) {
    const auto more = reader.next();
    ASSERT_FALSE(more);
    EXPECT_EQ(more.error().code, ErrorCode::Corrupt);
    EXPECT_FALSE(reader.skip_below("a"));
  }
}

TEST(HostilePages, SeekSeesTheSameBoundsAsReading) {
  for (const auto& [what, pages] : hostile_trees()) {
    SCOPED_TRACE(what);
    MemoryPageStore store;
    for (const auto& [number, bytes] : pages) {
      store.pages[{kTreePage, named(number)}] = bytes;
    }
    const TreeReader reader(store, named(1));
    for (const char* name : {"a", "b", "c", "n", "q", "x"}) {
      const auto found = reader.find(name);
      if (found && *found) {
        EXPECT_EQ((*found)->name, name);
      }
    }
  }
}

TEST(HostilePages, FlippedBitsAreRefusedOrReadWithoutHarm) {
  MemoryPageStore store;
  const WrittenTree tree = write(store, RandomTree(1).tree(1500));
  const WrittenTree other = write(store, RandomTree(2).tree(1500));
  ASSERT_GT(tree.levels, 1);
  std::mt19937_64 random(3);
  int refused = 0;
  constexpr int kFlips = 400;
  for (int i = 0; i < kFlips; ++i) {
    auto page = std::next(store.pages.begin(), static_cast<std::ptrdiff_t>(random() % store.pages.size()));
    const std::size_t at = random() % page->second.size();
    const auto bit = std::byte{1} << (random() % 8);
    page->second[at] ^= bit;
    const auto read = count(store, tree.t);
    if (!read) {
      ++refused;
      EXPECT_TRUE(read.error().code == ErrorCode::Corrupt || read.error().code == ErrorCode::NotFound);
    }
    const auto walked = diff_trees(
        {store, tree.t}, {store, other.t},
        [](const format::Key&, const format::EntryView*, const format::EntryView*) { return Result<>(); });
    EXPECT_TRUE(walked || walked.error().code == ErrorCode::Corrupt ||
                walked.error().code == ErrorCode::NotFound);
    page->second[at] ^= bit;
  }
  EXPECT_GT(refused, 0);
}

TEST(HostilePages, TruncatedPagesAreRefused) {
  MemoryPageStore store;
  const WrittenTree tree = write(store, RandomTree(4).tree(300));
  for (auto& [name, bytes] : store.pages) {
    const Bytes whole = bytes;
    for (std::size_t size = 0; size < whole.size(); size += 1 + whole.size() / 300) {
      bytes.resize(size);
      const auto read = count(store, tree.t);
      // A leaf may be cut between two entries: then it is a smaller page, and only its name tells.
      EXPECT_TRUE(read ? *read < tree.entries : read.error().code == ErrorCode::Corrupt);
      bytes = whole;
    }
  }
}

}  // namespace
}  // namespace firn::tree
