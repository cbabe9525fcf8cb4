#include "repo/format/names.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace firn::format {
namespace {

const std::string kHex16(32, 'a');
const std::string kHex32(64, 'b');

TEST(ObjectNames, AreTextsThatEveryStoreCanHold) {
  for (const std::string_view good : {"a", "config/00000001", "a/b/c", "a.b-c", "0"}) {
    EXPECT_TRUE(ObjectName::parse(good).has_value()) << good;
  }
  const std::string too_long(201, 'a');
  for (const std::string_view bad :
       {std::string_view(), std::string_view("/"), std::string_view("/a"), std::string_view("a/"),
        std::string_view("a//b"), std::string_view("."), std::string_view(".."), std::string_view("a/../b"),
        std::string_view("a/.b"), std::string_view("-a"), std::string_view("A"), std::string_view("a b"),
        std::string_view("a\0b", 3), std::string_view("\xC3\xA4"), std::string_view(too_long)}) {
    EXPECT_FALSE(ObjectName::parse(bad).has_value()) << bad;
  }
}

TEST(ObjectNames, ThatFollowNoPatternAreNotTakenApart) {
  for (const std::string& bad : {std::string("config/1"),
                                 std::string("config/0000000g"),
                                 std::string("config/0000000A"),
                                 std::string("config/000000001"),
                                 std::string("config"),
                                 "keys/" + kHex16,
                                 "keys/" + kHex16 + "/cert-1",
                                 "keys/" + kHex16 + "/other",
                                 "data/aa/" + kHex32,
                                 "meta/bb/" + kHex32.substr(2),
                                 "index/0/" + kHex16 + "-00000001",
                                 "index/0000/" + kHex16,
                                 "sessions/" + kHex16 + ".x",
                                 "sessions/" + kHex16 + ".hb.end",
                                 "maint/fence/" + kHex32,
                                 "maint/other/" + kHex16,
                                 "maint/" + kHex16,
                                 "probe/" + kHex32,
                                 std::string("lost+found"),
                                 std::string()}) {
    EXPECT_FALSE(parse_name(bad).has_value()) << bad;
  }
}

TEST(ObjectNames, OrderAsTheirNumbersDo) {
  const auto name = [](std::uint32_t n) { return object_name(ConfigName{n}); };
  EXPECT_LT(name(9), name(10));
  EXPECT_LT(name(0xFFFF), name(0x10000));
  const SessionId last{[] {
    std::array<std::byte, 16> ones;
    ones.fill(std::byte{0xFF});
    return ones;
  }()};
  EXPECT_LT(object_name(IndexName{0, last, 7}), object_name(IndexName{1, SessionId{}, 0}));
  EXPECT_LT(object_name(UnionName{9, last, 7}), object_name(UnionName{10, SessionId{}, 0}));
  EXPECT_LT(object_name(CatalogName{9, last}), object_name(CatalogName{10, SessionId{}}));
}

TEST(ObjectNames, AreFoundUnderTheirPrefixes) {
  const KeyId kid{{std::byte{1}}};
  EXPECT_TRUE(object_name(CertName{kid, 1}).str().starts_with(keys_prefix(kid)));
  const SnapshotName snapshot{SourceTag{{std::byte{2}}}, SessionId{}, 3};
  EXPECT_TRUE(object_name(snapshot).str().starts_with(snapshots_prefix(snapshot.source)));
  const SnapshotId id = snapshot_id(snapshot);
  EXPECT_TRUE(object_name(CapsName{id, kid}).str().starts_with(caps_prefix(id)));
}

TEST(ObjectNames, OfAnotherPatternThanExpectedAreRefused) {
  const ObjectName name = object_name(EndName{SessionId{}});
  EXPECT_TRUE(parse_name_as<EndName>(name).has_value());
  EXPECT_FALSE(parse_name_as<SessionName>(name).has_value());
  EXPECT_FALSE(parse_name_as<HeartbeatName>(name).has_value());
}

TEST(Ids, AreReadFromExactlyTheirHex) {
  const KeyId id{{std::byte{0xAB}, std::byte{1}}};
  EXPECT_EQ(KeyId::parse(id.hex()), id);
  EXPECT_EQ(KeyId::parse(id.hex() + "00"), std::nullopt);
  EXPECT_EQ(KeyId::parse(id.hex().substr(2)), std::nullopt);
  std::string upper = id.hex();
  upper[0] = 'A';
  EXPECT_EQ(KeyId::parse(upper), std::nullopt);
}

}  // namespace
}  // namespace firn::format
