// HPKE against the published vectors of RFC 9180, and what must not open.
#include "crypto/hpke.h"

#include <gtest/gtest.h>

#include "crypto/detail/hpke_core.h"
#include "tests/crypto/vectors.h"

namespace firn::crypto {
namespace {

using test::array_of;
using test::bytes_of;
using test::hex_of;

/// A line of rfc9180_hpke.txt, in its order.
struct RfcVector {
  explicit RfcVector(const test::Vector& fields)
      : suite{.mode = static_cast<detail::HpkeMode>(std::stoi(fields.text(0))),
              .aead = static_cast<detail::HpkeAead>(std::stoi(fields.text(1)))},
        info(fields.bytes(2)),
        psk(fields.bytes(3)),
        psk_id(fields.bytes(4)),
        ephemeral_seed(fields.array<32>(5)),
        recipient(X25519KeyPair::from_private_key(fields.array<32>(6))),
        recipient_public{fields.array<32>(7)},
        enc{fields.array<32>(8)},
        shared_secret(fields.text(9)),
        key(fields.text(10)),
        base_nonce(fields.text(11)),
        aad(fields.bytes(12)),
        plaintext(fields.bytes(13)),
        ciphertext(fields.text(14)) {}

  HpkePskContext context() const { return {.psk = psk, .psk_id = psk_id, .info = info, .aad = aad}; }
  std::string sealed() const { return hex_of(enc.bytes) + ciphertext; }

  detail::HpkeSuite suite;
  std::vector<std::byte> info;
  std::vector<std::byte> psk;
  std::vector<std::byte> psk_id;
  std::array<std::byte, 32> ephemeral_seed;
  X25519KeyPair recipient;
  X25519PublicKey recipient_public;
  X25519PublicKey enc;
  std::string shared_secret;
  std::string key;
  std::string base_nonce;
  std::vector<std::byte> aad;
  std::vector<std::byte> plaintext;
  std::string ciphertext;
};

std::vector<RfcVector> rfc_vectors() {
  std::vector<RfcVector> vectors;
  for (const auto& fields : test::vectors_in("rfc9180_hpke.txt")) {
    vectors.emplace_back(fields);
  }
  return vectors;
}

TEST(HpkeRfc9180, EncapsulatesAndDecapsulates) {
  for (const auto& vector : rfc_vectors()) {
    EXPECT_EQ(vector.recipient.public_key(), vector.recipient_public);
    const auto made = detail::hpke_encapsulate(vector.recipient_public, vector.ephemeral_seed);
    ASSERT_TRUE(made);
    EXPECT_EQ(made->enc, vector.enc);
    EXPECT_EQ(hex_of(made->shared_secret.bytes()), vector.shared_secret);
    const auto found = detail::hpke_decapsulate(vector.recipient, vector.enc);
    ASSERT_TRUE(found);
    EXPECT_EQ(hex_of(found->bytes()), vector.shared_secret);
  }
}

TEST(HpkeRfc9180, SchedulesKeys) {
  for (const auto& vector : rfc_vectors()) {
    const auto shared_secret = Secret<32>::copy_of(array_of<32>(vector.shared_secret));
    const auto schedule = detail::hpke_key_schedule(vector.suite, shared_secret, vector.context());
    EXPECT_EQ(hex_of(schedule.key.bytes()), vector.key);
    EXPECT_EQ(hex_of(schedule.base_nonce), vector.base_nonce);
  }
}

TEST(HpkeRfc9180, SealsAndOpens) {
  for (const auto& vector : rfc_vectors()) {
    const auto sealed = detail::hpke_seal(vector.suite, vector.recipient_public, vector.ephemeral_seed,
                                          vector.context(), vector.plaintext);
    ASSERT_TRUE(sealed);
    EXPECT_EQ(hex_of(*sealed), vector.sealed());
    const auto opened = detail::hpke_open(vector.suite, vector.recipient, vector.context(), *sealed);
    ASSERT_TRUE(opened);
    EXPECT_EQ(hex_of(opened->bytes()), hex_of(vector.plaintext));
  }
}

TEST(HpkeRfc9180, ProductSuiteIsPskWithAes256Gcm) {
  int seen = 0;
  for (const auto& vector : rfc_vectors()) {
    if (vector.suite.mode == detail::HpkeMode::Psk && vector.suite.aead == detail::HpkeAead::Aes256Gcm) {
      ++seen;
      const auto sealed =
          hpke_seal_psk(vector.recipient_public, vector.ephemeral_seed, vector.context(), vector.plaintext);
      ASSERT_TRUE(sealed);
      EXPECT_EQ(hex_of(*sealed), vector.sealed());
    }
  }
  EXPECT_EQ(seen, 1);
}

class HpkePsk : public testing::Test {
 protected:
  std::vector<std::byte> psk_ = bytes_of(std::string(64, '7'));
  std::vector<std::byte> psk_id_ = bytes_of("01");
  std::vector<std::byte> info_ = bytes_of("0203");
  std::vector<std::byte> aad_ = bytes_of("0405");
  std::vector<std::byte> plaintext_ = bytes_of(std::string(64, 'c'));
  X25519KeyPair recipient_ = X25519KeyPair::from_private_key(array_of<32>("aabb"));
  std::vector<std::byte> sealed_ =
      hpke_seal_psk(recipient_.public_key(), array_of<32>("ccdd"), context(), plaintext_).value();

  HpkePskContext context() const { return {.psk = psk_, .psk_id = psk_id_, .info = info_, .aad = aad_}; }
  bool opens() const { return hpke_open_psk(recipient_, context(), sealed_).has_value(); }
};

TEST_F(HpkePsk, OpensWhatItSealed) {
  const auto opened = hpke_open_psk(recipient_, context(), sealed_);
  ASSERT_TRUE(opened);
  EXPECT_EQ(hex_of(opened->bytes()), hex_of(plaintext_));
  EXPECT_EQ(sealed_.size(), plaintext_.size() + kHpkeOverheadBytes);
}

TEST_F(HpkePsk, RefusesEveryFlippedBit) {
  for (std::size_t bit = 0; bit < sealed_.size() * 8; ++bit) {
    sealed_[bit / 8] ^= std::byte(1 << bit % 8);
    EXPECT_FALSE(opens()) << "bit " << bit;
    sealed_[bit / 8] ^= std::byte(1 << bit % 8);
  }
}

TEST_F(HpkePsk, RefusesEveryShorterLength) {
  while (!sealed_.empty()) {
    sealed_.pop_back();
    EXPECT_FALSE(opens()) << sealed_.size() << " bytes";
  }
}

TEST_F(HpkePsk, RefusesAnotherContextOrRecipient) {
  for (auto* const bytes : {&psk_, &psk_id_, &info_, &aad_}) {
    bytes->front() ^= std::byte{1};
    EXPECT_FALSE(opens());
    bytes->front() ^= std::byte{1};
  }
  ASSERT_TRUE(opens());
  recipient_ = X25519KeyPair::from_private_key(array_of<32>("eeff"));
  EXPECT_FALSE(opens());
}

TEST_F(HpkePsk, RefusesPublicKeysOfSmallOrder) {
  const X25519PublicKey zero;
  EXPECT_FALSE(hpke_seal_psk(zero, array_of<32>("ccdd"), context(), plaintext_));
  std::fill_n(sealed_.begin(), kHpkeEncBytes, std::byte{0});
  EXPECT_FALSE(opens());
}

TEST_F(HpkePsk, AnotherEphemeralSeedGivesOtherBytes) {
  const auto other = hpke_seal_psk(recipient_.public_key(), array_of<32>("ccde"), context(), plaintext_);
  ASSERT_TRUE(other);
  EXPECT_NE(hex_of(*other), hex_of(sealed_));
}

TEST_F(HpkePsk, AbortsOnAPskThatIsTooShort) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  psk_.resize(kHpkePskBytesMin - 1);
  EXPECT_DEATH((void)opens(), "check failed");
}

TEST_F(HpkePsk, BaseModeOpensForItsRecipientAndUseAlone) {
  const auto sealed =
      hpke_seal_base(recipient_.public_key(), array_of<32>("ccdd"), info_, plaintext_).value();
  const auto opened = hpke_open_base(recipient_, info_, sealed);
  ASSERT_TRUE(opened);
  EXPECT_EQ(hex_of(opened->bytes()), hex_of(plaintext_));
  EXPECT_FALSE(hpke_open_base(recipient_, aad_, sealed));
  EXPECT_FALSE(hpke_open_base(X25519KeyPair::from_private_key(array_of<32>("aabc")), info_, sealed));
  EXPECT_FALSE(hpke_open_base(recipient_, info_, sealed_));  // sealed with a pre-shared key
}

}  // namespace
}  // namespace firn::crypto
