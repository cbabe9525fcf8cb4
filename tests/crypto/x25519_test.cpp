// X25519 against RFC 7748 and Wycheproof.
#include "crypto/x25519.h"

#include <gtest/gtest.h>

#include "tests/crypto/vectors.h"

namespace firn::crypto {
namespace {

using test::array_of;
using test::hex_of;

std::string agreed(const std::array<std::byte, 32>& private_key,
                   const std::array<std::byte, 32>& public_key) {
  const auto shared = X25519KeyPair::from_private_key(private_key).agree({public_key});
  return shared ? hex_of(shared->bytes()) : "refused";
}

TEST(X25519, MatchesRfc7748) {
  EXPECT_EQ(agreed(array_of<32>("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
                   array_of<32>("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")),
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  EXPECT_EQ(agreed(array_of<32>("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
                   array_of<32>("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493")),
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

TEST(X25519, MatchesRfc7748After1000Rounds) {
  auto scalar = array_of<32>("09");
  auto point = scalar;
  for (int round = 0; round < 1000; ++round) {
    const auto next = array_of<32>(agreed(scalar, point));
    point = scalar;
    scalar = next;
  }
  EXPECT_EQ(hex_of(scalar), "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

TEST(X25519, BothSidesAgreeAsInRfc7748) {
  const auto alice = X25519KeyPair::from_private_key(
      array_of<32>("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  const auto bob = X25519KeyPair::from_private_key(
      array_of<32>("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
  EXPECT_EQ(hex_of(bob.public_key().bytes),
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  const auto by_alice = alice.agree(bob.public_key());
  const auto by_bob = bob.agree(alice.public_key());
  ASSERT_TRUE(by_alice && by_bob);
  EXPECT_EQ(hex_of(by_alice->bytes()), hex_of(by_bob->bytes()));
  EXPECT_EQ(hex_of(by_alice->bytes()), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

TEST(X25519, AgreesWithWycheproof) {
  for (const auto& vector : test::vectors_in("wycheproof_x25519.txt")) {
    const bool zeros = vector.text(3) == std::string(64, '0');
    EXPECT_EQ(agreed(vector.array<32>(2), vector.array<32>(1)), zeros ? "refused" : vector.text(3))
        << "vector " << vector.text(0);
  }
}

TEST(X25519, AClonedPairIsTheSamePair) {
  const auto pair = X25519KeyPair::from_private_key(array_of<32>("01020304"));
  const auto clone = pair.clone();
  EXPECT_EQ(clone.public_key(), pair.public_key());
  EXPECT_EQ(hex_of(clone.private_key()), hex_of(pair.private_key()));
  EXPECT_NE(clone.private_key().data(), pair.private_key().data());
}

}  // namespace
}  // namespace firn::crypto
