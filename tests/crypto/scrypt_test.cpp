// scrypt against RFC 7914, and its bounds.
#include "crypto/scrypt.h"

#include <gtest/gtest.h>

#include "tests/crypto/hex.h"

namespace firn::crypto {
namespace {

using test::hex_of;

struct ScryptCase {
  std::string_view password;
  std::string_view salt;
  ScryptParameters parameters;
  std::string_view output;
};

constexpr ScryptCase kRfc7914[] = {
    {"",
     "",
     {.cost = 16, .block_size = 1, .parallel = 1},
     "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
     "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906"},
    {"password",
     "NaCl",
     {.cost = 1024, .block_size = 8, .parallel = 16},
     "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
     "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"},
    {"pleaseletmein",
     "SodiumChloride",
     {.cost = 16384, .block_size = 8, .parallel = 1},
     "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
     "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"},
};

TEST(Scrypt, MatchesRfc7914) {
  for (const auto& rfc : kRfc7914) {
    std::array<std::byte, 64> output{};
    ASSERT_TRUE(scrypt(label_bytes(rfc.password), label_bytes(rfc.salt), rfc.parameters, output));
    EXPECT_EQ(hex_of(output), rfc.output);
  }
}

TEST(Scrypt, AcceptsTheDefaultAndTheLargestParameters) {
  EXPECT_TRUE(scrypt_acceptable({}));
  EXPECT_TRUE(scrypt_acceptable({.cost = kScryptCostMax, .block_size = 2, .parallel = kScryptParallelMax}));
  EXPECT_TRUE(scrypt_acceptable({.cost = 1u << 16, .block_size = 32, .parallel = 1}));
}

TEST(Scrypt, DefaultTakesAbout32MiB) {
  EXPECT_GE(scrypt_memory_bytes({}), 32u << 20);
  EXPECT_LE(scrypt_memory_bytes({}), 33u << 20);
}

TEST(Scrypt, RefusesParametersOutOfBounds) {
  const ScryptParameters kBad[] = {
      {.cost = 0},
      {.cost = 1},
      {.cost = 3},
      {.cost = (1u << 15) + 1},
      {.cost = kScryptCostMax * 2, .block_size = 1},
      {.cost = std::uint64_t{1} << 63, .block_size = 32},
      {.block_size = 0},
      {.block_size = kScryptBlockSizeMax + 1},
      {.block_size = 0xffffffff},
      {.parallel = 0},
      {.parallel = kScryptParallelMax + 1},
      {.parallel = 0xffffffff},
      {.cost = 1u << 16, .block_size = 1},   // RFC 7914: N < 2^(128·r/8)
      {.cost = 1u << 19, .block_size = 8},   // 512 MiB
      {.cost = 1u << 20, .block_size = 8},   // RFC 7914's own last example, 1 GiB
      {.cost = 1u << 17, .block_size = 32},  // 512 MiB
  };
  for (const auto& parameters : kBad) {
    std::array<std::byte, 32> output{};
    EXPECT_FALSE(scrypt(label_bytes("p"), label_bytes("s"), parameters, output))
        << parameters.cost << " " << parameters.block_size << " " << parameters.parallel;
    EXPECT_EQ(output, (std::array<std::byte, 32>{}));
  }
}

TEST(Scrypt, EveryInputMatters) {
  const auto key = [](std::string_view password, std::string_view salt, std::uint32_t parallel) {
    std::array<std::byte, 32> output{};
    EXPECT_TRUE(scrypt(label_bytes(password), label_bytes(salt), {.cost = 16, .parallel = parallel}, output));
    return hex_of(output);
  };
  EXPECT_NE(key("a", "s", 1), key("b", "s", 1));
  EXPECT_NE(key("a", "s", 1), key("a", "t", 1));
  EXPECT_NE(key("a", "s", 1), key("a", "s", 2));
}

}  // namespace
}  // namespace firn::crypto
