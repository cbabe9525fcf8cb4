// Chunks as readers find them: several copies, damaged ones, junk that somebody stored under a known id,
// packs that are gone, index entries that are wrong.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repo/chunk_reader.h"
#include "repo/format/index_object.h"
#include "repo/format/pack.h"
#include "tests/repo/maintainer.h"
#include "tests/repo/recording_store.h"
#include "tests/repo/rig.h"

namespace firn::repo {
namespace {

using format::ChunkType;
using testing::HasSubstr;

class ReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    make_repository(world);
    node.emplace(world, store, kv, key_file_of(1));
  }

  /// Puts a pack with one chunk, and the index object that names it, as a session would.
  format::PackName put_pack(const format::ChunkId& id, const format::ChunkShape& shape, ByteView stored,
                            const std::function<void(format::IndexedPack&)>& change = {}) {
    const Maintainer writer(world, node->repository());  // has a proof of its own
    const format::PackKind kind =
        format::is_meta(shape.type) ? format::PackKind::Meta : format::PackKind::Data;
    format::PackBuilder builder(kind, node->repository().id(), writer.session(), 1 << 20);
    builder.append(id, shape, stored);
    auto pack =
        std::move(builder).finish(format::PackBuilder::Padding::Last, node->repository().keys().meta(),
                                  {world.rng.bytes<32>(), world.rng.bytes<32>()});
    world.replace(format::object_name(pack.name).str(), pack.bytes);
    format::IndexedPack indexed{.name = pack.name,
                                .size_bytes = static_cast<std::uint32_t>(pack.bytes.size()),
                                .entries = pack.trailer.entries};
    put_index(indexed, change);
    return pack.name;
  }
  void put_index(format::IndexedPack pack, const std::function<void(format::IndexedPack&)>& change = {}) {
    const Maintainer writer(world, node->repository());
    if (change) {
      change(pack);
    }
    const auto name = format::object_name(format::IndexName{0, writer.session(), 1});
    const format::IndexObject object{.proof = writer.proof(), .level = 0, .replaces = {}, .packs = {pack}};
    must(node->repository().put_sealed(name, must(format::encode(object))).as_result());
  }
  void sync(Node& which) {
    const auto maintenance = must(load_maintenance(which.repository(), which.cache()));
    must(sync_index(which.repository(), maintenance, which.index()));
  }
  /// A good stored form of some bytes.
  struct Sealed {
    format::ChunkSecret t;
    format::ChunkId id;
    format::ChunkShape shape;
    Bytes stored;
  };
  Sealed seal(ChunkType type, const Bytes& bytes) {
    Sealed sealed;
    sealed.t = format::chunk_capability(*node->repository().keys().content(), type, bytes);
    sealed.id = format::chunk_id(sealed.t);
    sealed.shape = {.type = type,
                    .codec = format::Codec::Raw,
                    .plain = static_cast<std::uint32_t>(bytes.size()),
                    .stored = static_cast<std::uint32_t>(bytes.size()) + format::kChunkOverheadBytes};
    sealed.stored.resize(sealed.shape.stored);
    format::seal_chunk(format::chunk_key(sealed.t).bytes(), node->repository().id(), sealed.id, sealed.shape,
                       world.rng.bytes<12>(), bytes, sealed.stored);
    return sealed;
  }

  base::ThreadExecutor executor{2};
  World world{executor};
  RecordingStore store{world.store};
  kv::MemoryKv kv{executor};
  std::optional<Node> node;
  const Bytes plain = random_bytes(1, 5000);
};

TEST_F(ReaderTest, TriesEveryCopyUntilOneOpens) {
  const Sealed good = seal(ChunkType::Data, plain);
  std::vector<std::string> packs;
  for (int copy = 0; copy < 3; ++copy) {
    packs.push_back(
        format::object_name(put_pack(good.id, good.shape, seal(ChunkType::Data, plain).stored)).str());
  }
  sync(*node);
  for (const std::string& only_good : packs) {
    SCOPED_TRACE(only_good);
    std::map<std::string, Bytes> before;
    for (const std::string& pack : packs) {
      before[pack] = world.bytes(pack);
      if (pack != only_good) {
        world.flip(pack, 100);
      }
    }
    ChunkReader reader(node->repository(), node->index(), node->cache());
    EXPECT_EQ(must(reader.read(ChunkType::Data, good.t)), plain);
    for (const auto& [pack, bytes] : before) {
      world.replace(pack, bytes);
    }
  }
}

TEST_F(ReaderTest, NamesEveryPackWhenNoCopyOpens) {
  const Sealed good = seal(ChunkType::Data, plain);
  std::vector<std::string> packs;
  for (int copy = 0; copy < 2; ++copy) {
    packs.push_back(
        format::object_name(put_pack(good.id, good.shape, seal(ChunkType::Data, plain).stored)).str());
    world.flip(packs.back(), 100);
  }
  sync(*node);
  ChunkReader reader(node->repository(), node->index(), node->cache());
  const auto read = reader.read(ChunkType::Data, good.t);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::Corrupt);
  for (const std::string& pack : packs) {
    EXPECT_THAT(read.error().message, HasSubstr(pack));
  }
}

TEST_F(ReaderTest, ASilentStoreIsNotCalledDamage) {
  const Sealed good = seal(ChunkType::Data, plain);
  const auto damaged = format::object_name(put_pack(good.id, good.shape, good.stored)).str();
  const auto silent =
      format::object_name(put_pack(good.id, good.shape, seal(ChunkType::Data, plain).stored)).str();
  world.flip(damaged, 100);
  sync(*node);
  class Silent final : public test::ForwardingStore {
   public:
    Silent(store::ObjectStore& inner, std::string name) : ForwardingStore(inner), name_(std::move(name)) {}
    Result<> get_range(const store::ObjectName& name, std::uint64_t offset, MutableBytes out) override {
      return name.str() == name_ ? fail(ErrorCode::Unavailable, "no answer")
                                 : inner_.get_range(name, offset, out);
    }

   private:
    std::string name_;
  } silent_store(world.store, silent);
  kv::MemoryKv other(executor);
  Node asking(world, silent_store, other, key_file_of(1));
  sync(asking);
  ChunkReader reader(asking.repository(), asking.index(), asking.cache());
  const auto read = reader.read(ChunkType::Data, good.t);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::Unavailable);
}

// Gate: junk stored under a known id does not break readers.
TEST_F(ReaderTest, JunkStoredUnderAKnownIdDoesNotBreakReaders) {
  const Sealed good = seal(ChunkType::Data, plain);
  const Sealed page = seal(ChunkType::TreePage, random_bytes(2, 20'000));
  const Sealed other = seal(ChunkType::Data, random_bytes(3, 5000));
  put_pack(good.id, good.shape, random_bytes(4, good.shape.stored));
  put_pack(good.id, good.shape, other.stored);
  put_pack(good.id, {.type = ChunkType::TreePage, .codec = format::Codec::Raw, .plain = 10, .stored = 38},
           random_bytes(5, 38));
  put_pack(good.id, {.type = ChunkType::Data, .codec = format::Codec::Zstd, .plain = 5000, .stored = 100},
           random_bytes(6, 100));
  put_pack(good.id, good.shape, good.stored);
  put_pack(good.id, good.shape, random_bytes(7, good.shape.stored));
  put_pack(page.id, page.shape, random_bytes(8, page.shape.stored));
  put_pack(page.id, page.shape, page.stored);
  sync(*node);
  ChunkReader reader(node->repository(), node->index(), node->cache());
  EXPECT_EQ(must(reader.read(ChunkType::Data, good.t)), plain);
  EXPECT_EQ(must(reader.read(ChunkType::TreePage, page.t)), random_bytes(2, 20'000));
}

// Gate, the readers' half: an index that names a good pack with wrong offsets.
TEST_F(ReaderTest, WrongIndexEntriesDoNotHideTheRightOnes) {
  for (const ChunkType type : {ChunkType::Data, ChunkType::TreePage}) {
    const Sealed good = seal(type, random_bytes(9 + static_cast<std::uint64_t>(type), 20'000));
    const auto pack = put_pack(good.id, good.shape, good.stored);
    const auto size = static_cast<std::uint32_t>(world.bytes(format::object_name(pack).str()).size());
    format::IndexedPack indexed{
        .name = pack, .size_bytes = size, .entries = {{.id = good.id, .offset = 24, .shape = good.shape}}};
    put_index(indexed, [](format::IndexedPack& p) { p.entries[0].offset = 30; });
    put_index(indexed, [](format::IndexedPack& p) { p.size_bytes *= 2; });
    put_index(indexed, [&](format::IndexedPack& p) { p.size_bytes = 24 + good.shape.stored; });
    put_index(indexed, [](format::IndexedPack& p) {
      p.entries[0].shape.stored -= 1000;
      p.entries[0].shape.plain -= 1000;
    });
    sync(*node);
    ChunkReader reader(node->repository(), node->index(), node->cache());
    for (int again = 0; again < 2; ++again) {
      EXPECT_EQ(must(reader.read(type, good.t)), random_bytes(9 + static_cast<std::uint64_t>(type), 20'000));
    }
  }
}

TEST_F(ReaderTest, AWrongPackSizeSpoilsNoNeighbour) {
  const Sealed a = seal(ChunkType::TreePage, random_bytes(11, 20'000));
  const Sealed b = seal(ChunkType::TreePage, random_bytes(12, 20'000));
  const Maintainer writer(world, node->repository());
  format::PackBuilder builder(format::PackKind::Meta, node->repository().id(), writer.session(), 1 << 20);
  builder.append(a.id, a.shape, a.stored);
  builder.append(b.id, b.shape, b.stored);
  auto pack = std::move(builder).finish(format::PackBuilder::Padding::Last, node->repository().keys().meta(),
                                        {world.rng.bytes<32>(), world.rng.bytes<32>()});
  world.replace(format::object_name(pack.name).str(), pack.bytes);
  const auto size = static_cast<std::uint32_t>(pack.bytes.size());
  const format::IndexedPack right{.name = pack.name, .size_bytes = size, .entries = pack.trailer.entries};
  put_index(right, [&](format::IndexedPack& p) {
    p.entries.pop_back();
    p.size_bytes = 24 + a.shape.stored;  // ends behind a
  });
  sync(*node);
  ChunkReader reader(node->repository(), node->index(), node->cache());
  EXPECT_TRUE(reader.read(ChunkType::TreePage, a.t));
  put_index(right);
  sync(*node);
  EXPECT_TRUE(reader.read(ChunkType::TreePage, b.t));
}

TEST(ReaderReload, AMissingPackMakesItReadTheIndexAnewOnce) {
  under_each_executor([](base::Executor& executor) {
    World world(executor);
    make_repository(world);
    RecordingStore store(world.store);
    kv::MemoryKv kv(executor);
    Node node(world, store, kv, key_file_of(1));
    must(node.backup({{"a", random_bytes(1, 50'000)}}));
    const auto content = node.repository().keys().content();
    const auto t = format::chunk_capability(*content, ChunkType::Data, random_bytes(1, 50'000));

    // Another node stores it again, since the pack was condemned; then the pack goes.
    const auto old = world.names("data/");
    {
      kv::MemoryKv other(executor);
      Node second(world, world.store, other, key_file_of(1));
      Maintainer(world, second.repository()).condemn(old);
      must(second.backup({{"a", random_bytes(1, 50'000)}}));
    }
    world.remove(old.front());
    ChunkReader reader(node.repository(), node.index(), node.cache());
    store.forget();
    EXPECT_EQ(must(reader.read(ChunkType::Data, t)), random_bytes(1, 50'000));
    EXPECT_EQ(store.count("LIST", "index/"), 1u);

    for (const std::string& pack : world.names("data/")) {
      world.remove(pack);
    }
    for (int again = 0; again < 2; ++again) {
      const auto read = reader.read(ChunkType::Data, t);
      ASSERT_FALSE(read);
      EXPECT_EQ(read.error().code, ErrorCode::NotFound);
    }
    EXPECT_EQ(store.count("LIST", "index/"), 1u);
  });
}

TEST_F(ReaderTest, CondemnedCopiesAreReadToo) {
  must(node->backup({{"a", plain}}));
  Maintainer(world, node->repository()).condemn(world.names("data/"));
  sync(*node);
  const auto t = format::chunk_capability(*node->repository().keys().content(), ChunkType::Data, plain);
  EXPECT_FALSE(must(node->index().contains_live(format::chunk_id(t))));
  ChunkReader reader(node->repository(), node->index(), node->cache());
  EXPECT_EQ(must(reader.read(ChunkType::Data, t)), plain);
}

TEST_F(ReaderTest, AChunkIsReadOnlyAsWhatItIs) {
  const Sealed good = seal(ChunkType::Data, plain);
  put_pack(good.id, good.shape, good.stored);
  sync(*node);
  ChunkReader reader(node->repository(), node->index(), node->cache());
  for (const ChunkType type : {ChunkType::Bundle, ChunkType::TreePage, ChunkType::SlicePage}) {
    EXPECT_FALSE(reader.read(type, good.t));
  }
}

/// Some chunks side by side in one pack, and what reading them in a given order gives and costs.
class NeighboursTest : public ReaderTest {
 protected:
  void SetUp() override {
    ReaderTest::SetUp();
    for (std::uint64_t i = 0; i < 6; ++i) {
      bytes.push_back(random_bytes(i, 5000 + 100 * i));
      sealed.push_back(seal(ChunkType::Data, bytes.back()));
    }
    const Maintainer writer(world, node->repository());
    format::PackBuilder builder(format::PackKind::Data, node->repository().id(), writer.session(), 1 << 20);
    for (const Sealed& one : sealed) {
      builder.append(one.id, one.shape, one.stored);
    }
    auto made =
        std::move(builder).finish(format::PackBuilder::Padding::Last, node->repository().keys().meta(),
                                  {world.rng.bytes<32>(), world.rng.bytes<32>()});
    pack = format::object_name(made.name).str();
    world.replace(pack, made.bytes);
    put_index({.name = made.name,
               .size_bytes = static_cast<std::uint32_t>(made.bytes.size()),
               .entries = made.trailer.entries});
    sync(*node);
    store.forget();
  }
  /// Reads them by their numbers; nothing where one could not be read.
  std::vector<std::optional<Bytes>> read(const std::vector<std::size_t>& order) {
    std::vector<format::ChunkSecret> wanted;
    for (const std::size_t i : order) {
      wanted.push_back(sealed[i].t);
    }
    std::vector<std::optional<Bytes>> found;
    ChunkReader reader(node->repository(), node->index(), node->cache());
    reader.read_contents(wanted, [&](std::size_t place, Result<Bytes> plain_bytes) {
      EXPECT_EQ(place, found.size());
      found.push_back(plain_bytes ? std::optional(*std::move(plain_bytes)) : std::nullopt);
    });
    EXPECT_EQ(found.size(), order.size());
    return found;
  }
  std::vector<Bytes> bytes;
  std::vector<Sealed> sealed;
  std::string pack;
};

TEST_F(NeighboursTest, ComeInOneRequestWhereTheyFollowEachOther) {
  struct Case {
    const char* what;
    std::vector<std::size_t> order;
    std::size_t requests;
  };
  for (const auto& [what, order, requests] : {Case{"all", {0, 1, 2, 3, 4, 5}, 1},
                                              {"with a hole between", {0, 2, 5}, 1},
                                              {"backwards", {2, 1, 0}, 3},
                                              {"the same again", {3, 4, 3, 4}, 2},
                                              {"none", {}, 0}}) {
    SCOPED_TRACE(what);
    store.forget();
    const auto found = read(order);
    for (std::size_t i = 0; i < order.size(); ++i) {
      EXPECT_EQ(found[i], bytes[order[i]]);
    }
    EXPECT_EQ(store.count("RANGE", "data/"), requests);
  }
}

TEST_F(NeighboursTest, AreCountedWithoutARequest) {
  ChunkReader reader(node->repository(), node->index(), node->cache());
  const std::vector<format::ChunkSecret> wanted = {sealed[1].t, sealed[2].t, sealed[0].t};
  EXPECT_EQ(reader.count_neighbours(wanted), 2U);
  EXPECT_EQ(reader.count_neighbours({}), 0U);
  const format::ChunkSecret unknown = seal(ChunkType::Data, plain).t;
  EXPECT_EQ(reader.count_neighbours({&unknown, 1}), 1U) << "in no pack at all";
  EXPECT_TRUE(store.requests().empty());
}

TEST_F(NeighboursTest, OfADamagedChunkAreReadAllTheSame) {
  world.flip(pack, must(node->index().find(sealed[2].id)).front().offset + 50);
  const auto found = read({0, 1, 2, 3});
  EXPECT_EQ(found[1], bytes[1]);
  EXPECT_EQ(found[2], std::nullopt);
  EXPECT_EQ(found[3], bytes[3]);
}

TEST_F(NeighboursTest, WhosePackIsGoneAreReadFromAnother) {
  put_pack(sealed[1].id, sealed[1].shape, sealed[1].stored);
  world.remove(pack);
  const auto found = read({0, 1});
  EXPECT_EQ(found[0], std::nullopt);
  EXPECT_EQ(found[1], bytes[1]) << "the index was read anew";
}

}  // namespace
}  // namespace firn::repo
