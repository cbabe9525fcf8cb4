// What the local index answers, on LMDB and on memory.
#include "repo/index/chunk_index.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "repo/base/executor.h"
#include "repo/kv/lmdb_kv.h"
#include "repo/kv/memory_kv.h"
#include "tests/repo/index/model.h"
#include "tests/support/temp_dir.h"

namespace firn::index {
namespace {

using format::ChunkId;
using format::IndexedPack;
using format::IndexName;

class ChunkIndexTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "lmdb") {
      auto opened = kv::LmdbKv::open_directory(directory_.path("kv"));
      ASSERT_TRUE(opened) << opened.error().message;
      kv_ = *std::move(opened);
    } else {
      kv_ = std::make_unique<kv::MemoryKv>(executor_);
    }
    repository_ = test::random_id<format::RepositoryId>(rng_);
    open();
  }

  void open(const IndexOptions& options = {.size_bytes_max = 1 << 30}) {
    index_.reset();
    auto opened = ChunkIndex::open(executor_, *kv_, scratch_, repository_, options);
    ASSERT_TRUE(opened) << opened.error().message;
    index_ = *std::move(opened);
  }

  IndexName add(std::span<const IndexedPack> packs) {
    const IndexName name = test::random_name(rng_);
    auto update = *index_->begin_update();
    EXPECT_TRUE(update->add_object(name, packs));
    EXPECT_TRUE(update->commit());
    return name;
  }

  void change(const std::function<Result<>(Update&)>& what) {
    auto update = *index_->begin_update();
    const auto changed = what(*update);
    ASSERT_TRUE(changed) << changed.error().message;
    ASSERT_TRUE(update->commit());
  }

  firn::test::TempDir directory_{::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ""};  // fsync is free there
  base::ThreadExecutor executor_;
  base::MemoryScratch scratch_;
  base::SeededRng rng_{20240501};
  format::RepositoryId repository_;
  std::unique_ptr<kv::LocalKv> kv_;
  std::unique_ptr<ChunkIndex> index_;
};

INSTANTIATE_TEST_SUITE_P(Stores, ChunkIndexTest, testing::Values("lmdb", "memory"),
                         [](const auto& param_info) { return param_info.param; });

TEST_P(ChunkIndexTest, BeginsEmpty) {
  EXPECT_TRUE(index_->applied()->empty());
  const auto chunk = test::random_id<ChunkId>(rng_);
  EXPECT_FALSE(*index_->contains_live(chunk));
  EXPECT_TRUE(index_->find(chunk)->empty());
  EXPECT_FALSE(index_->damaged());
}

TEST_P(ChunkIndexTest, FindsEveryChunkOfAnObject) {
  const std::vector packs = {test::random_pack(rng_, 50), test::random_pack(rng_, 3)};
  const IndexName name = add(packs);
  test::Model model;
  model.objects[name] = packs;
  EXPECT_EQ(model.difference(*index_), "");
  EXPECT_TRUE(*index_->contains_pack(packs[1].name));
  EXPECT_FALSE(*index_->contains_pack(test::random_pack(rng_, 1).name));
}

TEST_P(ChunkIndexTest, KeepsEverythingWhenOpenedAgain) {
  const std::vector packs = {test::random_pack(rng_, 50)};
  test::Model model;
  model.objects[add(packs)] = packs;
  for (const bool closed : {true, false}) {
    if (closed) {
      ASSERT_TRUE(index_->close());
    }
    open();
    EXPECT_EQ(model.difference(*index_), "");
  }
}

TEST_P(ChunkIndexTest, ShowsNothingOfAnUpdateThatWasNotCommitted) {
  const IndexedPack pack = test::random_pack(rng_, 10);
  {
    auto update = *index_->begin_update();
    ASSERT_TRUE(update->add_object(test::random_name(rng_), std::vector{pack}));
  }
  EXPECT_TRUE(index_->applied()->empty());
  EXPECT_FALSE(*index_->contains_live(pack.entries[0].id));
}

TEST_P(ChunkIndexTest, ShowsNothingOfAnObjectThatWasNotEnded) {
  const IndexedPack pack = test::random_pack(rng_, 10);
  const IndexedPack other = test::random_pack(rng_, 10);
  change([&](Update& update) -> Result<> {
    FIRN_TRY(update.begin_object(test::random_name(rng_)));
    FIRN_TRY(update.add_pack(pack));
    FIRN_TRY(update.add_object(test::random_name(rng_), std::vector{other}));
    FIRN_TRY(update.begin_object(test::random_name(rng_)));
    return update.add_pack(test::random_pack(rng_, 10));
  });
  EXPECT_EQ(index_->applied()->size(), 1U);
  EXPECT_FALSE(*index_->contains_live(pack.entries[0].id));
  EXPECT_TRUE(*index_->contains_live(other.entries[0].id));
  // And the pack is found once an object that lists it counts.
  add(std::vector{pack});
  EXPECT_EQ(index_->find(pack.entries[9].id)->size(), 1U);
}

TEST_P(ChunkIndexTest, PassesOverAnObjectThatIsApplied) {
  const IndexedPack pack = test::random_pack(rng_, 10);
  const IndexName name = add(std::vector{pack});
  change([&](Update& update) -> Result<> {
    FIRN_TRY(update.add_object(name, std::vector{pack}));
    return update.add_object(name, std::vector{pack});
  });
  change([&](Update& update) { return update.forget_object(name); });
  EXPECT_FALSE(*index_->contains_live(pack.entries[0].id));
}

TEST_P(ChunkIndexTest, ReadsAnObjectAsTheRepositoryStoresIt) {
  const format::SessionProof proof{};
  format::IndexObject object{
      .proof = proof, .level = 0, .replaces = {}, .packs = {test::random_pack(rng_, 20)}};
  const auto body = format::encode(object);
  ASSERT_TRUE(body) << body.error().message;
  change([&](Update& update) -> Result<> {
    FIRN_LET(format::IndexReader reader, format::IndexReader::open(*body));
    return update.add_object(test::random_name(rng_), reader);
  });
  EXPECT_TRUE(*index_->contains_live(object.packs[0].entries[19].id));
}

TEST_P(ChunkIndexTest, GoesOnAfterAnObjectThatIsDamaged) {
  format::IndexObject object{.proof = {}, .level = 0, .replaces = {}, .packs = {}};
  for (int i = 0; i < 3; ++i) {
    object.packs.push_back(test::random_pack(rng_, 20));
  }
  std::ranges::sort(object.packs, {}, &IndexedPack::name);
  const Bytes body = *format::encode(object);
  auto update = *index_->begin_update();
  auto reader = *format::IndexReader::open(ByteView(body).first(body.size() - 10));
  EXPECT_EQ(update->add_object(test::random_name(rng_), reader).error().code, ErrorCode::Corrupt);
  EXPECT_FALSE(index_->damaged());
  const IndexedPack other = test::random_pack(rng_, 5);
  ASSERT_TRUE(update->add_object(test::random_name(rng_), std::vector{other}));
  ASSERT_TRUE(update->commit());
  EXPECT_EQ(index_->applied()->size(), 1U);
  EXPECT_FALSE(*index_->contains_live(object.packs[0].entries[0].id));
  EXPECT_TRUE(*index_->contains_live(other.entries[0].id));
}

TEST_P(ChunkIndexTest, ForgetsAPackWithTheLastObjectThatListsIt) {
  const IndexedPack shared = test::random_pack(rng_, 10);
  const IndexedPack single = test::random_pack(rng_, 10);
  const IndexName first = add(std::vector{shared, single});
  const IndexName second = add(std::vector{shared});
  change([&](Update& update) { return update.forget_object(first); });
  EXPECT_TRUE(*index_->contains_live(shared.entries[0].id));
  EXPECT_FALSE(*index_->contains_live(single.entries[0].id));
  EXPECT_TRUE(index_->find(single.entries[0].id)->empty());
  change([&](Update& update) { return update.forget_object(second); });
  EXPECT_FALSE(*index_->contains_live(shared.entries[0].id));
}

TEST_P(ChunkIndexTest, FindsAForgottenPackAgainWhenAnotherObjectListsIt) {
  const IndexedPack pack = test::random_pack(rng_, 10);
  const IndexName name = add(std::vector{pack});
  change([&](Update& update) { return update.forget_object(name); });
  add(std::vector{pack});
  EXPECT_TRUE(*index_->contains_live(pack.entries[3].id));
  EXPECT_EQ(index_->find(pack.entries[3].id)->size(), 1U);
}

TEST_P(ChunkIndexTest, FindsAChunkAllTheTimeWhileACompactionReplacesItsObject) {
  const IndexedPack pack = test::random_pack(rng_, 10);
  const IndexName old = add(std::vector{pack});
  auto update = *index_->begin_update();
  ASSERT_TRUE(update->forget_object(old));
  EXPECT_TRUE(*index_->contains_live(pack.entries[0].id));
  ASSERT_TRUE(update->add_object(test::random_name(rng_), std::vector{pack}));
  ASSERT_TRUE(update->commit());
  EXPECT_TRUE(*index_->contains_live(pack.entries[0].id));
}

TEST_P(ChunkIndexTest, ForgetsAnUnknownObjectWithoutComplaint) {
  change([&](Update& update) { return update.forget_object(test::random_name(rng_)); });
}

TEST_P(ChunkIndexTest, StillFindsCondemnedPacksButNotAsLive) {
  const IndexedPack condemned = test::random_pack(rng_, 10);
  IndexedPack live = test::random_pack(rng_, 1);
  live.entries[0].id = condemned.entries[0].id;
  add(std::vector{condemned, live});
  change([&](Update& update) { return update.condemn(condemned.name); });
  EXPECT_FALSE(*index_->contains_live(condemned.entries[1].id));
  const auto alone = *index_->find(condemned.entries[1].id);
  ASSERT_EQ(alone.size(), 1U);
  EXPECT_EQ(alone[0].state, PackState::Condemned);
  const auto both = *index_->find(condemned.entries[0].id);
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[0].pack, live.name);
  EXPECT_EQ(both[1].pack, condemned.name);
  EXPECT_TRUE(*index_->contains_live(condemned.entries[0].id));
}

TEST_P(ChunkIndexTest, KeepsMarksForPacksThatAreListedLater) {
  const IndexedPack condemned = test::random_pack(rng_, 10);
  const IndexedPack gone = test::random_pack(rng_, 10);
  change([&](Update& update) -> Result<> {
    FIRN_TRY(update.condemn(condemned.name));
    return update.mark_gone(gone.name);
  });
  const IndexName name = add(std::vector{condemned, gone});
  EXPECT_FALSE(*index_->contains_live(condemned.entries[0].id));
  EXPECT_EQ(index_->find(condemned.entries[0].id)->size(), 1U);
  EXPECT_TRUE(index_->find(gone.entries[0].id)->empty());
  // Condemning is absorbing: nothing that comes or goes afterwards takes it back.
  change([&](Update& update) { return update.forget_object(name); });
  add(std::vector{condemned, gone});
  EXPECT_FALSE(*index_->contains_live(condemned.entries[0].id));
}

TEST_P(ChunkIndexTest, MarksAndListsInOneUpdateInAnyOrder) {
  const IndexedPack first = test::random_pack(rng_, 4);
  const IndexedPack second = test::random_pack(rng_, 4);
  change([&](Update& update) -> Result<> {
    FIRN_TRY(update.condemn(first.name));
    FIRN_TRY(update.add_object(test::random_name(rng_), std::vector{first, second}));
    return update.mark_gone(second.name);
  });
  EXPECT_FALSE(*index_->contains_live(first.entries[0].id));
  EXPECT_EQ(index_->find(first.entries[0].id)->size(), 1U);
  EXPECT_TRUE(index_->find(second.entries[0].id)->empty());
  EXPECT_FALSE(*index_->contains_pack(second.name));
}

TEST_P(ChunkIndexTest, KeepsWhatOneObjectSaysOfAPackApartFromWhatAnotherSays) {
  const IndexedPack honest = test::random_pack(rng_, 5);
  IndexedPack lying = honest;
  for (format::PackEntry& entry : lying.entries) {
    entry.offset += 1;
  }
  lying.entries.pop_back();
  const IndexName honest_name = add(std::vector{honest});
  const IndexName lying_name = add(std::vector{lying});
  EXPECT_EQ(index_->find(honest.entries[0].id)->size(), 2U);
  change([&](Update& update) { return update.forget_object(lying_name); });
  ASSERT_EQ(index_->find(honest.entries[0].id)->size(), 1U);
  EXPECT_EQ(index_->find(honest.entries[0].id)->at(0).offset, honest.entries[0].offset);
  change([&](Update& update) { return update.forget_object(honest_name); });
  EXPECT_TRUE(index_->find(honest.entries[0].id)->empty());
}

TEST_P(ChunkIndexTest, ListsPacksWithTheirEntriesInTheOrderOfOffsets) {
  std::vector<IndexedPack> packs;
  for (int i = 0; i < 20; ++i) {
    packs.push_back(test::random_pack(rng_, 1 + rng_.next() % 30));
  }
  add(packs);
  const IndexedPack forgotten = test::random_pack(rng_, 5);
  const IndexName name = add(std::vector{forgotten});
  change([&](Update& update) -> Result<> {
    FIRN_TRY(update.forget_object(name));
    return update.condemn(packs[3].name);
  });
  std::map<format::PackName, PackState> summaries;
  ASSERT_TRUE(index_->for_each_pack([&](const PackSummary& pack) {
    summaries.emplace(pack.name, pack.state);
    return true;
  }));
  std::size_t count = 0;
  ASSERT_TRUE(index_->for_each_pack_with_entries(
      [&](const PackSummary& pack, std::span<const format::PackEntry> entries) {
        const auto expected = std::ranges::find(packs, pack.name, &IndexedPack::name);
        EXPECT_NE(expected, packs.end());
        EXPECT_TRUE(std::ranges::equal(entries, expected->entries));
        EXPECT_EQ(pack.entries, entries.size());
        EXPECT_EQ(pack.size_bytes, expected->size_bytes);
        EXPECT_EQ(pack.state, &*expected == &packs[3] ? PackState::Condemned : PackState::Live);
        EXPECT_EQ(summaries.at(pack.name), pack.state);
        ++count;
        return true;
      }));
  EXPECT_EQ(count, packs.size());
  EXPECT_EQ(summaries.size(), packs.size());
}

TEST_P(ChunkIndexTest, StopsWalkingWhenTold) {
  std::vector<IndexedPack> packs = {test::random_pack(rng_, 3), test::random_pack(rng_, 3)};
  add(packs);
  int calls = 0;
  ASSERT_TRUE(index_->for_each_pack([&](const PackSummary&) { return ++calls > 1; }));
  ASSERT_TRUE(index_->for_each_entry([&](const ChunkId&, const Location&) { return ++calls > 2; }));
  ASSERT_TRUE(index_->for_each_pack_with_entries([&](const PackSummary&, auto) { return ++calls > 3; }));
  EXPECT_EQ(calls, 3);
}

TEST_P(ChunkIndexTest, CountsWhatItHolds) {
  const IndexedPack live = test::random_pack(rng_, 7);
  const IndexedPack condemned = test::random_pack(rng_, 5);
  const IndexedPack dead = test::random_pack(rng_, 3);
  add(std::vector{live, condemned});
  const IndexName name = add(std::vector{dead});
  change([&](Update& update) -> Result<> {
    FIRN_TRY(update.condemn(condemned.name));
    return update.forget_object(name);
  });
  const IndexStatistics statistics = *index_->statistics();
  EXPECT_EQ(statistics.objects, 1U);
  EXPECT_EQ(statistics.packs_live, 1U);
  EXPECT_EQ(statistics.packs_condemned, 1U);
  EXPECT_EQ(statistics.entries, 12U);
  EXPECT_EQ(statistics.entries_dead, 3U);
  EXPECT_GT(statistics.size_bytes, 0U);
}

TEST_P(ChunkIndexTest, DropsDeadRowsAndNothingElseWhenItCompacts) {
  std::vector<IndexedPack> packs;
  for (int i = 0; i < 10; ++i) {
    packs.push_back(test::random_pack(rng_, 50));
  }
  test::Model model;
  model.objects[add(packs)] = packs;
  const IndexName dead = add(std::vector{test::random_pack(rng_, 100)});
  change([&](Update& update) -> Result<> {
    FIRN_TRY(update.forget_object(dead));
    FIRN_TRY(update.condemn(packs[1].name));
    return update.mark_gone(packs[2].name);
  });
  model.condemned.insert(packs[1].name);
  model.gone.insert(packs[2].name);
  ASSERT_TRUE(index_->compact());
  EXPECT_EQ(model.difference(*index_), "");
  EXPECT_EQ(index_->statistics()->entries_dead, 0U);
  open();
  EXPECT_EQ(model.difference(*index_), "");
  EXPECT_EQ(kv_->names()->size(), 1U);
}

TEST_P(ChunkIndexTest, IsEmptyAfterClear) {
  const IndexedPack pack = test::random_pack(rng_, 10);
  add(std::vector{pack});
  change([&](Update& update) { return update.condemn(pack.name); });
  ASSERT_TRUE(index_->clear());
  EXPECT_TRUE(index_->applied()->empty());
  EXPECT_TRUE(index_->find(pack.entries[0].id)->empty());
  add(std::vector{pack});
  EXPECT_TRUE(*index_->contains_live(pack.entries[0].id));
  open();
  EXPECT_TRUE(*index_->contains_live(pack.entries[0].id));
}

TEST_P(ChunkIndexTest, BeginsEmptyForAnotherRepository) {
  const IndexedPack pack = test::random_pack(rng_, 10);
  add(std::vector{pack});
  repository_ = test::random_id<format::RepositoryId>(rng_);
  open();
  EXPECT_TRUE(index_->applied()->empty());
  EXPECT_FALSE(*index_->contains_live(pack.entries[0].id));
}

TEST_P(ChunkIndexTest, BeginsEmptyWhenItsStateFileIsLostOrStrange) {
  for (const char* content : {"", "firn-index-1 ", "firn-index-1 index-99", "firn-index-2 index-1",
                              "firn-index-1 index-01", "firn-index-1 ../index-1"}) {
    SCOPED_TRACE(content);
    const IndexedPack pack = test::random_pack(rng_, 10);
    add(std::vector{pack});
    index_.reset();
    ASSERT_TRUE(kv_->write_file("index-current", as_bytes(content)));
    open();
    EXPECT_TRUE(index_->applied()->empty());
    EXPECT_FALSE(*index_->contains_live(pack.entries[0].id));
    EXPECT_EQ(kv_->names()->size(), 1U);
  }
  add(std::vector{test::random_pack(rng_, 10)});
  index_.reset();
  ASSERT_TRUE(kv_->remove_file("index-current"));
  open();
  EXPECT_TRUE(index_->applied()->empty());
}

TEST_P(ChunkIndexTest, LeavesOtherEnvironmentsAlone) {
  { ASSERT_TRUE(kv_->open("journal", {})); }
  ASSERT_TRUE(index_->clear());
  open();
  EXPECT_EQ(kv_->names()->size(), 2U);
}

TEST_P(ChunkIndexTest, RemovesAGenerationThatNobodyFinished) {
  const std::vector packs = {test::random_pack(rng_, 10)};
  test::Model model;
  model.objects[add(packs)] = packs;
  index_.reset();
  { ASSERT_TRUE(kv_->open("index-7", {})); }
  open();
  EXPECT_EQ(kv_->names()->size(), 1U);
  EXPECT_EQ(model.difference(*index_), "");
}

/// Small memory, so that updates spill, sort in several runs and go into new generations.
TEST_P(ChunkIndexTest, TakesMuchMoreThanItsMemoryHolds) {
  open({.memory_bytes_max = 1 << 20, .size_bytes_max = 1 << 30});
  test::Model model;
  std::vector<ChunkId> known;
  // MemoryKv copies a table for each transaction; there, only the spilling of batches is looked at.
  const int packs_each = GetParam() == "lmdb" ? 5 : 1;
  for (const int objects : {60, 3, 40}) {
    for (int i = 0; i < objects; ++i) {
      std::vector<IndexedPack>& packs = model.objects[test::random_name(rng_)];
      for (int pack = 0; pack < packs_each; ++pack) {
        packs.push_back(test::random_pack(rng_, 100, known));
        known.push_back(packs.back().entries[0].id);
      }
    }
    if (model.objects.size() > 80) {
      model.objects.erase(std::next(model.objects.begin(), 10), std::next(model.objects.begin(), 40));
    }
    const auto loaded = model.load_into(*index_);
    ASSERT_TRUE(loaded) << loaded.error().message;
    ASSERT_EQ(model.difference(*index_), "");
  }
  ASSERT_TRUE(index_->close());
  open({.memory_bytes_max = 1 << 20, .size_bytes_max = 1 << 30});
  EXPECT_EQ(model.difference(*index_), "");
}

TEST_P(ChunkIndexTest, TakesOneObjectThatIsMuchLargerThanItsMemory) {
  // Its first entries go into the current generation, before it turns out that a new one is needed.
  open({.memory_bytes_max = 1 << 20, .size_bytes_max = 1 << 30});
  test::Model model;
  std::vector<IndexedPack>& packs = model.objects[test::random_name(rng_)];
  for (int pack = 0; pack < (GetParam() == "lmdb" ? 250 : 60); ++pack) {
    packs.push_back(test::random_pack(rng_, 100));
  }
  const auto loaded = model.load_into(*index_);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(model.difference(*index_), "");
}

TEST_P(ChunkIndexTest, AgreesWithTheModelUnderRandomChanges) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    base::SeededRng rng(seed);
    ASSERT_TRUE(index_->clear());
    test::Model model;
    std::vector<ChunkId> known;
    std::vector<IndexedPack> all;
    for (int round = 0; round < 15; ++round) {
      for (std::uint64_t i = rng.next() % 5; i > 0; --i) {
        std::vector<IndexedPack>& packs = model.objects[test::random_name(rng)];
        for (std::uint64_t pack = 1 + rng.next() % 4; pack > 0; --pack) {
          packs.push_back(rng.next() % 4 == 0 && !all.empty()
                              ? all[rng.next() % all.size()]
                              : test::random_pack(rng, 1 + rng.next() % 20, known));
          std::ranges::sort(packs, {}, &IndexedPack::name);
          packs.erase(std::unique(packs.begin(), packs.end()), packs.end());
          all.push_back(packs.back());
          known.push_back(packs.back().entries.back().id);
        }
      }
      while (!model.objects.empty() && rng.next() % 3 == 0) {
        model.objects.erase(
            std::next(model.objects.begin(), static_cast<std::ptrdiff_t>(rng.next() % model.objects.size())));
      }
      if (!all.empty() && rng.next() % 2 == 0) {
        (rng.next() % 3 == 0 ? model.gone : model.condemned).insert(all[rng.next() % all.size()].name);
      }
      if (rng.next() % 4 == 0) {
        ASSERT_TRUE(index_->compact());
      }
      const auto loaded = model.load_into(*index_);
      ASSERT_TRUE(loaded) << loaded.error().message;
      ASSERT_EQ(model.difference(*index_), "") << "round " << round;
      if (rng.next() % 3 == 0) {
        open();
        ASSERT_EQ(model.difference(*index_), "") << "round " << round;
      }
    }
  }
}

}  // namespace
}  // namespace firn::index
