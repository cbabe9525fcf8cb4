// What every LocalKv promises, run on LMDB and on memory.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "repo/base/executor.h"
#include "repo/base/rng.h"
#include "repo/kv/lmdb_kv.h"
#include "repo/kv/memory_kv.h"
#include "tests/support/temp_dir.h"

namespace firn::kv {
namespace {

constexpr TableId kFirst{0};
constexpr TableId kLast{15};

class LocalKvTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "lmdb") {
      auto opened = LmdbKv::open_directory(directory_.path());
      ASSERT_TRUE(opened) << opened.error().message;
      kv_ = *std::move(opened);
    } else {
      kv_ = std::make_unique<MemoryKv>(executor_);
    }
  }

  std::unique_ptr<Environment> open(std::string_view name, EnvironmentOptions options = {}) {
    auto opened = kv_->open(name, options);
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? *std::move(opened) : nullptr;
  }

  static void put(Environment& environment, TableId table, std::string_view key, std::string_view value) {
    auto txn = environment.begin_write();
    ASSERT_TRUE(txn) << txn.error().message;
    ASSERT_TRUE((*txn)->put(table, as_bytes(key), as_bytes(value)));
    ASSERT_TRUE((*txn)->commit());
  }

  static std::string get(Environment& environment, TableId table, std::string_view key) {
    auto txn = environment.begin_read();
    EXPECT_TRUE(txn);
    const auto value = (*txn)->get(table, as_bytes(key));
    EXPECT_TRUE(value);
    return *value ? std::string(as_text(**value)) : "(none)";
  }

  static std::string rows(ReadTxn& txn, TableId table, std::string_view from = {},
                          std::size_t count_max = 1000) {
    std::string out;
    std::size_t count = 0;
    EXPECT_TRUE(txn.scan(table, as_bytes(from), [&](ByteView key, ByteView value) {
      out += std::string(as_text(key)) + "=" + std::string(as_text(value)) + " ";
      return ++count < count_max;
    }));
    return out;
  }

  test::TempDir directory_;
  base::ThreadExecutor executor_;
  std::unique_ptr<LocalKv> kv_;
};

INSTANTIATE_TEST_SUITE_P(Stores, LocalKvTest, testing::Values("lmdb", "memory"),
                         [](const auto& param_info) { return param_info.param; });

TEST_P(LocalKvTest, KeepsWhatWasCommitted) {
  const auto environment = open("things");
  put(*environment, kFirst, "key", "value");
  EXPECT_EQ(get(*environment, kFirst, "key"), "value");
}

TEST_P(LocalKvTest, KeepsTablesApart) {
  const auto environment = open("things");
  put(*environment, kFirst, "key", "first");
  put(*environment, kLast, "key", "last");
  EXPECT_EQ(get(*environment, kFirst, "key"), "first");
  EXPECT_EQ(get(*environment, kLast, "key"), "last");
}

TEST_P(LocalKvTest, KeepsWhatWasCommittedWhenOpenedAgain) {
  put(*open("things"), kFirst, "key", "value");
  const auto environment = open("things");
  EXPECT_EQ(get(*environment, kFirst, "key"), "value");
}

TEST_P(LocalKvTest, SaysThatAClosedEnvironmentIsUnchanged) {
  const auto first = open("things");
  EXPECT_TRUE(first->unchanged_since_close());
  put(*first, kFirst, "key", "value");
  put(*open("others"), kFirst, "key", "value");
  EXPECT_TRUE(open("others")->unchanged_since_close());
}

TEST_P(LocalKvTest, ForgetsATransactionThatWasNotCommitted) {
  const auto environment = open("things");
  {
    auto txn = environment->begin_write();
    ASSERT_TRUE((*txn)->put(kFirst, as_bytes("key"), as_bytes("value")));
  }
  EXPECT_EQ(get(*environment, kFirst, "key"), "(none)");
}

TEST_P(LocalKvTest, ReadsItsOwnChangesInsideAWriteTransaction) {
  const auto environment = open("things");
  auto txn = *environment->begin_write();
  ASSERT_TRUE(txn->put(kFirst, as_bytes("b"), as_bytes("2")));
  ASSERT_TRUE(txn->put(kFirst, as_bytes("a"), as_bytes("1")));
  ASSERT_TRUE(txn->put(kFirst, as_bytes("c"), as_bytes("3")));
  ASSERT_TRUE(txn->erase(kFirst, as_bytes("b")));
  EXPECT_EQ(rows(*txn, kFirst), "a=1 c=3 ");
  EXPECT_EQ(*txn->count(kFirst), 2U);
}

TEST_P(LocalKvTest, ShowsAReaderTheStateThatItBeganWith) {
  const auto environment = open("things");
  put(*environment, kFirst, "key", "old");
  const auto reader = *environment->begin_read();
  put(*environment, kFirst, "key", "new");
  EXPECT_EQ(as_text(**reader->get(kFirst, as_bytes("key"))), "old");
  EXPECT_EQ(get(*environment, kFirst, "key"), "new");
}

TEST_P(LocalKvTest, ReplacesAValue) {
  const auto environment = open("things");
  put(*environment, kFirst, "key", "old");
  put(*environment, kFirst, "key", std::string(10000, 'n'));
  EXPECT_EQ(get(*environment, kFirst, "key"), std::string(10000, 'n'));
}

TEST_P(LocalKvTest, KeepsAnEmptyValue) {
  const auto environment = open("things");
  put(*environment, kFirst, "key", "");
  EXPECT_EQ(get(*environment, kFirst, "key"), "");
}

TEST_P(LocalKvTest, ErasesAKeyThatIsNotThereWithoutComplaint) {
  const auto environment = open("things");
  auto txn = *environment->begin_write();
  EXPECT_TRUE(txn->erase(kFirst, as_bytes("key")));
  EXPECT_TRUE(txn->commit());
}

TEST_P(LocalKvTest, ScansInByteOrderFromAKeyOn) {
  const auto environment = open("things");
  for (const char* key : {"b", "\xff", "a", "ab", "c"}) {
    put(*environment, kFirst, key, "-");
  }
  const auto txn = *environment->begin_read();
  EXPECT_EQ(rows(*txn, kFirst), "a=- ab=- b=- c=- \xff=- ");
  EXPECT_EQ(rows(*txn, kFirst, "aa"), "ab=- b=- c=- \xff=- ");
  EXPECT_EQ(rows(*txn, kFirst, "b", 1), "b=- ");
  EXPECT_EQ(rows(*txn, kLast), "");
}

TEST_P(LocalKvTest, RefusesKeysOfImpossibleSize) {
  const auto environment = open("things");
  auto txn = *environment->begin_write();
  for (const std::size_t size : {std::size_t{0}, kKeySizeBytesMax + 1}) {
    const std::string key(size, 'k');
    EXPECT_EQ(txn->put(kFirst, as_bytes(key), {}).error().code, ErrorCode::Invalid) << size;
    EXPECT_EQ(txn->append(kFirst, as_bytes(key), {}).error().code, ErrorCode::Invalid) << size;
    EXPECT_EQ(txn->erase(kFirst, as_bytes(key)).error().code, ErrorCode::Invalid) << size;
    EXPECT_EQ(txn->get(kFirst, as_bytes(key)).error().code, ErrorCode::Invalid) << size;
  }
  const std::string longest(kKeySizeBytesMax, 'k');
  EXPECT_TRUE(txn->put(kFirst, as_bytes(longest), as_bytes("v")));
  EXPECT_TRUE(txn->commit());
  EXPECT_EQ(get(*environment, kFirst, longest), "v");
}

TEST_P(LocalKvTest, AppendsInOrder) {
  const auto environment = open("things");
  auto txn = *environment->begin_write();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(txn->append(kFirst, as_bytes(std::to_string(10000 + i)), as_bytes("v")));
  }
  ASSERT_TRUE(txn->commit());
  EXPECT_EQ(*(*environment->begin_read())->count(kFirst), 1000U);
}

TEST_P(LocalKvTest, SpoilsATransactionThatAppendsOutOfOrder) {
  for (const char* second : {"b", "a"}) {
    const auto environment = open("things");
    auto txn = *environment->begin_write();
    ASSERT_TRUE(txn->append(kFirst, as_bytes("b"), as_bytes("v")));
    EXPECT_EQ(txn->append(kFirst, as_bytes(second), as_bytes("v")).error().code, ErrorCode::Invalid);
    EXPECT_EQ(txn->put(kFirst, as_bytes("c"), as_bytes("v")).error().code, ErrorCode::Invalid);
    EXPECT_EQ(txn->commit().error().code, ErrorCode::Invalid);
    txn.reset();
    EXPECT_EQ(get(*environment, kFirst, "b"), "(none)");
  }
}

TEST_P(LocalKvTest, LetsOneWriterWaitForAnother) {
  const auto environment = open("things");
  auto first = *environment->begin_write();
  std::atomic<bool> second_began = false;
  const auto task = executor_.spawn("writer", [&] {
    auto second = environment->begin_write();
    second_began = true;
    ASSERT_TRUE(second);
    ASSERT_TRUE((*second)->put(kFirst, as_bytes("b"), as_bytes("2")));
    ASSERT_TRUE((*second)->commit());
  });
  ASSERT_TRUE(first->put(kFirst, as_bytes("a"), as_bytes("1")));
  EXPECT_FALSE(second_began);
  ASSERT_TRUE(first->commit());
  first.reset();
  task->join();
  EXPECT_EQ(rows(**environment->begin_read(), kFirst), "a=1 b=2 ");
}

TEST_P(LocalKvTest, ServesManyReadersBesideAWriter) {
  const auto environment = open("things");
  put(*environment, kFirst, "left", "0");
  put(*environment, kFirst, "right", "0");
  std::atomic<bool> stop = false;
  std::vector<std::unique_ptr<base::Task>> readers;
  for (int i = 0; i < 4; ++i) {
    readers.push_back(executor_.spawn("reader", [&] {
      while (!stop) {
        const auto txn = environment->begin_read();
        ASSERT_TRUE(txn);
        const auto left = (*txn)->get(kFirst, as_bytes("left"));
        const auto right = (*txn)->get(kFirst, as_bytes("right"));
        EXPECT_TRUE(equal(**left, **right));
      }
    }));
  }
  for (int i = 0; i < 200; ++i) {
    auto txn = *environment->begin_write();
    ASSERT_TRUE(txn->put(kFirst, as_bytes("left"), as_bytes(std::to_string(i))));
    ASSERT_TRUE(txn->put(kFirst, as_bytes("right"), as_bytes(std::to_string(i))));
    ASSERT_TRUE(txn->commit());
  }
  stop = true;
  readers.clear();
}

TEST_P(LocalKvTest, RefusesToOpenTwice) {
  const auto environment = open("things");
  EXPECT_EQ(kv_->open("things", {}).error().code, ErrorCode::Invalid);
  EXPECT_EQ(kv_->remove("things").error().code, ErrorCode::Invalid);
}

TEST_P(LocalKvTest, RefusesNamesThatCouldLeaveTheDirectory) {
  for (const char* name : {"", "..", "a/b", "A", "a_b", "a.b"}) {
    EXPECT_EQ(kv_->open(name, {}).error().code, ErrorCode::Invalid) << name;
    EXPECT_EQ(kv_->remove(name).error().code, ErrorCode::Invalid) << name;
    EXPECT_EQ(kv_->write_file(name, {}).error().code, ErrorCode::Invalid) << name;
    EXPECT_EQ(kv_->read_file(name, 1).error().code, ErrorCode::Invalid) << name;
    EXPECT_EQ(kv_->remove_file(name).error().code, ErrorCode::Invalid) << name;
  }
}

TEST_P(LocalKvTest, RemovesAnEnvironmentAndStartsItAnewEmpty) {
  put(*open("things"), kFirst, "key", "value");
  ASSERT_TRUE(kv_->remove("things"));
  ASSERT_TRUE(kv_->remove("things"));
  EXPECT_TRUE(kv_->names()->empty());
  EXPECT_EQ(get(*open("things"), kFirst, "key"), "(none)");
}

TEST_P(LocalKvTest, ListsEnvironmentsInOrder) {
  for (const char* name : {"b", "a", "gen-12"}) {
    open(name);
  }
  ASSERT_TRUE(kv_->write_file("state", as_bytes("x")));
  EXPECT_EQ(*kv_->names(), (std::vector<std::string>{"a", "b", "gen-12"}));
}

TEST_P(LocalKvTest, ReplacesSmallFiles) {
  EXPECT_EQ(kv_->read_file("current", 100).error().code, ErrorCode::NotFound);
  ASSERT_TRUE(kv_->write_file("current", as_bytes("one")));
  ASSERT_TRUE(kv_->write_file("current", as_bytes("three")));
  EXPECT_EQ(as_text(*kv_->read_file("current", 5)), "three");
  EXPECT_EQ(kv_->read_file("current", 4).error().code, ErrorCode::Corrupt);
  ASSERT_TRUE(kv_->remove_file("current"));
  ASSERT_TRUE(kv_->remove_file("current"));
  EXPECT_EQ(kv_->read_file("current", 100).error().code, ErrorCode::NotFound);
}

TEST_P(LocalKvTest, AgreesWithAnOrderedMapUnderRandomChanges) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    base::SeededRng rng(seed);
    const std::string name = "seed-" + std::to_string(seed);
    auto environment = open(name, {.size_bytes_max = 64 << 20, .durable = false});
    std::map<std::string, std::string> oracle;
    for (int round = 0; round < 12; ++round) {
      auto txn = *environment->begin_write();
      auto changed = oracle;
      for (int i = 0; i < 150; ++i) {
        const std::string key(1 + rng.next() % 40, static_cast<char>('a' + rng.next() % 26));
        if (rng.next() % 3 == 0) {
          ASSERT_TRUE(txn->erase(kFirst, as_bytes(key)));
          changed.erase(key);
        } else {
          const std::size_t size = rng.next() % 8 == 0 ? rng.next() % 9000 : rng.next() % 100;
          const std::string value(size, static_cast<char>('0' + rng.next() % 10));
          ASSERT_TRUE(txn->put(kFirst, as_bytes(key), as_bytes(value)));
          changed[key] = value;
        }
      }
      if (rng.next() % 4 != 0) {
        ASSERT_TRUE(txn->commit());
        oracle = std::move(changed);
      }
      txn.reset();
      if (rng.next() % 3 == 0) {
        environment.reset();
        environment = open(name, {.size_bytes_max = 64 << 20, .durable = false});
      }
      std::map<std::string, std::string> found;
      ASSERT_TRUE((*environment->begin_read())->scan(kFirst, {}, [&](ByteView key, ByteView value) {
        found.emplace(as_text(key), as_text(value));
        return true;
      }));
      ASSERT_EQ(found, oracle);
    }
  }
}

}  // namespace
}  // namespace firn::kv
