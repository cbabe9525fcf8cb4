// Ed25519 against RFC 8032 and Wycheproof.
#include "crypto/ed25519.h"

#include <gtest/gtest.h>

#include "tests/crypto/vectors.h"

namespace firn::crypto {
namespace {

using test::array_of;
using test::bytes_of;
using test::hex_of;

struct SignatureCase {
  std::string_view seed;
  std::string_view public_key;
  std::string_view message;
  std::string_view signature;
};

constexpr SignatureCase kRfc8032[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
     "d25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
     "387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
     "4a7c15e9716ed28dc027beceea1ec40a"},
};

TEST(Ed25519, SignsLikeRfc8032) {
  for (const auto& rfc : kRfc8032) {
    const auto pair = Ed25519KeyPair::from_seed(array_of<32>(rfc.seed));
    EXPECT_EQ(hex_of(pair.public_key().bytes), rfc.public_key);
    EXPECT_EQ(hex_of(pair.sign(bytes_of(rfc.message)).bytes), rfc.signature);
    EXPECT_TRUE(ed25519_verify(pair.public_key(), bytes_of(rfc.message), {array_of<64>(rfc.signature)}));
  }
}

TEST(Ed25519, AgreesWithWycheproof) {
  for (const auto& vector : test::vectors_in("wycheproof_ed25519.txt")) {
    const bool valid = ed25519_verify({vector.array<32>(2)}, vector.bytes(3), {vector.array<64>(4)});
    EXPECT_EQ(valid, vector.text(1) == "valid") << "vector " << vector.text(0);
  }
}

TEST(Ed25519, RefusesEveryFlippedBit) {
  const auto pair = Ed25519KeyPair::from_seed(array_of<32>("0a0b0c"));
  const auto message = bytes_of("00112233");
  const auto signature = pair.sign(message);
  ASSERT_TRUE(ed25519_verify(pair.public_key(), message, signature));
  for (std::size_t bit = 0; bit < 512; ++bit) {
    auto damaged = signature;
    damaged.bytes[bit / 8] ^= std::byte(1 << bit % 8);
    EXPECT_FALSE(ed25519_verify(pair.public_key(), message, damaged)) << "signature bit " << bit;
  }
  for (std::size_t bit = 0; bit < 256; ++bit) {
    auto damaged = pair.public_key();
    damaged.bytes[bit / 8] ^= std::byte(1 << bit % 8);
    EXPECT_FALSE(ed25519_verify(damaged, message, signature)) << "key bit " << bit;
  }
  for (std::size_t bit = 0; bit < 32; ++bit) {
    auto damaged = message;
    damaged[bit / 8] ^= std::byte(1 << bit % 8);
    EXPECT_FALSE(ed25519_verify(pair.public_key(), damaged, signature)) << "message bit " << bit;
  }
}

TEST(Ed25519, AClonedPairSignsTheSame) {
  const auto pair = Ed25519KeyPair::from_seed(array_of<32>("0d0e0f"));
  const auto clone = pair.clone();
  EXPECT_EQ(clone.public_key(), pair.public_key());
  EXPECT_EQ(clone.sign(label_bytes("m")), pair.sign(label_bytes("m")));
}

}  // namespace
}  // namespace firn::crypto
