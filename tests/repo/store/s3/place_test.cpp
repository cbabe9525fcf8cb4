// URLs of buckets as people write them, and the options that go with them.
#include "repo/store/s3/place.h"

#include <gtest/gtest.h>

#include "repo/store/s3/options.h"

namespace firn::store::s3 {
namespace {

TEST(Place, IsReadFromItsForms) {
  struct Case {
    const char* text;
    bool tls;
    const char* authority;
    const char* bucket;
    const char* prefix;
    const char* region;
  };
  const Case cases[] = {
      {"//bucket", true, "", "bucket", "", ""},
      {"//bucket/", true, "", "bucket", "", ""},
      {"//my.bucket/a/b c/", true, "", "my.bucket", "a/b c/", ""},
      {"http://host/bucket", false, "host", "bucket", "", ""},
      {"http://Host:80/bucket/p", false, "host", "bucket", "p/", ""},
      {"http://host:443/bucket", false, "host:443", "bucket", "", ""},
      {"https://host:443/bucket/p//", true, "host", "bucket", "p/", ""},
      {"https://127.0.0.1:7480/bucket/p", true, "127.0.0.1:7480", "bucket", "p/", ""},
      {"http://[::1]:9000/bucket", false, "[::1]:9000", "bucket", "", ""},
      {"http://[2001:DB8::1]/bucket", false, "[2001:db8::1]", "bucket", "", ""},
      {"host:9000/bucket/p", true, "host:9000", "bucket", "p/", ""},
      {"s3.us-west-2.amazonaws.com/bucket", true, "s3.us-west-2.amazonaws.com", "bucket", "", "us-west-2"},
      {"s3.dualstack.eu-west-1.amazonaws.com/bucket", true, "s3.dualstack.eu-west-1.amazonaws.com", "bucket",
       "", "eu-west-1"},
      {"s3.amazonaws.com/bucket", true, "s3.amazonaws.com", "bucket", "", ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    const auto place = parse_place(c.text);
    ASSERT_TRUE(place.has_value()) << place.error().message;
    EXPECT_EQ(place->tls, c.tls);
    EXPECT_EQ(place->authority, c.authority);
    EXPECT_EQ(place->bucket, c.bucket);
    EXPECT_EQ(place->prefix, c.prefix);
    EXPECT_EQ(place->region, c.region);
    EXPECT_EQ(place->describe, "s3:" + std::string(c.text));
  }
}

TEST(Place, RefusesWhatIsNone) {
  using namespace std::string_view_literals;
  for (const std::string_view text : {""sv,
                                      "//"sv,
                                      "///x"sv,
                                      "bucket"sv,
                                      "host/"sv,
                                      "http://"sv,
                                      "http:///bucket"sv,
                                      "http://host"sv,
                                      "http://host:/bucket"sv,
                                      "http://host:0/bucket"sv,
                                      "http://host:65536/bucket"sv,
                                      "http://host:x/bucket"sv,
                                      "http://ho st/bucket"sv,
                                      "http://[::1/bucket"sv,
                                      "http://[]/bucket"sv,
                                      "http://[::1]x/bucket"sv,
                                      "//bucket/a//b"sv,
                                      "//bucket/../b"sv,
                                      "//bucket/./b"sv,
                                      "//bucket/a\nb"sv,
                                      "//.bucket/a"sv,
                                      "//b%20/a"sv,
                                      "http://host/bucket?x"sv,
                                      "http://host/bucket#x"sv,
                                      "http://host\\x/bucket"sv,
                                      "ftp://host/bucket"sv}) {
    SCOPED_TRACE(text);
    const auto place = parse_place(text);
    ASSERT_FALSE(place.has_value());
    EXPECT_EQ(place.error().code, ErrorCode::Invalid);
    EXPECT_NE(place.error().message.find("s3://bucket/prefix"), std::string::npos);
  }
}

TEST(Place, DoesNotRepeatAPassword) {
  const auto place = parse_place("http://user:hunter2@host/bucket");
  ASSERT_FALSE(place.has_value());
  EXPECT_EQ(place.error().message.find("hunter2"), std::string::npos) << place.error().message;
}

TEST(Place, AddressesBucketsInBothStyles) {
  struct Case {
    const char* text;
    Style style;
    bool dual_stack;
    const char* key;
    const char* url;
    const char* path;
  };
  const Case cases[] = {
      {"//bucket/p", Style::VirtualHost, false, "p/a b", "https://bucket.s3.eu-west-1.amazonaws.com/p/a%20b",
       "/p/a%20b"},
      {"//bucket", Style::VirtualHost, false, "", "https://bucket.s3.eu-west-1.amazonaws.com/", "/"},
      {"//bucket", Style::Path, true, "k", "https://s3.dualstack.eu-west-1.amazonaws.com/bucket/k",
       "/bucket/k"},
      {"http://host:9000/bucket", Style::Path, false, "k", "http://host:9000/bucket/k", "/bucket/k"},
      {"http://host:9000/bucket", Style::Path, false, "", "http://host:9000/bucket", "/bucket"},
      {"http://host:9000/bucket", Style::VirtualHost, false, "k", "http://bucket.host:9000/k", "/k"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.url);
    const Address address =
        address_of(parse_place(c.text).value(), "eu-west-1", c.style, c.dual_stack, c.key);
    EXPECT_EQ(address.url, c.url);
    EXPECT_EQ(address.path, c.path);
    EXPECT_NE(address.url.find("//" + address.host + "/"), std::string::npos);
  }
  EXPECT_EQ(address_of(parse_place("//b").value(), "cn-north-1", Style::VirtualHost, false, "").host,
            "b.s3.cn-north-1.amazonaws.com.cn");
}

TEST(Place, TakesAnEndpointFromTheEnvironment) {
  Place place = parse_place("//bucket/p").value();
  ASSERT_TRUE(set_endpoint(place, "http://127.0.0.1:9000/").has_value());
  EXPECT_EQ(place.authority, "127.0.0.1:9000");
  EXPECT_FALSE(place.tls);
  for (const char* bad : {"", "127.0.0.1", "http://", "http://host/path", "ftp://host"}) {
    Place other = parse_place("//bucket").value();
    EXPECT_FALSE(set_endpoint(other, bad).has_value()) << bad;
  }
}

TEST(S3Options, AreRead) {
  const auto options = parse_options({{"s3.region", "eu-west-1"},
                                      {"s3.path-style", "false"},
                                      {"s3.dual-stack", "true"},
                                      {"s3.connections", "64"},
                                      {"s3.storage-class", "STANDARD_IA"},
                                      {"s3.sse", "aws:kms"},
                                      {"s3.sse-kms-key-id", "arn:aws:kms:x"},
                                      {"s3.object-lock-mode", "COMPLIANCE"},
                                      {"s3.object-lock-days", "30"},
                                      {"other.thing", "ignored"}});
  ASSERT_TRUE(options.has_value()) << options.error().message;
  EXPECT_EQ(options->region, "eu-west-1");
  EXPECT_EQ(options->path_style, false);
  EXPECT_TRUE(options->dual_stack);
  EXPECT_EQ(options->connections, 64U);
  EXPECT_EQ(options->storage_class, "STANDARD_IA");
  EXPECT_EQ(options->sse, "aws:kms");
  EXPECT_EQ(options->sse_kms_key_id, "arn:aws:kms:x");
  EXPECT_EQ(options->object_lock_mode, "COMPLIANCE");
  EXPECT_EQ(options->object_lock_time, std::chrono::hours(720));
}

TEST(S3Options, RefuseWhatTheyDoNotKnow) {
  const OptionTexts cases[] = {
      {{"s3.colour", "red"}},
      {{"s3.", "x"}},
      {{"s3.region", "evil.example/"}},
      {{"s3.region", ""}},
      {{"s3.path-style", "yes"}},
      {{"s3.connections", "0"}},
      {{"s3.connections", "65"}},
      {{"s3.connections", "8x"}},
      {{"s3.storage-class", "A\r\nB: c"}},
      {{"s3.sse", "none"}},
      {{"s3.sse-kms-key-id", "key"}},
      {{"s3.sse", "AES256"}, {"s3.sse-kms-key-id", "key"}},
      {{"s3.object-lock-mode", "GOVERNANCE"}},
      {{"s3.object-lock-days", "3"}},
      {{"s3.object-lock-mode", "governance"}, {"s3.object-lock-days", "3"}},
  };
  for (const OptionTexts& texts : cases) {
    SCOPED_TRACE(texts.begin()->first + "=" + texts.begin()->second);
    const auto options = parse_options(texts);
    ASSERT_FALSE(options.has_value());
    EXPECT_EQ(options.error().code, ErrorCode::Invalid);
    EXPECT_NE(options.error().message.find("-o s3."), std::string::npos);
  }
}

}  // namespace
}  // namespace firn::store::s3
