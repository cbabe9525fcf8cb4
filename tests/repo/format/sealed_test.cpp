#include "repo/format/sealed.h"

#include <gtest/gtest.h>

#include "repo/format/padme.h"
#include "tests/repo/format/samples.h"

namespace firn::format::test {
namespace {

const ObjectName kName = object_name(FenceName{session()});
const Salt kSalt = counting<32>(0x33);

OpenedObject object_with(std::string_view body) {
  return {sign_body(kName, to_bytes(as_bytes(body)), kid(), sign_pair()), {}};
}

TEST(SealedObjects, OpenToWhatWasSealed) {
  const OpenedObject object = object_with("body");
  const auto sealed = seal_object(meta_key(), kName, kSalt, object);
  ASSERT_TRUE(sealed.has_value());
  const auto opened = open_object(meta_key(), kName, *sealed);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  EXPECT_EQ(*opened, object);
}

TEST(SealedObjects, DoNotOpenUnderAnotherNameOrKey) {
  const auto sealed = seal_object(meta_key(), kName, kSalt, object_with("body"));
  ASSERT_TRUE(sealed.has_value());
  const ObjectName others[] = {object_name(FenceName{SessionId{}}), object_name(SessionName{session()})};
  for (const ObjectName& other : others) {
    const auto opened = open_object(meta_key(), other, *sealed);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, ErrorCode::WrongKey);
  }
  EXPECT_FALSE(open_object(MetaKey::copy_of(counting<32>(1)), kName, *sealed).has_value());
}

TEST(SealedObjects, WithAnyByteChangedOrMissingDoNotOpen) {
  const auto sealed = seal_object(meta_key(), kName, kSalt, object_with("body"));
  ASSERT_TRUE(sealed.has_value());
  for (std::size_t at = 0; at < sealed->size(); ++at) {
    Bytes changed = *sealed;
    changed[at] ^= std::byte{1};
    EXPECT_FALSE(open_object(meta_key(), kName, changed).has_value()) << at;
    EXPECT_FALSE(open_object(meta_key(), kName, ByteView(*sealed).first(at)).has_value()) << at;
  }
}

TEST(SealedObjects, TellOnlyAPaddedLength) {
  for (const std::size_t size : {0U, 1U, 100U, 1000U, 5000U}) {
    const auto sealed = seal_object(meta_key(), kName, kSalt, object_with(std::string(size, 'x')));
    ASSERT_TRUE(sealed.has_value());
    EXPECT_EQ(sealed->size(), 32 + 32 + padme(4 + size + 16 + 64 + 4) + 16);
  }
}

TEST(SealedObjects, HaveExtraBytesOnlyAsSnapshots) {
  OpenedObject object = object_with("body");
  object.extra = Bytes(8);
  EXPECT_FALSE(seal_object(meta_key(), kName, kSalt, object).has_value());
  const ObjectName name = object_name(snapshot().name);
  const auto sealed = seal_object(meta_key(), name, kSalt, object);
  ASSERT_TRUE(sealed.has_value());
  const auto opened = open_object(meta_key(), name, *sealed);
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ(opened->extra, object.extra);
}

TEST(SealedObjects, AndClearOnesAreNotMistakenForEachOther) {
  const ObjectName config_name = object_name(ConfigName{1});
  EXPECT_FALSE(seal_object(meta_key(), config_name, kSalt, object_with("body")).has_value());
  EXPECT_FALSE(encode_clear_object(kName, object_with("body").signed_body).has_value());
  const auto clear = encode_clear_object(config_name, object_with("body").signed_body);
  ASSERT_TRUE(clear.has_value());
  EXPECT_TRUE(parse_clear_object(config_name, *clear).has_value());
  EXPECT_FALSE(parse_clear_object(object_name(RevokedName{kid()}), *clear).has_value());
  EXPECT_FALSE(parse_clear_object(kName, *clear).has_value());
}

TEST(ClearObjects, OfALaterVersionSayThatTheyAreUnsupported) {
  const ObjectName config_name = object_name(ConfigName{1});
  auto clear = encode_clear_object(config_name, object_with("body").signed_body);
  ASSERT_TRUE(clear.has_value());
  (*clear)[5] = std::byte{2};
  const auto parsed = parse_clear_object(config_name, *clear);
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().code, ErrorCode::Unsupported);
}

TEST(Signatures, AreOverKindNameAndBody) {
  const SignedBody signed_body = object_with("body").signed_body;
  const auto key = sign_pair().public_key();
  EXPECT_TRUE(signature_is_valid(kName, signed_body, key));
  EXPECT_FALSE(signature_is_valid(object_name(FenceName{SessionId{}}), signed_body, key));
  EXPECT_FALSE(signature_is_valid(object_name(SessionName{session()}), signed_body, key));
  EXPECT_FALSE(signature_is_valid(kName, signed_body, admin_pair().public_key()));
  EXPECT_FALSE(signature_is_valid("lost+found", signed_body, key));
  SignedBody other = signed_body;
  other.body.push_back(std::byte{0});
  EXPECT_FALSE(signature_is_valid(kName, other, key));
}

}  // namespace
}  // namespace firn::format::test
