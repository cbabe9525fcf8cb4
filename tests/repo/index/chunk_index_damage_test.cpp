// The local index after accidents: whatever happened to its files, a session that loads it again, as sessions
// do, gets every answer right. Never a wrong one, never a crash.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "repo/base/executor.h"
#include "repo/base/files.h"
#include "repo/index/rows.h"
#include "repo/kv/lmdb_kv.h"
#include "repo/kv/memory_kv.h"
#include "tests/repo/index/model.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace firn::index {
namespace {

namespace fs = std::filesystem;
using firn::test::TempDir;
using test::Model;

constexpr IndexOptions kOptions{.memory_bytes_max = 1 << 20, .size_bytes_max = 256 << 20};
constexpr std::size_t kPageBytes = 4096;

/// Where fsync costs nothing, if there is such a place.
std::string memory_directory() { return ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ""; }

format::RepositoryId repository() {
  format::RepositoryId id;
  id.bytes.fill(std::byte{7});
  return id;
}

/// Object number `i`, always the same.
std::pair<format::IndexName, std::vector<format::IndexedPack>> object(std::uint64_t i,
                                                                      std::size_t entries = 30) {
  base::SeededRng rng(1000 + i);
  const format::IndexName name = test::random_name(rng);
  return {name, {test::random_pack(rng, entries), test::random_pack(rng, 5)}};
}

/// An index and what it needs.
struct Opened {
  base::ThreadExecutor executor;
  base::MemoryScratch scratch;
  std::unique_ptr<kv::LocalKv> owned;
  std::unique_ptr<ChunkIndex> index;

  Result<> open(kv::LocalKv& kv, const IndexOptions& options = kOptions) {
    index.reset();
    FIRN_LET(index, ChunkIndex::open(executor, kv, scratch, repository(), options));
    return {};
  }
  Result<> open(const std::string& directory, const IndexOptions& options = kOptions) {
    index.reset();
    owned.reset();
    FIRN_LET(owned, kv::LmdbKv::open_directory(directory));
    return open(*owned, options);
  }
};

/// Loads the model as a session does, making the index anew where it says that it is damaged. Empty when
/// every answer is right then.
std::string load_and_compare(const Model& model, ChunkIndex& index) {
  auto loaded = model.load_into(index);
  if (index.damaged()) {
    if (const auto cleared = index.clear(); !cleared) {
      return cleared.error().message;
    }
    loaded = model.load_into(index);
  }
  return loaded ? model.difference(index) : loaded.error().message;
}

/// An index on LMDB in a directory, and copies of it to spoil.
class IndexDamage : public testing::Test {
 protected:
  static constexpr std::uint64_t kObjects = 25;

  void SetUp() override {
    Opened opened;
    ASSERT_TRUE(opened.open(original()));
    for (std::uint64_t i = 0; i < kObjects; ++i) {
      model_.objects.insert(object(i));
      if (i % 7 == 0) {
        ASSERT_TRUE(model_.load_into(*opened.index));
      }
    }
    model_.condemned.insert(object(3).second[0].name);
    ASSERT_TRUE(model_.load_into(*opened.index));
    ASSERT_TRUE(opened.index->close());
  }

  std::string original() const { return directory_.path("original"); }
  std::string data() const { return "/index-1/data.mdb"; }
  Bytes data_bytes() const { return *base::read_file(original() + data(), 64 << 20); }

  /// Tries a copy whose data file has been replaced by `bytes`.
  void expect_right_answers_with(ByteView bytes) const {
    const int code = firn::test::exit_code_of([&] {
      const TempDir copy(memory_directory());
      fs::copy(original(), copy.path("kv"), fs::copy_options::recursive);
      std::ofstream(copy.path("kv") + data(), std::ios::binary | std::ios::trunc) << as_text(bytes);
      Opened opened;
      const auto done = opened.open(copy.path("kv"));
      const std::string wrong = done ? load_and_compare(model_, *opened.index) : done.error().message;
      if (!wrong.empty()) {
        std::fprintf(stderr, "%s\n", wrong.c_str());
      }
      return wrong.empty() ? 0 : 1;
    });
    EXPECT_EQ(code, 0);
  }

  TempDir directory_;
  Model model_;
};

TEST_F(IndexDamage, IsFoundInEveryTruncation) {
  const Bytes bytes = data_bytes();
  ASSERT_GT(bytes.size(), 30 * kPageBytes);
  for (std::size_t length = 0; length < bytes.size(); length += 2 * kPageBytes - 1001) {
    SCOPED_TRACE("length " + std::to_string(length));
    expect_right_answers_with(ByteView(bytes).first(length));
  }
}

TEST_F(IndexDamage, IsFoundInEveryZeroedPage) {
  const Bytes bytes = data_bytes();
  for (std::size_t at = 0; at < bytes.size(); at += kPageBytes) {
    SCOPED_TRACE("page " + std::to_string(at / kPageBytes));
    Bytes zeroed = bytes;
    std::fill_n(zeroed.begin() + static_cast<std::ptrdiff_t>(at), kPageBytes, std::byte{0});
    expect_right_answers_with(zeroed);
  }
}

TEST_F(IndexDamage, IsFoundInFlippedBytes) {
  const Bytes bytes = data_bytes();
  base::SeededRng rng(99);
  for (int i = 0; i < 150; ++i) {
    const std::size_t at = rng.next() % bytes.size();
    const auto mask = static_cast<std::byte>(1 + rng.next() % 255);
    SCOPED_TRACE("byte " + std::to_string(at) + " ^ " + std::to_string(std::to_integer<int>(mask)));
    Bytes flipped = bytes;
    flipped[at] ^= mask;
    expect_right_answers_with(flipped);
  }
}

TEST_F(IndexDamage, IsFoundWhenAPageIsOlderThanTheRest) {
  Opened opened;
  const Bytes before = data_bytes();
  ASSERT_TRUE(opened.open(original()));
  model_.objects.erase(model_.objects.begin());
  model_.objects.insert(object(kObjects));
  ASSERT_TRUE(model_.load_into(*opened.index));
  opened.index.reset();
  const Bytes after = data_bytes();
  ASSERT_NE(before, after);
  for (std::size_t at = 2 * kPageBytes; at < before.size(); at += kPageBytes) {
    SCOPED_TRACE("page " + std::to_string(at / kPageBytes));
    Bytes mixed = after;
    std::copy_n(before.begin() + static_cast<std::ptrdiff_t>(at), kPageBytes,
                mixed.begin() + static_cast<std::ptrdiff_t>(at));
    expect_right_answers_with(mixed);
  }
}

TEST_F(IndexDamage, LeavesRightAnswersWhenAllIsRolledBack) {
  const TempDir old;
  fs::copy(original(), old.path("kv"), fs::copy_options::recursive);
  {
    Opened opened;
    ASSERT_TRUE(opened.open(original()));
    model_.objects.erase(std::next(model_.objects.begin(), 5), std::next(model_.objects.begin(), 10));
    for (std::uint64_t i = 0; i < 20; ++i) {
      model_.objects.insert(object(100 + i));
    }
    model_.gone.insert(object(101).second[0].name);
    ASSERT_TRUE(model_.load_into(*opened.index));
  }
  Opened opened;
  ASSERT_TRUE(opened.open(old.path("kv")));
  EXPECT_EQ(opened.index->applied()->size(), kObjects);
  EXPECT_EQ(load_and_compare(model_, *opened.index), "");
}

/// Changes rows behind the index's back, with right checks.
class IndexRows : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(opened_.open(*kv_));
    for (std::uint64_t i = 0; i < 10; ++i) {
      model_.objects.insert(object(i));
    }
    ASSERT_TRUE(model_.load_into(*opened_.index));
    opened_.index.reset();
  }

  void change(const std::function<void(kv::WriteTxn&)>& what) {
    const auto environment = *kv_->open("index-1", {});
    auto txn = *environment->begin_write();
    what(*txn);
    ASSERT_TRUE(txn->commit());
  }

  static std::pair<Bytes, Bytes> row(kv::ReadTxn& txn, Table table, std::size_t number) {
    std::pair<Bytes, Bytes> found;
    EXPECT_TRUE(txn.scan(table_id(table), {}, [&](ByteView key, ByteView value) {
      found = {to_bytes(key), to_bytes(value)};
      return number-- > 0;
    }));
    return found;
  }

  TempDir directory_{memory_directory()};
  std::unique_ptr<kv::LmdbKv> kv_ = kv::LmdbKv::open_directory(directory_.path("kv")).value();
  Opened opened_;
  Model model_;
};

TEST_F(IndexRows, AreTrustedWhenUnchanged) {
  change([](kv::WriteTxn&) {});
  ASSERT_TRUE(opened_.open(*kv_));
  EXPECT_EQ(opened_.index->applied()->size(), 10U);
  EXPECT_EQ(model_.difference(*opened_.index), "");
}

TEST_F(IndexRows, AreNotTrustedWhenOneIsLost) {
  for (const Table table : {Table::Objects, Table::Listings, Table::Packs, Table::Chunks, Table::Meta}) {
    SCOPED_TRACE(static_cast<int>(table));
    change([&](kv::WriteTxn& txn) { ASSERT_TRUE(txn.erase(table_id(table), row(txn, table, 0).first)); });
    ASSERT_TRUE(opened_.open(*kv_));
    EXPECT_TRUE(opened_.index->applied()->empty());
    EXPECT_EQ(load_and_compare(model_, *opened_.index), "");
    opened_.index.reset();
    ASSERT_EQ(*kv_->names(), std::vector<std::string>{"index-1"});
  }
}

TEST_F(IndexRows, AreNotTrustedWhenOneIsOfAnEarlierTime) {
  std::pair<Bytes, Bytes> old;
  change([&](kv::WriteTxn& txn) { old = row(txn, Table::Packs, 2); });
  ASSERT_TRUE(opened_.open(*kv_));
  const auto checked = check_row(Table::Packs, old.first, old.second);
  ASSERT_TRUE(checked);
  model_.condemned.insert(parse_pack(checked->payload)->pack);
  ASSERT_TRUE(model_.load_into(*opened_.index));
  opened_.index.reset();
  change([&](kv::WriteTxn& txn) { ASSERT_TRUE(txn.put(table_id(Table::Packs), old.first, old.second)); });
  ASSERT_TRUE(opened_.open(*kv_));
  EXPECT_TRUE(opened_.index->applied()->empty());
  EXPECT_EQ(load_and_compare(model_, *opened_.index), "");
}

TEST_F(IndexRows, SayCorruptWhenTheyAreFoundDamagedInUse) {
  // So many that the filter is kept, and the rows are not read at open.
  for (std::uint64_t i = 10; i < 60; ++i) {
    model_.objects.insert(object(i, 400));
  }
  ASSERT_TRUE(opened_.open(*kv_));
  ASSERT_TRUE(model_.load_into(*opened_.index));
  ASSERT_TRUE(opened_.index->close());
  const auto names = *kv_->names();
  ASSERT_EQ(names.size(), 1U);
  format::ChunkId chunk;
  {
    const auto environment = *kv_->open(names[0], {});
    auto txn = *environment->begin_write();
    auto [key, value] = row(*txn, Table::Chunks, 17);
    std::ranges::copy(ByteView(key).first(chunk.bytes.size()), chunk.bytes.begin());
    value[0] ^= std::byte{1};
    ASSERT_TRUE(txn->put(table_id(Table::Chunks), key, value));
    ASSERT_TRUE(txn->commit());
  }
  ASSERT_TRUE(opened_.open(*kv_));
  EXPECT_EQ(opened_.index->applied()->size(), 60U);
  EXPECT_FALSE(opened_.index->damaged());
  EXPECT_EQ(opened_.index->find(chunk).error().code, ErrorCode::Corrupt);
  EXPECT_EQ(opened_.index->contains_live(chunk).error().code, ErrorCode::Corrupt);
  EXPECT_TRUE(opened_.index->damaged());
  // Who stops here finds an empty index the next time; who goes on clears it.
  ASSERT_TRUE(opened_.open(*kv_));
  EXPECT_TRUE(opened_.index->applied()->empty());
  EXPECT_EQ(load_and_compare(model_, *opened_.index), "");
}

TEST(IndexAccidents, LeaveRightAnswersInAnyOrder) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    base::SeededRng rng(seed);
    base::ThreadExecutor executor;
    kv::MemoryKv kv(executor);
    Opened opened;
    Model model;
    kv::MemoryKv::Image image;
    std::uint64_t next = 0;
    for (int step = 0; step < 25; ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      if (opened.index == nullptr) {
        const auto done = opened.open(kv);
        ASSERT_TRUE(done) << done.error().message;
      }
      for (std::uint64_t i = rng.next() % 3; i > 0; --i) {
        model.objects.insert(object(next++, 1 + rng.next() % 10));
      }
      if (model.objects.size() > 3 && rng.next() % 2 == 0) {
        const auto victim =
            std::next(model.objects.begin(), static_cast<std::ptrdiff_t>(rng.next() % model.objects.size()));
        if (rng.next() % 2 == 0) {
          model.condemned.insert(victim->second[0].name);
        }
        model.objects.erase(victim);
      }
      switch (rng.next() % 10) {
        case 0:
          kv.set_full(true);
          static_cast<void>(model.load_into(*opened.index));
          static_cast<void>(opened.index->compact());
          kv.set_full(false);
          break;
        case 1: {
          // Dies in the middle of an update.
          auto update = *opened.index->begin_update();
          for (const auto& [name, packs] : model.objects) {
            static_cast<void>(update->add_object(name, packs));
          }
          rng.next() % 2 == 0 ? kv.kill() : kv.crash();
          static_cast<void>(update->commit());
          update.reset();
          opened.index.reset();
          continue;
        }
        case 2:
          kv.crash();
          opened.index.reset();
          continue;
        case 3:
          image = kv.image();
          break;
        case 4:
          opened.index.reset();
          kv.restore(image);
          continue;
        case 5:
          opened.index.reset();
          kv.wipe();
          continue;
        case 6: {
          opened.index.reset();
          const std::vector<std::string> names = kv.names().value();
          std::ranges::for_each(names, [&](const std::string& name) { kv.damage(name); });
          continue;
        }
        case 7:
          ASSERT_TRUE(opened.index->compact());
          break;
        case 8:
          ASSERT_TRUE(opened.index->close());
          opened.index.reset();
          continue;
        default:
          break;
      }
      ASSERT_EQ(load_and_compare(model, *opened.index), "");
    }
  }
}

TEST(IndexAccidents, LeaveRightAnswersWhenTheProcessIsKilled) {
  const TempDir directory(memory_directory());
  base::SeededRng rng(5);
  std::uint64_t found = 0;
  for (int round = 0; round < 50; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    {
      const std::uint64_t seed = rng.next();
      firn::test::ChildProcess child([&](const auto& ready) {
        base::SeededRng child_rng(seed);
        Opened opened;
        if (!opened.open(directory.path("kv"))) {
          return;
        }
        ready();
        while (true) {
          Model wanted;
          for (int i = 0; i < 30; ++i) {
            wanted.objects.insert(object(child_rng.next() % 100));
          }
          if (!wanted.load_into(*opened.index) || (child_rng.next() % 3 == 0 && !opened.index->compact())) {
            return;
          }
        }
      });
      ASSERT_TRUE(child.ready());
      ::usleep(static_cast<useconds_t>(rng.next() % 20'000));
    }
    Opened opened;
    const auto done = opened.open(directory.path("kv"));
    ASSERT_TRUE(done) << done.error().message;
    // What counts as applied must be there whole.
    Model model;
    const auto applied = *opened.index->applied();
    for (std::uint64_t i = 0; i < 100; ++i) {
      if (applied.contains(object(i).first)) {
        model.objects.insert(object(i));
      }
    }
    ASSERT_EQ(model.difference(*opened.index), "");
    found += applied.size();
  }
  EXPECT_GT(found, 0U);
}

TEST(IndexAccidents, LeaveRightAnswersWhenTheMapIsFull) {
  const TempDir directory;
  Opened opened;
  ASSERT_TRUE(opened.open(directory.path("kv"), {.memory_bytes_max = 1 << 20, .size_bytes_max = 600 << 10}));
  Model model;
  Result<> loaded;
  for (std::uint64_t i = 0; loaded && i < 200; ++i) {
    model.objects.insert(object(i, 100));
    loaded = model.load_into(*opened.index);
  }
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ErrorCode::Exhausted);
  EXPECT_FALSE(opened.index->damaged());
  ASSERT_TRUE(opened.open(directory.path("kv")));
  EXPECT_EQ(load_and_compare(model, *opened.index), "");
}

TEST(IndexAccidents, LeaveRightAnswersWhenTheDiskIsFull) {
  const TempDir directory;
  if (::mount("firn-test", directory.path().c_str(), "tmpfs", 0, "size=2m") != 0) {
    GTEST_SKIP() << "needs the right to mount a tmpfs";
  }
  {
    Opened opened;
    ASSERT_TRUE(opened.open(directory.path("kv")));
    Model model;
    Result<> loaded;
    for (std::uint64_t i = 0; loaded && i < 500; ++i) {
      model.objects.insert(object(i, 100));
      loaded = model.load_into(*opened.index);
    }
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, ErrorCode::Exhausted);
    const auto compacted = opened.index->compact();
    EXPECT_TRUE(compacted || compacted.error().code == ErrorCode::Exhausted);
    // Less fits again, also into what the full disk left behind.
    while (model.objects.size() > 5) {
      model.objects.erase(model.objects.begin());
    }
    ASSERT_TRUE(opened.open(directory.path("kv")));
    EXPECT_EQ(load_and_compare(model, *opened.index), "");
  }
  ::umount(directory.path().c_str());
}

TEST(IndexAccidents, ThatHitTheFilterFileOnlyCostTime) {
  const TempDir directory(memory_directory());
  Model model;
  for (std::uint64_t i = 0; i < 50; ++i) {
    model.objects.insert(object(i, 400));
  }
  {
    Opened opened;
    ASSERT_TRUE(opened.open(directory.path("kv")));
    ASSERT_TRUE(model.load_into(*opened.index));
    ASSERT_TRUE(opened.index->close());
  }
  const std::string path = directory.path("kv/index-filter.state");
  const Bytes kept = *base::read_file(path, 64 << 20);
  Bytes zeroed(kept.size());
  Bytes empty_bits = kept;
  std::fill(empty_bits.begin() + 100, empty_bits.end() - 8, std::byte{0});
  const std::vector<Bytes> contents = {kept, {}, zeroed, empty_bits, Bytes(kept.begin(), kept.end() - 1)};
  for (const Bytes& content : contents) {
    ASSERT_TRUE(base::replace_file(path, content));
    Opened opened;
    ASSERT_TRUE(opened.open(directory.path("kv")));
    EXPECT_EQ(model.difference(*opened.index), "");
  }
  // A filter that was right once: it must not be believed for another state.
  ASSERT_TRUE(base::replace_file(path, kept));
  {
    Opened opened;
    ASSERT_TRUE(opened.open(directory.path("kv")));
    model.objects.insert(object(60, 400));
    ASSERT_TRUE(model.load_into(*opened.index));
  }
  Opened opened;
  ASSERT_TRUE(opened.open(directory.path("kv")));
  EXPECT_EQ(model.difference(*opened.index), "");
}

TEST(IndexAccidents, LeaveNoFilterOfAnotherHistory) {
  const TempDir directory(memory_directory());
  Model model;
  for (std::uint64_t i = 0; i < 50; ++i) {
    model.objects.insert(object(i, 400));
  }
  const auto add = [&](std::uint64_t i, bool close) {
    Opened opened;
    ASSERT_TRUE(opened.open(directory.path("kv")));
    Model grown = model;
    grown.objects.insert(object(i));
    ASSERT_TRUE(grown.load_into(*opened.index));
    ASSERT_TRUE(!close || opened.index->close());
  };
  {
    Opened opened;
    ASSERT_TRUE(opened.open(directory.path("kv")));
    ASSERT_TRUE(model.load_into(*opened.index));
    ASSERT_TRUE(opened.index->close());
  }
  fs::copy(directory.path("kv"), directory.path("old"), fs::copy_options::recursive);
  add(60, true);
  // Everything but the filter goes back in time, and then on in another way, as many commits far.
  const Bytes filter = base::read_file(directory.path("kv/index-filter.state"), 64 << 20).value();
  fs::remove_all(directory.path("kv"));
  fs::rename(directory.path("old"), directory.path("kv"));
  add(61, false);
  ASSERT_TRUE(base::replace_file(directory.path("kv/index-filter.state"), filter));
  model.objects.insert(object(61));
  Opened opened;
  ASSERT_TRUE(opened.open(directory.path("kv")));
  EXPECT_EQ(model.difference(*opened.index), "");
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FIRN_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FIRN_SANITIZED 1
#endif
#endif

TEST(IndexRebuild, OfTwoMillionEntriesStaysWithinItsMemory) {
#ifdef FIRN_SANITIZED
  GTEST_SKIP() << "sanitizers need memory of their own";
#endif
  const int code = firn::test::exit_code_of([] {
    const TempDir directory;
    base::ThreadExecutor executor;
    base::DirectoryScratch scratch(directory.path());
    const auto kv = kv::LmdbKv::open_directory(directory.path("kv"));
    constexpr IndexOptions kSmall{.memory_bytes_max = 16 << 20, .size_bytes_max = 4ull << 30};
    auto index = ChunkIndex::open(executor, **kv, scratch, repository(), kSmall);
    // From here on, anonymous memory may grow by what the index is allowed, and a little for the test.
    std::ifstream status("/proc/self/status");
    std::string line;
    std::uint64_t used_kib = 0;
    while (std::getline(status, line)) {
      if (line.starts_with("VmData:")) {
        used_kib = std::stoull(line.substr(7));
      }
    }
    const rlim_t limit = (used_kib << 10) + kSmall.memory_bytes_max + (8 << 20);
    const struct rlimit bound { limit, limit };
    if (used_kib == 0 || ::setrlimit(RLIMIT_DATA, &bound) != 0) {
      return 2;
    }
    base::SeededRng rng(1);
    std::vector<format::ChunkId> sample;
    auto update = (*index)->begin_update();
    for (std::size_t i = 0; i < 500; ++i) {
      if (!(*update)->begin_object(test::random_name(rng))) {
        return 3;
      }
      for (int pack = 0; pack < 40; ++pack) {
        const format::IndexedPack made = test::random_pack(rng, 100);
        if (!(*update)->add_pack(made)) {
          return 4;
        }
        if (pack == 0) {
          sample.push_back(made.entries[i % 100].id);
        }
      }
      if (!(*update)->end_object()) {
        return 5;
      }
    }
    if (!(*update)->commit()) {
      return 6;
    }
    update->reset();
    for (const format::ChunkId& id : sample) {
      if (!(*index)->contains_live(id).value_or(false)) {
        return 7;
      }
    }
    return (*index)->statistics()->entries == 2'000'000 ? 0 : 8;
  });
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace firn::index
