// Leaf digests on each implementation, against SHA-256 leaf by leaf.
#include "crypto/leaf_hash.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/crypto/hex.h"
#include "tests/crypto/on_each_implementation.h"

namespace firn::crypto {
namespace {

constexpr std::uint64_t kSeed = 20250102;
constexpr std::size_t kSourceBytes = 3u << 20;

std::vector<Digest> leaf_by_leaf(ByteView data) {
  std::vector<Digest> digests;
  while (!data.empty()) {
    const ByteView leaf = data.first(std::min(kLeafBytes, data.size()));
    digests.push_back(sha256(leaf));
    data = data.subspan(leaf.size());
  }
  return digests;
}

class LeafDigests : public test::OnEachImplementation {
 protected:
  std::mt19937_64 random_{kSeed};
  const std::vector<std::byte>& source_ = shared_source();
  testing::ScopedTrace seed_{__FILE__, __LINE__, "seed " + std::to_string(kSeed)};

  ByteView some(std::size_t size_bytes) {
    return ByteView(source_).subspan(random_() % (kSourceBytes - size_bytes + 1), size_bytes);
  }

 private:
  static const std::vector<std::byte>& shared_source() {
    static const auto bytes = [] {
      std::mt19937_64 random(kSeed);
      return test::random_bytes(random, kSourceBytes);
    }();
    return bytes;
  }
};

INSTANTIATE_TEST_SUITE_P(Each, LeafDigests, test::each_implementation(), test::name_of);

TEST_P(LeafDigests, OfNothingAreNone) {
  std::vector<Digest> digests(3);
  leaf_digests({}, digests);
  EXPECT_TRUE(digests.empty());
  EXPECT_EQ(leaf_count(0), 0u);
  EXPECT_TRUE(LeafHasher().digests().empty());
}

TEST_P(LeafDigests, AreSha256OfEachLeafAroundEveryLeafBorder) {
  std::vector<Digest> digests;
  for (std::size_t leaves = 0; leaves <= 40; ++leaves) {
    for (const std::ptrdiff_t off : {-64, -1, 0, 1, 55, 64}) {
      const auto size_bytes = static_cast<std::ptrdiff_t>(leaves * kLeafBytes) + off;
      if (size_bytes < 0) {
        continue;
      }
      SCOPED_TRACE(std::to_string(size_bytes) + " bytes");
      const ByteView data = some(static_cast<std::size_t>(size_bytes));
      leaf_digests(data, digests);
      ASSERT_EQ(digests, leaf_by_leaf(data));
      ASSERT_EQ(digests.size(), leaf_count(data.size()));
    }
  }
}

TEST_P(LeafDigests, AreRightForEveryLengthOfTheLastLeaf) {
  std::vector<Digest> digests;
  for (std::size_t size_bytes = 1; size_bytes <= 300; ++size_bytes) {
    const ByteView data = some(kLeafBytes + size_bytes);
    leaf_digests(data, digests);
    ASSERT_EQ(digests, leaf_by_leaf(data)) << size_bytes << " bytes";
  }
}

TEST_P(LeafDigests, AreRightForRandomLengths) {
  std::vector<Digest> digests;
  for (int i = 0; i < 60; ++i) {
    const ByteView data = some(random_() % (kSourceBytes + 1));
    SCOPED_TRACE(std::to_string(data.size()) + " bytes");
    leaf_digests(data, digests);
    ASSERT_EQ(digests, leaf_by_leaf(data));
  }
}

TEST_P(LeafDigests, OfManyInputsAreThoseOfEachInput) {
  for (int round = 0; round < 30; ++round) {
    std::vector<ByteView> inputs(random_() % 20);
    std::vector<Digest> expected;
    for (ByteView& input : inputs) {
      input = some(random_() % 3 == 0 ? random_() % 10 : random_() % 100'000);
      const auto more = leaf_by_leaf(input);
      expected.insert(expected.end(), more.begin(), more.end());
    }
    std::vector<Digest> digests;
    leaf_digests_of_each(inputs, digests);
    ASSERT_EQ(digests, expected) << "round " << round;
  }
}

TEST_P(LeafDigests, DoNotDependOnHowBytesArrive) {
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const ByteView data = some(random_() % (2u << 20));
    const std::size_t piece_bytes_max = std::size_t{1} << (5 + random_() % 16);
    LeafHasher hasher;
    std::size_t fed = 0;
    while (fed < data.size()) {
      const std::size_t piece = std::min(data.size() - fed, random_() % (piece_bytes_max + 1));
      hasher.update(data.subspan(fed, piece));
      fed += piece;
    }
    ASSERT_EQ(hasher.size_bytes(), data.size());
    ASSERT_EQ(hasher.digests(), leaf_by_leaf(data));
  }
}

TEST_P(LeafDigests, MayBeAskedForWhileBytesStillArrive) {
  const ByteView data = some(900'000);
  LeafHasher hasher;
  for (std::size_t fed = 0; fed < data.size(); fed += 100'000) {
    ASSERT_EQ(hasher.digests(), leaf_by_leaf(data.first(fed)));
    hasher.update(data.subspan(fed, 100'000));
  }
  EXPECT_EQ(hasher.digests(), leaf_by_leaf(data));
}

TEST_P(LeafDigests, AreRightOnManyThreadsAtOnce) {
  const ByteView data = some(700'000);
  const auto expected = leaf_by_leaf(data);
  std::array<std::vector<Digest>, 6> found;
  std::vector<std::thread> threads;
  threads.reserve(found.size());
  for (auto& digests : found) {
    threads.emplace_back([&digests, data] {
      for (int i = 0; i < 10; ++i) {
        leaf_digests(data, digests);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const auto& digests : found) {
    EXPECT_EQ(digests, expected);
  }
}

}  // namespace
}  // namespace firn::crypto
