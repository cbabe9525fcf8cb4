// AES-256-GCM on each implementation: published vectors, every damaged bit, and both implementations equal.
#include "crypto/aead.h"

#include <gtest/gtest.h>

#include "tests/crypto/on_each_implementation.h"
#include "tests/crypto/vectors.h"

namespace firn::crypto {
namespace {

using test::bytes_of;
using test::hex_of;

constexpr std::byte kJunk{0xa5};

struct Opened {
  bool genuine = false;
  std::vector<std::byte> plaintext;
};

class Aes256Gcm : public test::OnEachImplementation {
 protected:
  static std::vector<std::byte> seal(Key256View key, NonceView nonce, ByteView aad, ByteView plaintext) {
    std::vector<std::byte> sealed(plaintext.size() + kAeadTagBytes, kJunk);
    aes256gcm_seal(key, nonce, aad, plaintext, sealed);
    return sealed;
  }
  static Opened open(Key256View key, NonceView nonce, ByteView aad, ByteView sealed) {
    Opened opened;
    opened.plaintext.assign(sealed.size() < kAeadTagBytes ? 0 : sealed.size() - kAeadTagBytes, kJunk);
    opened.genuine = aes256gcm_open(key, nonce, aad, sealed, opened.plaintext);
    return opened;
  }
};

INSTANTIATE_TEST_SUITE_P(Each, Aes256Gcm, test::each_implementation(), test::name_of);

TEST_P(Aes256Gcm, SealsLikeNist) {
  for (const auto& vector : test::vectors_in("nist_aes256gcm_seal.txt")) {
    const auto sealed = seal(vector.array<32>(0), vector.array<12>(1), vector.bytes(2), vector.bytes(3));
    EXPECT_EQ(hex_of(sealed), vector.text(4) + vector.text(5)) << "key " << vector.text(0);
  }
}

TEST_P(Aes256Gcm, OpensLikeNist) {
  for (const auto& vector : test::vectors_in("nist_aes256gcm_open.txt")) {
    const auto sealed = bytes_of(vector.text(4) + vector.text(5));
    const auto opened = open(vector.array<32>(1), vector.array<12>(2), vector.bytes(3), sealed);
    ASSERT_EQ(opened.genuine, vector.text(0) == "valid") << "key " << vector.text(1);
    if (opened.genuine) {
      EXPECT_EQ(hex_of(opened.plaintext), vector.text(6)) << "key " << vector.text(1);
    }
  }
}

TEST_P(Aes256Gcm, AgreesWithWycheproof) {
  for (const auto& vector : test::vectors_in("wycheproof_aes256gcm.txt")) {
    SCOPED_TRACE("vector " + vector.text(0));
    const auto key = vector.array<32>(2);
    const auto nonce = vector.array<12>(3);
    const bool valid = vector.text(1) == "valid";
    const auto sealed = bytes_of(vector.text(6) + vector.text(7));
    const auto opened = open(key, nonce, vector.bytes(4), sealed);
    ASSERT_EQ(opened.genuine, valid);
    EXPECT_EQ(seal(key, nonce, vector.bytes(4), vector.bytes(5)) == sealed, valid);
    if (valid) {
      EXPECT_EQ(hex_of(opened.plaintext), vector.text(5));
    }
  }
}

class SealedSample : public Aes256Gcm {
 protected:
  std::array<std::byte, 32> key_ = test::array_of<32>("00112233");
  std::array<std::byte, 12> nonce_ = test::array_of<12>("445566");
  std::vector<std::byte> aad_ = bytes_of("0102030405060708090a");
  std::vector<std::byte> plaintext_ = bytes_of("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9");
  std::vector<std::byte> sealed_;

  void SetUp() override {
    Aes256Gcm::SetUp();
    sealed_ = seal(key_, nonce_, aad_, plaintext_);
  }

  template <typename Bytes>
  static void flip(Bytes& bytes, std::size_t bit) {
    bytes[bit / 8] ^= std::byte(1 << bit % 8);
  }
  void expect_refused_and_wiped() const {
    const auto opened = open(key_, nonce_, aad_, sealed_);
    EXPECT_FALSE(opened.genuine);
    EXPECT_EQ(opened.plaintext, std::vector<std::byte>(opened.plaintext.size()));
  }
};

INSTANTIATE_TEST_SUITE_P(Each, SealedSample, test::each_implementation(), test::name_of);

TEST_P(SealedSample, OpensWhenNothingIsDamaged) {
  const auto opened = open(key_, nonce_, aad_, sealed_);
  EXPECT_TRUE(opened.genuine);
  EXPECT_EQ(opened.plaintext, plaintext_);
}

TEST_P(SealedSample, RefusesEveryFlippedBit) {
  for (std::size_t bit = 0; bit < sealed_.size() * 8; ++bit) {
    SCOPED_TRACE("sealed bit " + std::to_string(bit));
    flip(sealed_, bit);
    expect_refused_and_wiped();
    flip(sealed_, bit);
  }
  for (std::size_t bit = 0; bit < aad_.size() * 8; ++bit) {
    SCOPED_TRACE("aad bit " + std::to_string(bit));
    flip(aad_, bit);
    expect_refused_and_wiped();
    flip(aad_, bit);
  }
  for (std::size_t bit = 0; bit < nonce_.size() * 8; ++bit) {
    SCOPED_TRACE("nonce bit " + std::to_string(bit));
    flip(nonce_, bit);
    expect_refused_and_wiped();
    flip(nonce_, bit);
  }
  for (std::size_t bit = 0; bit < key_.size() * 8; ++bit) {
    SCOPED_TRACE("key bit " + std::to_string(bit));
    flip(key_, bit);
    expect_refused_and_wiped();
    flip(key_, bit);
  }
}

TEST_P(SealedSample, RefusesEveryShorterLength) {
  while (!sealed_.empty()) {
    sealed_.pop_back();
    SCOPED_TRACE(sealed_.size());
    expect_refused_and_wiped();
  }
}

TEST_P(SealedSample, ZeroesTheOutputOfBytesShorterThanATag) {
  std::vector<std::byte> out(8, kJunk);
  EXPECT_FALSE(aes256gcm_open(key_, nonce_, aad_, ByteView(sealed_).first(kAeadTagBytes - 1), out));
  EXPECT_EQ(out, std::vector<std::byte>(8));
}

TEST_P(SealedSample, SealsAndOpensInPlace) {
  std::vector<std::byte> buffer = plaintext_;
  buffer.resize(plaintext_.size() + kAeadTagBytes);
  aes256gcm_seal(key_, nonce_, aad_, ByteView(buffer).first(plaintext_.size()), buffer);
  EXPECT_EQ(buffer, sealed_);
  ASSERT_TRUE(aes256gcm_open(key_, nonce_, aad_, buffer, MutableBytes(buffer).first(plaintext_.size())));
  buffer.resize(plaintext_.size());
  EXPECT_EQ(buffer, plaintext_);
}

TEST_P(SealedSample, AbortsOnAnOutputOfTheWrongSize) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  std::vector<std::byte> out(plaintext_.size() + kAeadTagBytes - 1);
  EXPECT_DEATH(aes256gcm_seal(key_, nonce_, aad_, plaintext_, out), "check failed");
}

TEST(Aes256GcmImplementations, SealTheSameAndOpenEachOthersBytes) {
  if (!implementation_available(Implementation::IpsecMb)) {
    GTEST_SKIP() << "only one implementation here";
  }
  constexpr std::uint64_t kSeed = 20250101;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937_64 random(kSeed);
  const Implementation before = select_implementation();
  std::vector<std::size_t> lengths = {3u << 20, 8u << 20};
  for (std::size_t length = 0; length <= 1100; ++length) {
    lengths.push_back(length);
  }
  for (int i = 0; i < 100; ++i) {
    lengths.push_back(random() % ((i < 90 ? 64u << 10 : 3u << 20) + 1));
  }
  const auto source = test::random_bytes(random, 8u << 20);
  for (const std::size_t length : lengths) {
    SCOPED_TRACE(std::to_string(length) + " bytes");
    const auto start = random() % (source.size() - length + 1);
    const ByteView plaintext = ByteView(source).subspan(start, length);
    const auto key = ByteView(source).subspan(random() % 1000).first<32>();
    const auto nonce = ByteView(source).subspan(random() % 1000).first<12>();
    const auto aad = ByteView(source).subspan(random() % 1000, random() % 200);
    std::vector<std::byte> by_openssl(length + kAeadTagBytes);
    std::vector<std::byte> by_ipsec_mb(length + kAeadTagBytes);
    ASSERT_TRUE(use_implementation(Implementation::OpenSsl));
    aes256gcm_seal(key, nonce, aad, plaintext, by_openssl);
    ASSERT_TRUE(use_implementation(Implementation::IpsecMb));
    aes256gcm_seal(key, nonce, aad, plaintext, by_ipsec_mb);
    ASSERT_TRUE(by_openssl == by_ipsec_mb);
    std::vector<std::byte> opened(length);
    ASSERT_TRUE(aes256gcm_open(key, nonce, aad, by_openssl, opened));
    ASSERT_TRUE(constant_time_equal(opened, plaintext));
  }
  use_implementation(before);
}

}  // namespace
}  // namespace firn::crypto
