#include "repo/base/codec.h"

#include <gtest/gtest.h>

namespace firn::base {
namespace {

TEST(Varints, AreShortestAndComeBack) {
  for (int shift = 0; shift < 64; ++shift) {
    for (const std::uint64_t delta : {UINT64_MAX, std::uint64_t{0}, std::uint64_t{1}}) {
      const std::uint64_t value = (std::uint64_t{1} << shift) + delta;
      Bytes bytes;
      Writer(bytes).varint(value);
      EXPECT_EQ(bytes.size(), varint_size(value)) << value;
      Reader in(bytes);
      EXPECT_EQ(in.varint(), value);
      EXPECT_TRUE(in.finished());
    }
  }
}

TEST(Varints, ThatAreNotShortestOrTooLongOrCutAreRefused) {
  const std::string_view cases[] = {{"\x80\x00", 2},
                                    {"\x81\x80\x00", 3},
                                    {"\x80", 1},
                                    {"", 0},
                                    {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", 10},
                                    {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11}};
  for (const std::string_view bad : cases) {
    Reader in(as_bytes(bad));
    EXPECT_EQ(in.varint(), 0U);
    EXPECT_FALSE(in.ok()) << to_hex(as_bytes(bad));
  }
}

TEST(SignedVarints, ComeBackAtTheirEnds) {
  for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1},
                                   std::int64_t{INT64_MIN}, std::int64_t{INT64_MAX}}) {
    Bytes bytes;
    Writer(bytes).signed_varint(value);
    Reader in(bytes);
    EXPECT_EQ(in.signed_varint(), value);
    EXPECT_TRUE(in.finished());
  }
}

TEST(Integers, AreLittleEndian) {
  Bytes bytes;
  Writer out(bytes);
  out.u8(0x01);
  out.u16(0x0203);
  out.u32(0x04050607);
  out.u64(0x08090A0B0C0D0E0F);
  out.i64(-2);
  EXPECT_EQ(to_hex(bytes), "010302070605040f0e0d0c0b0a0908feffffffffffffff");
  Reader in(bytes);
  EXPECT_EQ(in.u8(), 0x01);
  EXPECT_EQ(in.u16(), 0x0203);
  EXPECT_EQ(in.u32(), 0x04050607U);
  EXPECT_EQ(in.u64(), 0x08090A0B0C0D0E0FU);
  EXPECT_EQ(in.i64(), -2);
  EXPECT_TRUE(in.finished());
}

TEST(Readers, StayFailedAndGiveNothing) {
  const Bytes bytes(4, std::byte{0xFF});
  Reader in(bytes);
  EXPECT_EQ(in.u64(), 0U);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.u8(), 0U);
  EXPECT_TRUE(in.bytes(1).empty());
  EXPECT_EQ(in.remaining(), 0U);
  EXPECT_FALSE(in.finished());
}

TEST(Readers, RefuseLengthsBeyondTheEnd) {
  const Bytes bytes(4);
  for (const std::uint64_t length : {std::uint64_t{5}, UINT64_MAX}) {
    Reader in(bytes);
    EXPECT_TRUE(in.bytes(length).empty());
    EXPECT_FALSE(in.ok());
  }
}

TEST(Readers, DemandThatPaddingIsZeros) {
  Bytes bytes(4);
  Reader zeros(bytes);
  zeros.rest_is_zeros();
  EXPECT_TRUE(zeros.finished());
  bytes.back() = std::byte{1};
  Reader other(bytes);
  other.rest_is_zeros();
  EXPECT_FALSE(other.ok());
}

}  // namespace
}  // namespace firn::base
