#include "repo/tree/refs_walk.h"

#include "written.h"

#include "repo/tree/slice_list.h"

namespace firn::tree {
namespace {

class Collector final : public RefsVisitor {
 public:
  Result<bool> enter(const format::ChunkId& refs_page) override {
    return refs_pages.insert(refs_page).second;
  }
  Result<> chunk(const format::ChunkId& id) override {
    chunks.insert(id);
    return {};
  }
  std::set<format::ChunkId> refs_pages;
  std::set<format::ChunkId> chunks;
};

/// Every chunk that readers of the tree would ask for, found without refs pages.
std::set<format::ChunkId> ids_by_reading(MemoryPageStore& store, const WrittenTree& tree) {
  std::set<format::ChunkId> ids;
  store.read_once.clear();
  TreeReader reader(store, tree.t);
  while (reader.next().value()) {
    SliceListReader slices(store, reader.entry().content);
    while (const auto placed = slices.next().value()) {
      ids.insert(format::chunk_id(placed->slice.chunk));
    }
  }
  for (const auto& t : store.read_once) {
    ids.insert(format::chunk_id(t));
  }
  ids.erase(tree.id);
  return ids;
}

Model with_long_file(RandomTree& random, MemoryPageStore& store, std::size_t entries) {
  Model model = random.tree(entries);
  SliceListWriter writer(store, kSeeds);
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    format::Slice slice{{}, 0, 1000};
    std::memcpy(slice.chunk.bytes.data() + 8, &i, sizeof(i));
    EXPECT_TRUE(writer.add(slice));
  }
  format::Entry entry = random.entry("zz-long", format::FileType::Fifo);
  entry.type = format::FileType::Regular;
  entry.content = writer.finish().value();
  entry.size_bytes = entry.content.length();
  model.emplace(ModelKey{{}, entry.name}, entry);
  return model;
}

TEST(RefsWalk, FindsExactlyTheChunksThatReadersAskFor) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomTree random(seed);
    MemoryPageStore store;
    const WrittenTree tree = write(store, with_long_file(random, store, 600));
    Collector collector;
    ASSERT_TRUE(walk_refs(store, tree.refs, collector));
    EXPECT_EQ(collector.chunks, ids_by_reading(store, tree));
    EXPECT_TRUE(collector.refs_pages.contains(tree.refs));
    EXPECT_EQ(collector.refs_pages.size(), store.refs_pages.size());
  }
}

TEST(RefsWalk, ReadsPagesThatTwoTreesShareOnce) {
  RandomTree random(30);
  MemoryPageStore store;
  Model model = random.tree(3000);
  const WrittenTree first = write(store, model);
  random.mutate(model, 2);
  const WrittenTree second = write(store, model);
  Collector collector;
  ASSERT_TRUE(walk_refs(store, first.refs, collector));
  ASSERT_TRUE(walk_refs(store, second.refs, collector));
  EXPECT_EQ(store.refs_reads, store.refs_pages.size());
}

TEST(RefsWalk, AMissingPageIsAnErrorThatNamesIt) {
  MemoryPageStore store;
  const WrittenTree tree = write(store, RandomTree(31).tree(2000));
  for (const auto& [id, plain] : std::map(store.refs_pages)) {
    store.refs_pages.erase(id);
    Collector collector;
    const auto walked = walk_refs(store, tree.refs, collector);
    ASSERT_FALSE(walked);
    EXPECT_EQ(walked.error().code, ErrorCode::NotFound);
    EXPECT_NE(walked.error().message.find(id.hex()), std::string::npos);
    store.refs_pages.emplace(id, plain);
  }
}

TEST(RefsWalk, DamagedPagesAreCorruptOrOtherIds) {
  MemoryPageStore store;
  const WrittenTree tree = write(store, RandomTree(32).tree(1000));
  std::mt19937_64 random(33);
  for (int i = 0; i < 2000; ++i) {
    auto page =
        std::next(store.refs_pages.begin(), static_cast<std::ptrdiff_t>(random() % store.refs_pages.size()));
    const std::size_t at = random() % page->second.size();
    const auto bit = std::byte{1} << (random() % 8);
    page->second[at] ^= bit;
    Collector collector;
    const auto walked = walk_refs(store, tree.refs, collector);
    if (!walked) {
      EXPECT_TRUE(walked.error().code == ErrorCode::Corrupt || walked.error().code == ErrorCode::NotFound);
    }
    page->second[at] ^= bit;
  }
}

/// Lets every page in, however often it comes.
class Endless final : public RefsVisitor {
 public:
  Result<bool> enter(const format::ChunkId&) override { return true; }
  Result<> chunk(const format::ChunkId&) override { return {}; }
};

TEST(RefsWalk, ALoopIsRefusedEvenWhenTheVisitorForgets) {
  MemoryPageStore store;
  format::ChunkId id;
  id.bytes[0] = std::byte{1};
  store.refs_pages[id] = format::encode(format::RefsPage{{}, {id}}).value();
  Endless visitor;
  const auto walked = walk_refs(store, id, visitor);
  ASSERT_FALSE(walked);
  EXPECT_EQ(walked.error().code, ErrorCode::Corrupt);
}

}  // namespace
}  // namespace firn::tree
