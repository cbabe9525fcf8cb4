#include "repo/tree/tree_reader.h"

#include "written.h"

namespace firn::tree {
namespace {

/// Everything in a model that a test names.
template <class Wanted>
Model filtered(const Model& model, Wanted wanted) {
  Model out;
  for (const auto& [key, entry] : model) {
    if (wanted(key)) {
      out.emplace(key, entry);
    }
  }
  return out;
}

bool is_below(const std::vector<std::string>& directory, const std::vector<std::string>& top) {
  return directory.size() >= top.size() && std::equal(top.begin(), top.end(), directory.begin());
}

const ModelKey& pick(const Model& model, RandomTree& random) {
  return std::next(model.begin(), static_cast<std::ptrdiff_t>(random.below(model.size())))->first;
}

struct Sample {
  explicit Sample(std::uint64_t seed) : random(seed), model(random.tree(300)), tree(write(store, model)) {}
  RandomTree random;
  MemoryPageStore store;
  Model model;
  WrittenTree tree;
};

TEST(TreeReader, SeekGoesToTheFirstEntryAtOrAboveAKey) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Sample sample(seed);
    for (int i = 0; i < 6; ++i) {
      ModelKey target = pick(sample.model, sample.random);
      if (i % 2 == 0) {
        target.second += "\x01";
      }
      TreeReader reader(sample.store, sample.tree.t);
      ASSERT_TRUE(reader.seek({join(target.first), target.second}));
      EXPECT_EQ(read_all(reader), filtered(sample.model, [&](const ModelKey& key) { return key >= target; }));
    }
  }
}

TEST(TreeReader, SeekNeverGoesBack) {
  Sample sample(3);
  TreeReader reader(sample.store, sample.tree.t);
  for (int i = 0; i < 150; ++i) {
    ASSERT_TRUE(reader.next().value());
  }
  const ModelKey reached = model_key(reader.key());
  ASSERT_TRUE(reader.seek({"", ""}));
  EXPECT_EQ(read_all(reader), filtered(sample.model, [&](const ModelKey& key) { return key > reached; }));
}

TEST(TreeReader, SeveralSeeksWithoutReadingLeaveNothingOut) {
  Sample sample(4);
  const ModelKey target = pick(sample.model, sample.random);
  TreeReader reader(sample.store, sample.tree.t);
  ASSERT_TRUE(reader.seek({"", ""}));
  ASSERT_TRUE(reader.seek({join(target.first), target.second}));
  ASSERT_TRUE(reader.seek({join(target.first), target.second}));
  EXPECT_EQ(read_all(reader), filtered(sample.model, [&](const ModelKey& key) { return key >= target; }));
}

TEST(TreeReader, SkipBelowLeavesOutExactlyTheSubtree) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Sample sample(seed);
    const auto top = pick(sample.model, sample.random).first;
    TreeReader reader(sample.store, sample.tree.t);
    Model read;
    while (reader.next().value()) {
      read.emplace(model_key(reader.key()), format::to_entry(reader.entry()));
      if (model_key(reader.key()).first == top) {
        read.erase(model_key(reader.key()));
        ASSERT_TRUE(reader.skip_below(join(top)));
      }
    }
    EXPECT_EQ(read, filtered(sample.model, [&](const ModelKey& key) { return !is_below(key.first, top); }));
  }
}

TEST(TreeReader, SaysWhereADirectoryBegins) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Sample sample(seed);
    TreeReader reader(sample.store, sample.tree.t);
    std::optional<std::string> before;
    while (reader.next().value()) {
      EXPECT_EQ(reader.directory_begins(), before != reader.key().directory);
      before = std::string(reader.key().directory);
    }
  }
}

TEST(TreeReader, ListsTheChildrenOfOneDirectoryOnly) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Sample sample(seed);
    for (const auto& directory : {pick(sample.model, sample.random).first, std::vector<std::string>{}}) {
      TreeReader children = TreeReader(sample.store, sample.tree.t).list_directory(join(directory));
      EXPECT_EQ(read_all(children), filtered(sample.model, [&](const ModelKey& key) {
                  return key.first == directory && !key.second.empty();
                }));
    }
  }
}

TEST(TreeReader, ListsEverythingBelowADirectory) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Sample sample(seed);
    for (const auto& top : {pick(sample.model, sample.random).first, std::vector<std::string>{}}) {
      TreeReader below = TreeReader(sample.store, sample.tree.t).list_below(join(top));
      EXPECT_EQ(read_all(below), filtered(sample.model, [&](const ModelKey& key) {
                  return is_below(key.first, top) && !key.second.empty();
                }));
    }
  }
}

TEST(TreeReader, AnUnknownDirectoryHasNoChildren) {
  Sample sample(8);
  TreeReader children = TreeReader(sample.store, sample.tree.t).list_directory("no/such/directory");
  EXPECT_FALSE(children.next().value());
  EXPECT_FALSE(children.next().value());
}

TEST(TreeReader, FindsEveryPathAndNoOther) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Sample sample(seed);
    const TreeReader reader(sample.store, sample.tree.t);
    for (const auto& [key, entry] : sample.model) {
      const std::string path = format::path_of({join(key.first), key.second});
      const auto found = reader.find(path).value();
      ASSERT_TRUE(found);
      EXPECT_EQ(*found, entry);
      auto longer = key;
      longer.second += "\x01";
      EXPECT_EQ(reader.find(path + "\x01").value().has_value(), sample.model.contains(longer));
    }
    for (const char* bad : {"/", "a/", "/a", "a//b", "..", "."}) {
      EXPECT_FALSE(reader.find(bad).value()) << bad;
    }
  }
}

TEST(TreeReader, FindReadsOnePageForEachLevel) {
  Sample sample(9);
  ASSERT_GT(sample.tree.levels, 1);
  const TreeReader reader(sample.store, sample.tree.t);
  for (const auto& [key, entry] : sample.model) {
    sample.store.page_reads = 0;
    ASSERT_TRUE(reader.find(format::path_of({join(key.first), key.second})).value());
    EXPECT_EQ(sample.store.page_reads, sample.tree.levels);
  }
}

TEST(TreeReader, ListingADirectoryReadsOnlyThePagesThatHoldIt) {
  RandomTree random(10);
  Model model;
  for (int directory = 10; directory < 99; ++directory) {
    for (int i = 100; i < 300; ++i) {
      const std::string name = std::to_string(i);
      model.emplace(ModelKey{{std::to_string(directory)}, name},
                    random.entry(name, format::FileType::Regular));
    }
  }
  MemoryPageStore store;
  const WrittenTree tree = write(store, model);
  ASSERT_GT(tree.pages.leaf_pages, 40U);
  store.page_reads = 0;
  TreeReader children = TreeReader(store, tree.t).list_directory("50");
  EXPECT_EQ(read_all(children).size(), 200U);
  EXPECT_LT(store.page_reads, 15U);
}

TEST(TreeReader, NamesPagesAheadOnceAndInTheOrderThatItReadsThem) {
  Sample sample(11);
  sample.model = sample.random.tree(3000);
  sample.tree = write(sample.store, sample.model);
  std::vector<format::ChunkSecret> named;
  sample.store.read_once.clear();
  bool ahead_of_reading = true;
  const ReadOptions options{.prefetch =
                                [&](format::ChunkType type, std::span<const format::ChunkSecret> pages) {
                                  EXPECT_EQ(type, format::ChunkType::TreePage);
                                  for (const auto& page : pages) {
                                    ahead_of_reading &= !sample.store.read_once.contains(page);
                                    named.push_back(page);
                                  }
                                },
                            .prefetch_pages = 4};
  TreeReader reader(sample.store, sample.tree.t, options);
  EXPECT_EQ(read_all(reader), sample.model);
  EXPECT_TRUE(ahead_of_reading);
  const std::set<format::ChunkSecret> unique(named.begin(), named.end());
  EXPECT_EQ(unique.size(), named.size());
  // All but the root and the first child of each inner page.
  EXPECT_EQ(named.size(),
            sample.tree.pages.leaf_pages + sample.tree.pages.inner_pages - 1 - sample.tree.pages.inner_pages);
}

TEST(TreeReader, DoesNotNamePagesBehindADirectoryThatItLists) {
  Sample sample(12);
  sample.model = sample.random.tree(3000);
  sample.tree = write(sample.store, sample.model);
  std::set<format::ChunkSecret> named;
  const ReadOptions options{.prefetch =
                                [&](format::ChunkType, std::span<const format::ChunkSecret> pages) {
                                  named.insert(pages.begin(), pages.end());
                                },
                            .prefetch_pages = 100};
  sample.store.read_once.clear();
  TreeReader children = TreeReader(sample.store, sample.tree.t, options).list_directory("");
  (void)read_all(children);
  for (const auto& page : named) {
    EXPECT_TRUE(sample.store.read_once.contains(page));
  }
}

}  // namespace
}  // namespace firn::tree
