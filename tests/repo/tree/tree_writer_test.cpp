#include "repo/tree/tree_writer.h"

#include <malloc.h>

#include "written.h"

namespace firn::tree {
namespace {

format::Entry file(std::string name, std::uint64_t inode) {
  format::Entry entry;
  entry.name = std::move(name);
  entry.mode = 0644;
  entry.inode = inode;
  return entry;
}

std::string numbered(const char* prefix, std::uint64_t number) {
  std::string digits = std::to_string(number);
  return prefix + std::string(8 - digits.size(), '0') + digits;
}

TEST(TreeWriter, WhatWasWrittenIsReadInTheSameOrder) {
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomTree random(seed);
    const Model model = random.tree(1 + random.below(400));
    MemoryPageStore store;
    const WrittenTree tree = write(store, model);
    EXPECT_EQ(tree.entries, model.size());
    TreeReader reader(store, tree.t);
    auto expected = model.begin();
    while (reader.next().value()) {
      ASSERT_NE(expected, model.end());
      ASSERT_EQ(model_key(reader.key()), expected->first);
      ASSERT_EQ(format::to_entry(reader.entry()), expected->second);
      ++expected;
    }
    ASSERT_EQ(expected, model.end());
  }
}

TEST(TreeWriter, CopiesEntriesOfAnotherTreeByteForByte) {
  RandomTree random(5);
  MemoryPageStore store;
  const WrittenTree tree = write(store, random.tree(2000));
  TreeReader reader(store, tree.t);
  TreeWriter copier(store, kSeeds);
  while (reader.next().value()) {
    ASSERT_TRUE(copier.add(reader.key().directory, reader.entry()));
  }
  EXPECT_EQ(copier.finish().value().t, tree.t);
}

TEST(TreeWriter, GivesEveryPageTheTwinThatItsBytesSay) {
  MemoryPageStore store;
  const WrittenTree tree = write(store, RandomTree(6).tree(3000));
  ASSERT_GT(tree.levels, 1);
  for (const auto& [named, plain] : store.pages) {
    EXPECT_TRUE(store.refs_pages.contains(store.refs_of(named.first, plain)));
  }
  EXPECT_EQ(store.refs_of(format::ChunkType::TreePage, store.pages.at({format::ChunkType::TreePage, tree.t})),
            tree.refs);
  EXPECT_EQ(format::chunk_id(tree.t), tree.id);
}

TEST(TreeWriter, CountsThePagesThatItHandsOver) {
  MemoryPageStore store;
  const WrittenTree tree = write(store, RandomTree(7).tree(3000));
  EXPECT_EQ(tree.pages.leaf_pages + tree.pages.inner_pages, store.pages.size());
  EXPECT_EQ(tree.pages.refs_pages, store.pages.size());
  std::uint64_t bytes = 0;
  for (const auto& [named, plain] : store.pages) {
    bytes += plain.size();
  }
  EXPECT_EQ(tree.pages.page_bytes, bytes);
}

TEST(TreeWriter, ASmallTreeIsOneLeafPage) {
  MemoryPageStore store;
  const WrittenTree tree = write(store, {{ModelKey{}, file("", 1)}});
  EXPECT_EQ(tree.levels, 1);
  EXPECT_EQ(store.pages.size(), 1U);
}

TEST(TreeWriter, RefusesATreeWithoutEntries) {
  MemoryPageStore store;
  const auto tree = TreeWriter(store, kSeeds).finish();
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().code, ErrorCode::Invalid);
}

TEST(TreeWriter, GoesOnAfterAnEntryThatTheFormatCannotHold) {
  MemoryPageStore store;
  TreeWriter writer(store, kSeeds);
  ASSERT_TRUE(writer.add("", file("a", 1)));
  const auto refused = writer.add("", file("b/c", 2));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::Invalid);
  ASSERT_TRUE(writer.add("", file("d", 3)));
  const WrittenTree tree = writer.finish().value();
  TreeReader reader(store, tree.t);
  const Model model = read_all(reader);
  EXPECT_EQ(model.size(), 2U);
  EXPECT_TRUE(model.contains({{}, "d"}));
}

TEST(TreeWriter, ReportsASinkThatFails) {
  MemoryPageStore store;
  store.sink_fails = true;
  TreeWriter writer(store, kSeeds);
  ASSERT_TRUE(writer.add("", file("a", 1)));
  const auto tree = writer.finish();
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().code, ErrorCode::Exhausted);
}

TEST(TreeWriterDeathTest, AnEntryOutOfOrderIsABug) {
  MemoryPageStore store;
  TreeWriter writer(store, kSeeds);
  ASSERT_TRUE(writer.add("", file("b", 1)));
  EXPECT_DEATH((void)writer.add("", file("a", 2)), "");
  EXPECT_DEATH((void)writer.add("", file("b", 2)), "");
}

TEST(TreeWriter, OneChangeAmongManyMakesOnePageALevel) {
  constexpr std::uint64_t kEntries = 100'000;
  MemoryPageStore store;
  const auto write_with = [&](std::uint64_t changed, bool insert) {
    TreeWriter writer(store, kSeeds);
    for (std::uint64_t i = 0; i < kEntries; ++i) {
      const std::string directory = numbered("d", i / 1000);
      EXPECT_TRUE(writer.add(directory, file(numbered("f", i), i + (!insert && i == changed ? 1 : 0))));
      if (insert && i == changed) {
        EXPECT_TRUE(writer.add(directory, file(numbered("f", i) + "-new", i)));
      }
    }
    return writer.finish().value();
  };
  const WrittenTree first = write_with(kEntries, false);
  ASSERT_GE(first.pages.leaf_pages, 30U);
  for (const bool insert : {false, true}) {
    for (const std::uint64_t changed : {std::uint64_t{0}, kEntries / 3, kEntries / 2, kEntries - 1}) {
      SCOPED_TRACE(std::to_string(changed) + (insert ? " insert" : " change"));
      store.new_pages = 0;
      store.new_refs_pages = 0;
      const WrittenTree second = write_with(changed, insert);
      EXPECT_NE(second.t, first.t);
      // A page for each level; an insertion may also move a border or two.
      EXPECT_LE(store.new_pages, first.levels + (insert ? 3U : 0U));
      EXPECT_LE(store.new_refs_pages, first.levels + (insert ? 3U : 0U));
    }
  }
}

/// Names pages as a store would and keeps none.
class ForgetfulSink final : public PageSink {
 public:
  Result<StoredPage> store_page(format::ChunkType, ByteView plain) override {
    largest = std::max(largest, plain.size());
    format::ChunkSecret t;
    t.bytes[0] = static_cast<std::byte>(++pages);
    t.bytes[1] = static_cast<std::byte>(pages >> 8);
    return StoredPage{t, {}};
  }
  Result<format::ChunkId> store_refs(ByteView) override { return format::ChunkId{}; }
  std::uint64_t pages = 0;
  std::size_t largest = 0;
};

TEST(TreeWriter, AMillionEntriesInOneDirectoryTakeBoundedMemory) {
  ForgetfulSink sink;
  TreeWriter writer(sink, kSeeds);
  const std::size_t before = mallinfo2().uordblks;
  std::size_t peak = before;
  for (std::uint64_t i = 0; i < 1'000'000; ++i) {
    ASSERT_TRUE(writer.add("big", file(numbered("f", i), i)));
    if (i % 997 == 0) {
      peak = std::max(peak, mallinfo2().uordblks);
    }
  }
  const WrittenTree tree = writer.finish().value();
  EXPECT_EQ(tree.entries, 1'000'000U);
  EXPECT_LE(sink.largest, format::kPageBytesMax);
  EXPECT_LE(peak - before, 4U << 20);
}

TEST(TreeWriter, HoldsPathsAsLongAsTheFormatAllows) {
  // The longest separators there can be: directories that share nothing, whose paths have as many parts as
  // fit (each '/' counts twice in a sort key), and each is longer than a leaf page, so that borders lie in
  // them.
  constexpr int kDirectories = 60;
  constexpr int kEntries = 30;
  const auto directory = [](int i) {
    std::string path = std::to_string(1000 + i);
    while (path.size() + 2 <= format::kDirectoryBytesMax) {
      path += "/a";
    }
    return path;
  };
  const auto entry = [](int j) {
    format::Entry link = file(std::string(format::kNameBytesMax - 2, 'n') + std::to_string(10 + j), 1);
    link.type = format::FileType::Symlink;
    link.target.assign(format::kTargetBytesMax, 't');
    return link;
  };
  MemoryPageStore store;
  TreeWriter writer(store, kSeeds);
  for (int i = 0; i < kDirectories; ++i) {
    for (int j = 0; j < kEntries; ++j) {
      ASSERT_TRUE(writer.add(directory(i), entry(j)));
    }
  }
  const WrittenTree tree = writer.finish().value();
  EXPECT_GE(tree.levels, 3);
  TreeReader reader(store, tree.t);
  for (int i = 0; i < kDirectories; ++i) {
    for (int j = 0; j < kEntries; ++j) {
      ASSERT_TRUE(reader.next().value());
      ASSERT_EQ(reader.key().directory, directory(i));
      ASSERT_EQ(format::to_entry(reader.entry()), entry(j));
    }
  }
  EXPECT_FALSE(reader.next().value());
  EXPECT_TRUE(reader.find(format::path_of({directory(31), entry(7).name})).value());
}

TEST(TreeWriter, KeepsNamesOfAllBytes) {
  Model model;
  for (int value = 1; value < 256; ++value) {
    if (value != '/') {
      const std::string name = "n" + std::string(1, static_cast<char>(value));
      model.emplace(ModelKey{{}, name}, file(name, 1));
      model.emplace(ModelKey{{name}, name}, file(name, 1));
      model.emplace(ModelKey{{name, "n"}, name}, file(name, 1));
    }
  }
  MemoryPageStore store;
  const WrittenTree tree = write(store, model);
  TreeReader reader(store, tree.t);
  EXPECT_EQ(read_all(reader), model);
}

}  // namespace
}  // namespace firn::tree
