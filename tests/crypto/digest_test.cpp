// SHA-256 (FIPS 180-4 examples) and HMAC-SHA256 (RFC 4231).
#include "crypto/digest.h"

#include <gtest/gtest.h>

#include "tests/crypto/hex.h"
#include "tests/crypto/vectors.h"

namespace firn::crypto {
namespace {

using test::bytes_of;
using test::hex_of;

struct HashCase {
  std::string message;
  std::string_view digest;
};

std::vector<HashCase> hash_cases() {
  return {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopq"
       "rst"
       "nopqrstu",
       "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
      {std::string(1'000'000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
  };
}

TEST(Sha256, MatchesFips180Examples) {
  for (const auto& [message, digest] : hash_cases()) {
    EXPECT_EQ(hex_of(sha256(label_bytes(message))), digest) << message.size() << " bytes";
  }
}

TEST(Sha256, MatchesNistVectors) {
  for (const auto& vector : test::vectors_in("nist_sha256.txt")) {
    EXPECT_EQ(hex_of(sha256(vector.bytes(0))), vector.text(1)) << vector.text(0);
  }
}

TEST(Sha256, GivesTheSameForAnySplitOfTheMessage) {
  for (const auto& [message, digest] : hash_cases()) {
    const ByteView bytes = label_bytes(message);
    for (std::size_t cut = 0; cut <= std::min<std::size_t>(bytes.size(), 130); ++cut) {
      EXPECT_EQ(hex_of(sha256(bytes.first(cut), bytes.subspan(cut))), digest);
    }
  }
}

TEST(Sha256, StartsAnewAfterFinish) {
  Sha256 hash;
  for (const auto& [message, digest] : hash_cases()) {
    hash.update(label_bytes(message));
    EXPECT_EQ(hex_of(hash.finish()), digest);
  }
}

struct MacCase {
  std::string key;
  std::string message;
  std::string_view mac;
};

std::vector<MacCase> mac_cases() {
  return {
      {std::string(20, '\x0b'), "Hi There",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(20, '\xaa'), std::string(50, '\xdd'),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
  };
}

TEST(HmacSha256, MatchesRfc4231) {
  for (const auto& [key, message, mac] : mac_cases()) {
    EXPECT_EQ(hex_of(hmac_sha256(label_bytes(key), label_bytes(message))), mac);
  }
}

TEST(HmacSha256, AgreesWithWycheproof) {
  for (const auto& vector : test::vectors_in("wycheproof_hmac_sha256.txt")) {
    const Digest mac = hmac_sha256(vector.bytes(2), vector.bytes(3));
    const auto tag = vector.bytes(4);
    ASSERT_LE(tag.size(), mac.size());
    const bool equal = constant_time_equal(ByteView(mac).first(tag.size()), tag);
    EXPECT_EQ(equal, vector.text(1) == "valid") << "vector " << vector.text(0);
  }
}

TEST(HmacSha256, StartsAnewAfterFinishWithTheSameKey) {
  for (const auto& [key, message, mac] : mac_cases()) {
    HmacSha256 hmac(label_bytes(key));
    for (int round = 0; round < 2; ++round) {
      const ByteView bytes = label_bytes(message);
      hmac.update(bytes.first(3));
      hmac.update(bytes.subspan(3));
      EXPECT_EQ(hex_of(hmac.finish()), mac) << "round " << round;
    }
  }
}

TEST(HmacSha256, AcceptsAnEmptyKeyAndNoParts) {
  EXPECT_EQ(hex_of(hmac_sha256({})), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(ConstantTimeEqual, SeesEveryDifferingBit) {
  const auto bytes = bytes_of("00112233445566778899aabbccddeeff");
  EXPECT_TRUE(constant_time_equal(bytes, bytes));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto other = bytes;
    other[bit / 8] ^= std::byte(1 << bit % 8);
    EXPECT_FALSE(constant_time_equal(bytes, other)) << "bit " << bit;
  }
}

TEST(ConstantTimeEqual, HoldsPrefixesUnequal) {
  const auto bytes = bytes_of("0011");
  EXPECT_FALSE(constant_time_equal(bytes, ByteView(bytes).first(1)));
  EXPECT_TRUE(constant_time_equal({}, {}));
}

}  // namespace
}  // namespace firn::crypto
