// A store whose answers are spoilt on their way: once is healed by reading again, and what stays is damage.

#include "repo/reread.h"

#include <gtest/gtest.h>

#include "repo/check.h"
#include "tests/repo/rig.h"
#include "tests/support/fault_store.h"

namespace firn::repo {
namespace {

using test::Fault;
using test::Operation;

class RereadTest : public testing::Test {
 protected:
  void SetUp() override {
    make_repository(world);
    kv::MemoryKv kv{executor};
    Node node(world, world.store, kv, key_file_of(1));
    files = {{"a", random_bytes(1, 100)}, {"b/c", random_bytes(2, 3 * kPieceBytes)}};
    snapshot = must(node.backup(files));
  }

  /// Opens, restores and checks as a new process: the number of errors that check found.
  std::uint64_t read_all(store::ObjectStore& store) {
    kv::MemoryKv kv{executor};
    Node node(world, store, kv, key_file_of(1));
    EXPECT_EQ(must(node.restore(snapshot)), files);
    CheckOptions options;
    options.data.kind = DataSubset::Kind::All;
    CheckProgress progress;
    base::StopFlag stop;
    return must(check_repository(node.repository(), node.index(), node.cache(), kv, options, stop, progress,
                                 [](const Finding& finding) { ADD_FAILURE() << finding.message; }))
        .errors;
  }

  base::ThreadExecutor executor{1};
  World world{executor};
  Files files;
  format::SnapshotId snapshot;
};

TEST_F(RereadTest, ABitThatTurnsOnTheWayFailsNeitherARestoreNorACheck) {
  test::FaultStore counting(world.store, executor);
  ASSERT_EQ(read_all(counting), 0u);
  for (const Fault fault : {Fault::Flipped, Fault::Truncated}) {
    std::uint64_t fired = 0;
    for (std::uint64_t index = 0; index < counting.request_count(); ++index) {
      SCOPED_TRACE("request " + std::to_string(index));
      test::FaultStore store(world.store, executor, index);
      store.fail_request(index, fault);
      EXPECT_EQ(read_all(store), 0u);
      fired += store.fired(Operation::Get, fault) + store.fired(Operation::GetRange, fault);
    }
    EXPECT_GT(fired, 10u);
  }
}

TEST_F(RereadTest, WhatIsDamagedIsSoEachTime) {
  int reads = 0;
  const auto damaged = read_again_if_damaged([&]() -> Result<int> {
    ++reads;
    return fail(ErrorCode::Corrupt, "damaged");
  });
  EXPECT_EQ(damaged.error().code, ErrorCode::Corrupt);
  EXPECT_EQ(reads, kReadsMax);
  reads = 0;
  const auto silent = read_again_if_damaged([&]() -> Result<int> {
    ++reads;
    return fail(ErrorCode::Unavailable, "silent");
  });
  EXPECT_FALSE(silent);
  EXPECT_EQ(reads, 1);
}

TEST_F(RereadTest, ACertificateThatCannotBeReadIsNoWrongKey) {
  for (const std::string& name : world.names("keys/")) {
    SCOPED_TRACE(name);
    const Bytes before = world.bytes(name);
    world.remove(name);
    const auto opened = Repository::open(world.services(), world.store, key_file_of(1));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::Unavailable) << opened.error().message;
    world.replace(name, before);
  }
}

}  // namespace
}  // namespace firn::repo
