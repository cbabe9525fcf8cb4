// The choice of an implementation, and that the self-test refuses kernels that are wrong.
#include "crypto/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "crypto/detail/kernel.h"
#include "crypto/leaf_hash.h"

namespace firn::crypto {
namespace {

using detail::Kernel;

const Kernel& right() { return detail::openssl_kernel(); }

struct WrongKernel {
  const char* what;
  Kernel kernel;
};

std::vector<WrongKernel> wrong_kernels() {
  Kernel last_leaf = right();
  last_leaf.hash_leaves = [](std::span<const ByteView> leaves, std::span<Digest> out) {
    right().hash_leaves(leaves, out);
    if (leaves.back().size() == kLeafBytes) {
      out.back()[31] ^= std::byte{1};
    }
  };
  Kernel swapped_lanes = right();
  swapped_lanes.hash_leaves = [](std::span<const ByteView> leaves, std::span<Digest> out) {
    right().hash_leaves(leaves, out);
    if (leaves.size() == 8) {
      std::swap(out[0], out[1]);
    }
  };
  Kernel long_tag = right();
  long_tag.seal = [](Key256View key, NonceView nonce, ByteView aad, ByteView plaintext, MutableBytes out) {
    right().seal(key, nonce, aad, plaintext, out);
    if (plaintext.size() > 1000) {
      out.back() ^= std::byte{1};
    }
  };
  Kernel no_aad = right();
  no_aad.seal = [](Key256View key, NonceView nonce, ByteView, ByteView plaintext, MutableBytes out) {
    right().seal(key, nonce, {}, plaintext, out);
  };
  Kernel opens_all = right();
  opens_all.open = [](Key256View key, NonceView nonce, ByteView aad, ByteView ciphertext,
                      std::span<const std::byte, kAeadTagBytes> tag, MutableBytes out) {
    (void)right().open(key, nonce, aad, ciphertext, tag, out);
    return true;
  };
  Kernel opens_nothing = right();
  opens_nothing.open = [](Key256View, NonceView, ByteView, ByteView,
                          std::span<const std::byte, kAeadTagBytes>, MutableBytes) { return false; };
  Kernel wrong_plaintext = right();
  wrong_plaintext.open = [](Key256View key, NonceView nonce, ByteView aad, ByteView ciphertext,
                            std::span<const std::byte, kAeadTagBytes> tag, MutableBytes out) {
    const bool genuine = right().open(key, nonce, aad, ciphertext, tag, out);
    if (out.size() > 8000) {
      out[8000] ^= std::byte{1};
    }
    return genuine;
  };
  return {{"digest of a full last leaf", last_leaf},
          {"lanes swapped", swapped_lanes},
          {"tag of long plaintexts", long_tag},
          {"aad left out", no_aad},
          {"opens all", opens_all},
          {"opens nothing", opens_nothing},
          {"plaintext damaged", wrong_plaintext}};
}

TEST(SelfTest, AcceptsAKernelThatIsRight) { EXPECT_TRUE(detail::kernels_agree(right(), right())); }

TEST(SelfTest, RefusesKernelsThatAreWrong) {
  for (const auto& [what, kernel] : wrong_kernels()) {
    EXPECT_FALSE(detail::kernels_agree(right(), kernel)) << what;
  }
}

TEST(IpsecMbKernel, HashesTheSameOnLesserProcessors) {
  std::vector<std::byte> bytes(kLeafBytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = std::byte(i * 2654435761u >> 24 & 0xff);
  }
  for (const auto tier : {detail::ProcessorTier::BestWithoutSha, detail::ProcessorTier::Avx2WithSha,
                          detail::ProcessorTier::Avx2WithoutSha}) {
    for (std::size_t count = 0; count <= 40; ++count) {
      std::vector<ByteView> leaves(count, bytes);
      for (std::size_t i = 0; i < count; i += 3) {
        leaves[i] = leaves[i].first(1 + i * 400);
      }
      std::vector<Digest> found(count);
      std::vector<Digest> expected(count);
      if (!detail::hash_leaves_like(tier, leaves, found)) {
        GTEST_SKIP() << "needs libipsec-mb and AVX2";
      }
      right().hash_leaves(leaves, expected);
      EXPECT_EQ(found, expected) << "tier " << static_cast<int>(tier) << ", " << count << " leaves";
    }
  }
}

TEST(Implementations, OpenSslIsAlwaysAvailable) {
  const Implementation before = select_implementation();
  EXPECT_TRUE(implementation_available(Implementation::OpenSsl));
  EXPECT_TRUE(use_implementation(Implementation::OpenSsl));
  EXPECT_EQ(select_implementation(), Implementation::OpenSsl);
  EXPECT_EQ(&detail::current_kernel(), &detail::openssl_kernel());
  use_implementation(before);
}

TEST(Implementations, TheFastOneIsChosenWhereItIsAvailable) {
  const bool fast = implementation_available(Implementation::IpsecMb);
  EXPECT_EQ(select_implementation(), fast ? Implementation::IpsecMb : Implementation::OpenSsl);
  EXPECT_EQ(fast, detail::ipsec_mb_kernel() != nullptr);
}

TEST(Implementations, OneThatIsNotAvailableCannotBeUsed) {
  const Implementation before = select_implementation();
  EXPECT_EQ(use_implementation(Implementation::IpsecMb), implementation_available(Implementation::IpsecMb));
  use_implementation(before);
}

TEST(Implementations, HaveNames) {
  EXPECT_EQ(to_string(Implementation::OpenSsl), "openssl");
  EXPECT_EQ(to_string(Implementation::IpsecMb), "ipsec-mb");
}

}  // namespace
}  // namespace firn::crypto
