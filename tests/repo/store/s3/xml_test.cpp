// S3's XML, whole and damaged; checksums.
#include "repo/store/s3/xml.h"

#include <gtest/gtest.h>

#include "repo/store/s3/crc32c.h"
#include "repo/store/s3/times.h"

namespace firn::store::s3 {
namespace {

std::string entry(std::string_view key, std::string_view size = "5",
                  std::string_view time = "2026-11-21T10:00:00.000Z") {
  return "<Contents><Key>" + std::string(key) + "</Key><LastModified>" + std::string(time) +
         "</LastModified><ETag>&quot;x&quot;</ETag><Size>" + std::string(size) +
         "</Size><StorageClass>STANDARD</StorageClass></Contents>";
}

std::string listing(std::string_view content, std::string_view truncated = "false") {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult "
         "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix></Prefix>"
         "<EncodingType>url</EncodingType><IsTruncated>" +
         std::string(truncated) + "</IsTruncated>" + std::string(content) + "</ListBucketResult>\n";
}

TEST(ListingXml, IsRead) {
  const auto read = parse_listing(
      as_bytes(listing(entry("a%2Fb+c", "0") + entry("b/%C3%A9", "18446744073709551615"), "true")));
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_TRUE(read->truncated);
  ASSERT_EQ(read->keys.size(), 2U);
  EXPECT_EQ(read->keys[0].key, "a/b c");
  EXPECT_EQ(read->keys[0].size_bytes, 0U);
  EXPECT_EQ(iso_time(read->keys[0].modified), "2026-11-21T10:00:00Z");
  EXPECT_EQ(read->keys[1].key, "b/\xc3\xa9");
  EXPECT_TRUE(parse_listing(as_bytes(listing("")))->keys.empty());
}

TEST(ListingXml, TakesKeysAsTheyAreWhenTheyAreNotEncoded) {
  std::string text = listing(entry("a%2Fb+&amp;c"));
  text.erase(text.find("<EncodingType>"), std::string("<EncodingType>url</EncodingType>").size());
  EXPECT_EQ(parse_listing(as_bytes(text))->keys.at(0).key, "a%2Fb+&c");
}

TEST(ListingXml, RefusesDamage) {
  const std::string good = listing(entry("a") + entry("b"));
  std::string nul = good;
  nul[good.find("<Name>b") + 6] = '\0';
  std::string many;
  for (int i = 1000; i <= 2000; ++i) {
    many += entry(std::to_string(i));
  }
  const std::pair<const char*, std::string> cases[] = {
      {"empty", ""},
      {"HTML", "<html><body>Welcome</body></html>"},
      {"not XML", "{\"keys\": []}"},
      {"an error", "<Error><Code>SlowDown</Code></Error>"},
      {"cut off", good.substr(0, good.size() / 2)},
      {"cut off at its last tag", good.substr(0, good.size() - 5)},
      {"a NUL byte", nul},
      {"two roots", good + good.substr(good.find("<ListBucketResult"))},
      {"does not say whether it is truncated", listing("").erase(listing("").find("<IsTruncated>"), 32)},
      {"truncated in another way", listing("", "maybe")},
      {"truncated twice", listing("<IsTruncated>true</IsTruncated>")},
      {"truncated without an entry", listing("", "true")},
      {"no key",
       listing("<Contents><Size>1</Size><LastModified>2026-11-21T10:00:00Z</LastModified></Contents>")},
      {"an empty key", listing(entry(""))},
      {"a key badly encoded", listing(entry("a%2"))},
      {"a key with children", listing(entry("<x>a</x>"))},
      {"a negative size", listing(entry("a", "-1"))},
      {"a size with more", listing(entry("a", "1x"))},
      {"a size too large", listing(entry("a", "18446744073709551616"))},
      {"no time", listing(entry("a", "1", "yesterday"))},
      {"out of order", listing(entry("b") + entry("a"))},
      {"a key twice", listing(entry("a") + entry("a"))},
      {"another count", listing(entry("a") + "<KeyCount>2</KeyCount>")},
      {"too many", listing(many)},
      {"too long", listing(std::string(kListingBytesMax, ' '))},
  };
  for (const auto& [what, text] : cases) {
    SCOPED_TRACE(what);
    const auto read = parse_listing(as_bytes(text));
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().code, ErrorCode::Unavailable);
  }
}

TEST(ErrorXml, IsRead) {
  const auto error = parse_error(as_bytes(
      "<?xml version='1.0'?><Error><Code>AuthorizationHeaderMalformed</Code><Message>the region\nis wrong"
      "</Message><Region>eu-west-1</Region><HostId>x</HostId></Error>"));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, "AuthorizationHeaderMalformed");
  EXPECT_EQ(error->message, "the region is wrong");
  EXPECT_EQ(error->region, "eu-west-1");
  EXPECT_EQ(parse_error(as_bytes("<Error><Code>X</Code></Error>"))->message, "");
  EXPECT_EQ(parse_error(as_bytes("<ErrorResponse><Error><Code>X</Code></Error></ErrorResponse>"))->code, "X");
}

TEST(ErrorXml, IsNothingElse) {
  for (const char* text : {"", "<html/>", "<Error/>", "<Error><Code/></Error>", "<Error><Code>X</Code>",
                           "<Error><Code>X</Code><Code>Y</Code></Error>", "404 page not found"}) {
    EXPECT_FALSE(parse_error(as_bytes(text)).has_value()) << text;
  }
  EXPECT_FALSE(
      parse_error(as_bytes("<Error><Code>" + std::string(70'000, 'x') + "</Code></Error>")).has_value());
}

TEST(Crc32c, IsCastagnolis) {
  // The check value of the CRC catalogue, and RFC 3720's examples.
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283U);
  EXPECT_EQ(crc32c({}), 0U);
  EXPECT_EQ(crc32c(Bytes(32)), 0x8A9136AAU);
  EXPECT_EQ(crc32c(Bytes(32, std::byte{0xFF})), 0x62A8AB43U);
  EXPECT_EQ(crc32c_header(as_bytes("123456789")), "4waSgw==");
}

}  // namespace
}  // namespace firn::store::s3
