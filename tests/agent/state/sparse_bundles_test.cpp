#include "agent/state/sparse_bundles.h"

#include <gtest/gtest.h>

#include "repo/base/executor.h"
#include "repo/kv/memory_kv.h"

namespace firn::state {
namespace {

format::ChunkId id_of(int fill) {
  format::ChunkId id;
  id.bytes.fill(static_cast<std::byte>(fill));
  return id;
}

class SparseBundlesFile : public testing::Test {
 protected:
  base::ThreadExecutor executor_{1};
  kv::MemoryKv state_{executor_};
  const format::SourceTag source_{};
  const SparseBundles list_{.budget_bytes = 77, .bundles = {id_of(1), id_of(2)}};
};

TEST_F(SparseBundlesFile, ComesBackAsItWasSaved) {
  save_sparse_bundles(state_, source_, list_);
  const SparseBundles loaded = load_sparse_bundles(state_, source_);
  EXPECT_EQ(loaded.budget_bytes, 77U);
  EXPECT_EQ(loaded.bundles, list_.bundles);
}

TEST_F(SparseBundlesFile, IsOfOneSource) {
  save_sparse_bundles(state_, source_, list_);
  format::SourceTag other;
  other.bytes.fill(std::byte{9});
  EXPECT_TRUE(load_sparse_bundles(state_, other).bundles.empty());
}

TEST_F(SparseBundlesFile, AnEmptyListRemovesAnOlderOne) {
  save_sparse_bundles(state_, source_, list_);
  save_sparse_bundles(state_, source_, {});
  EXPECT_TRUE(load_sparse_bundles(state_, source_).bundles.empty());
}

TEST_F(SparseBundlesFile, HasAFixedForm) {
  Bytes expected(13);
  expected[0] = std::byte{1};   // version
  expected[1] = std::byte{77};  // budget, 8 bytes
  expected[9] = std::byte{2};   // number of ids, 4 bytes
  for (const int fill : {1, 2}) {
    expected.insert(expected.end(), 32, static_cast<std::byte>(fill));
  }
  EXPECT_EQ(encode(list_), expected);
}

TEST_F(SparseBundlesFile, ADamagedOneIsRefused) {
  const Bytes good = encode(list_);
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(parse_sparse_bundles(ByteView(good).first(length))) << length;
  }
  EXPECT_FALSE(parse_sparse_bundles(encode({.budget_bytes = 1, .bundles = {id_of(2), id_of(1)}})));
  EXPECT_FALSE(parse_sparse_bundles(encode({.budget_bytes = 1, .bundles = {id_of(1), id_of(1)}})));
  Bytes later = good;
  later[0] = std::byte{2};
  EXPECT_FALSE(parse_sparse_bundles(later));
}

}  // namespace
}  // namespace firn::state
