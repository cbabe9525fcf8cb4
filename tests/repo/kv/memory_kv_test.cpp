// What only MemoryKv does: the accidents that a simulation asks for.
#include "repo/kv/memory_kv.h"

#include <gtest/gtest.h>

#include <string>

#include "repo/base/executor.h"

namespace firn::kv {
namespace {

constexpr TableId kTable{0};

class MemoryKvTest : public testing::Test {
 protected:
  static void put(Environment& environment, std::string_view value) {
    auto txn = *environment.begin_write();
    ASSERT_TRUE(txn->put(kTable, as_bytes("key"), as_bytes(value)));
    ASSERT_TRUE(txn->commit());
  }
  std::string value_after_open(bool* unchanged = nullptr) {
    auto environment = kv_.open("things", {});
    EXPECT_TRUE(environment);
    if (unchanged != nullptr) {
      *unchanged = (*environment)->unchanged_since_close();
    }
    const auto txn = *(*environment)->begin_read();
    const auto value = *txn->get(kTable, as_bytes("key"));
    return value ? std::string(as_text(*value)) : "(none)";
  }

  base::ThreadExecutor executor_;
  MemoryKv kv_{executor_};
};

TEST_F(MemoryKvTest, LosesUnsyncedCommitsInACrash) {
  const auto environment = *kv_.open("things", {.durable = false});
  put(*environment, "synced");
  ASSERT_TRUE(environment->sync());
  put(*environment, "not synced");
  kv_.crash();
  bool unchanged = true;
  EXPECT_EQ(value_after_open(&unchanged), "synced");
  EXPECT_FALSE(unchanged);
}

TEST_F(MemoryKvTest, KeepsDurableCommitsInACrash) {
  const auto environment = *kv_.open("things", {});
  put(*environment, "durable");
  kv_.crash();
  EXPECT_EQ(value_after_open(), "durable");
}

TEST_F(MemoryKvTest, KeepsCommitsOfAKilledProcess) {
  const auto environment = *kv_.open("things", {.durable = false});
  put(*environment, "committed");
  auto open_txn = *environment->begin_write();
  ASSERT_TRUE(open_txn->put(kTable, as_bytes("key"), as_bytes("not committed")));
  kv_.kill();
  bool unchanged = true;
  EXPECT_EQ(value_after_open(&unchanged), "committed");
  EXPECT_FALSE(unchanged);
  EXPECT_EQ(open_txn->commit().error().code, ErrorCode::Unavailable);
  EXPECT_EQ(environment->begin_read().error().code, ErrorCode::Unavailable);
  EXPECT_EQ(environment->begin_write().error().code, ErrorCode::Unavailable);
}

TEST_F(MemoryKvTest, RollsBackToAnImage) {
  auto environment = *kv_.open("things", {});
  put(*environment, "old");
  const MemoryKv::Image image = kv_.image();
  put(*environment, "new");
  ASSERT_TRUE(kv_.write_file("current", as_bytes("new")));
  environment.reset();
  kv_.restore(image);
  bool unchanged = true;
  EXPECT_EQ(value_after_open(&unchanged), "old");
  EXPECT_FALSE(unchanged);
  EXPECT_EQ(kv_.read_file("current", 10).error().code, ErrorCode::NotFound);
}

TEST_F(MemoryKvTest, LosesEverythingWhenWiped) {
  auto environment = *kv_.open("things", {});
  put(*environment, "old");
  kv_.wipe();
  EXPECT_TRUE(kv_.names()->empty());
  EXPECT_EQ(value_after_open(), "(none)");
}

TEST_F(MemoryKvTest, AnswersCorruptUntilADamagedEnvironmentIsRemoved) {
  put(**kv_.open("things", {}), "old");
  kv_.damage("things");
  EXPECT_EQ(kv_.open("things", {}).error().code, ErrorCode::Corrupt);
  ASSERT_TRUE(kv_.remove("things"));
  EXPECT_EQ(value_after_open(), "(none)");
}

TEST_F(MemoryKvTest, RefusesWritesWhileItIsFull) {
  auto environment = *kv_.open("things", {});
  put(*environment, "old");
  kv_.set_full(true);
  auto txn = *environment->begin_write();
  EXPECT_EQ(txn->put(kTable, as_bytes("key"), as_bytes("new")).error().code, ErrorCode::Exhausted);
  EXPECT_EQ(txn->commit().error().code, ErrorCode::Exhausted);
  EXPECT_EQ(kv_.write_file("current", {}).error().code, ErrorCode::Exhausted);
  txn.reset();
  kv_.set_full(false);
  put(*environment, "new");
  environment.reset();
  EXPECT_EQ(value_after_open(), "new");
}

}  // namespace
}  // namespace firn::kv
