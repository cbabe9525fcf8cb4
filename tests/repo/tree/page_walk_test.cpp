#include "repo/tree/page_walk.h"

#include <gtest/gtest.h>

#include "repo/tree/slice_list.h"
#include "written.h"

namespace firn::tree {
namespace {

class Recorder final : public PageVisitor {
 public:
  Result<bool> enter(const PageAt& page) override { return entered.insert(page.t).second; }
  Result<> page(const PageAt& page, const format::RefsPage& refs) override {
    pages.insert(page.t);
    ids.insert(refs.chunks.begin(), refs.chunks.end());
    return {};
  }
  Result<> entry(const format::Key& key, const format::EntryView& entry) override {
    EXPECT_TRUE(entries.emplace(model_key(key), format::to_entry(entry)).second);
    return {};
  }
  Result<> damaged(const PageAt& page, const Error& error) override {
    damage.emplace_back(page.t, error);
    return {};
  }
  std::set<format::ChunkSecret> entered;
  std::set<format::ChunkSecret> pages;
  std::set<format::ChunkId> ids;
  Model entries;
  std::vector<std::pair<format::ChunkSecret, Error>> damage;
};

/// A tree of two levels with one long file.
struct Sample {
  explicit Sample(std::uint32_t slices = 5000) : random(1), model(random.tree(800)) {
    SliceListWriter writer(store, kSeeds);
    for (std::uint32_t i = 0; i < slices; ++i) {
      format::Slice slice{{}, 0, 1000};
      std::memcpy(slice.chunk.bytes.data() + 8, &i, sizeof(i));
      EXPECT_TRUE(writer.add(slice));
    }
    format::Entry entry;
    entry.name = "zz-long";
    entry.content = writer.finish().value();
    entry.size_bytes = entry.content.length();
    model.emplace(ModelKey{{}, entry.name}, entry);
    tree = write(store, model);
    root = {format::ChunkType::TreePage, tree.t, tree.refs};
  }
  Recorder walk() {
    Recorder recorder;
    EXPECT_TRUE(walk_pages(store, root, recorder));
    return recorder;
  }
  RandomTree random;
  MemoryPageStore store;
  Model model;
  WrittenTree tree;
  PageAt root;
};

TEST(PageWalk, VisitsEveryPageAndEntryOfASoundTree) {
  Sample sample;
  const Recorder seen = sample.walk();
  EXPECT_TRUE(seen.damage.empty());
  EXPECT_EQ(seen.entries, sample.model);
  EXPECT_EQ(seen.pages.size(), sample.store.pages.size());
  for (const auto& [named, plain] : sample.store.pages) {
    EXPECT_TRUE(seen.pages.contains(named.second));
    EXPECT_TRUE(named.second == sample.tree.t || seen.ids.contains(format::chunk_id(named.second)));
  }
}

TEST(PageWalk, LeavesOutPagesThatWereSeen) {
  Sample sample;
  Recorder recorder;
  ASSERT_TRUE(walk_pages(sample.store, sample.root, recorder));
  sample.random.mutate(sample.model, 1);
  const WrittenTree second = write(sample.store, sample.model);
  sample.store.page_reads = 0;
  recorder.entries.clear();
  ASSERT_TRUE(walk_pages(sample.store, {format::ChunkType::TreePage, second.t, second.refs}, recorder));
  EXPECT_LE(sample.store.page_reads, second.levels + 3U);
  EXPECT_TRUE(recorder.damage.empty());
}

TEST(PageWalk, AMissingPageHidesOnlyWhatIsBelowIt) {
  Sample sample;
  for (const auto& [named, plain] : std::map(sample.store.pages)) {
    sample.store.pages.erase(named);
    const Recorder seen = sample.walk();
    ASSERT_EQ(seen.damage.size(), 1U);
    EXPECT_EQ(seen.damage[0].first, named.second);
    EXPECT_NE(seen.damage[0].second.message.find(format::chunk_id(named.second).hex()), std::string::npos);
    if (plain[0] == std::byte{0}) {
      for (const auto& [other, bytes] : sample.store.pages) {
        const bool may_hang_on_it = named.first == format::ChunkType::TreePage && other.first != named.first;
        EXPECT_TRUE(may_hang_on_it || seen.pages.contains(other.second));
      }
    }
    sample.store.pages.emplace(named, plain);
  }
}

TEST(PageWalk, NamesEveryTwinThatIsMissingOrSaysOtherIds) {
  Sample sample;
  for (const auto& [id, plain] : std::map(sample.store.refs_pages)) {
    for (const bool missing : {true, false}) {
      sample.store.refs_pages.erase(id);
      if (!missing) {
        sample.store.refs_pages[id] = format::encode(format::RefsPage{{format::ChunkId{}}, {}}).value();
      }
      const Recorder seen = sample.walk();
      ASSERT_GE(seen.damage.size(), 1U);
      EXPECT_NE(seen.damage[0].second.message.find(id.hex()), std::string::npos);
      EXPECT_EQ(seen.entries, sample.model) << "what is readable is visited all the same";
      sample.store.refs_pages[id] = plain;
    }
  }
}

TEST(PageWalk, FindsEveryFlippedBit) {
  // The twin holds the ids of the page as it was; a flip that leaves those alone is still told by t in a real
  // store, so here only pages that no longer parse, or name other chunks, count.
  Sample sample(100);
  std::mt19937_64 random(2);
  int found = 0;
  for (int i = 0; i < 80; ++i) {
    auto page = std::next(sample.store.pages.begin(),
                          static_cast<std::ptrdiff_t>(random() % sample.store.pages.size()));
    const std::size_t at = random() % page->second.size();
    const auto bit = std::byte{1} << (random() % 8);
    page->second[at] ^= bit;
    const Recorder seen = sample.walk();
    found += seen.damage.empty() ? 0 : 1;
    const bool same_ids = sample.store.refs_pages.contains([&] {
      const auto refs = format::refs_of_page(page->first.first, page->second);
      return refs ? sample.store.refs_of(page->first.first, page->second) : format::ChunkId{};
    }());
    EXPECT_TRUE(!seen.damage.empty() || same_ids);
    page->second[at] ^= bit;
  }
  EXPECT_GT(found, 10);
}

TEST(PageWalk, AnUnavailableStoreIsNoDamage) {
  class Unavailable final : public PageSource {
    Result<Bytes> read_page(format::ChunkType, const format::ChunkSecret&) override {
      return fail(ErrorCode::Unavailable, "later");
    }
    Result<Bytes> read_refs(const format::ChunkId&) override { return fail(ErrorCode::Unavailable, "later"); }
  };
  Unavailable source;
  Recorder recorder;
  const auto walked = walk_pages(source, {}, recorder);
  ASSERT_FALSE(walked);
  EXPECT_EQ(walked.error().code, ErrorCode::Unavailable);
  EXPECT_TRUE(recorder.damage.empty());
}

}  // namespace
}  // namespace firn::tree
