// Signatures, against the examples in AWS's documentation of S3 ("Signature Calculations for the
// Authorization Header") and in its Signature Version 4 test suite.
#include "repo/store/s3/sigv4.h"

#include <gtest/gtest.h>

#include "repo/store/s3/percent.h"
#include "repo/store/s3/times.h"

namespace firn::store::s3 {
namespace {

// The keys that AWS made up for its examples.
constexpr std::string_view kDocumentedId = "AKIAIOSFODNN7EXAMPLE";
constexpr std::string_view kDocumentedSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
constexpr std::string_view kSuiteId = "AKIDEXAMPLE";
constexpr std::string_view kSuiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

Credentials credentials(std::string_view id, std::string_view secret) {
  return {.access_key_id = std::string(id),
          .secret = crypto::SecretBytes::copy_of(as_bytes(secret)),
          .session_token = {},
          .expires = std::nullopt};
}

std::string signature_of(std::string_view authorization) {
  constexpr std::string_view kMark = "Signature=";
  const auto at = authorization.find(kMark);
  return at == std::string_view::npos ? "" : std::string(authorization.substr(at + kMark.size()));
}

TEST(Sigv4, SignsTheExamplesOfTheS3Documentation) {
  struct Case {
    const char* what;
    const char* method;
    const char* path;
    std::vector<std::pair<std::string, std::string>> query;
    std::vector<HttpHeader> headers;
    const char* body;
    const char* signature;
  };
  const Case cases[] = {
      {"GET object",
       "GET",
       "/test.txt",
       {},
       {{"Range", "bytes=0-9"}},
       "",
       "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
      {"PUT object",
       "PUT",
       "/test%24file.text",
       {},
       {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
       "Welcome to Amazon S3.",
       "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
      {"GET bucket lifecycle",
       "GET",
       "/",
       {{"lifecycle", ""}},
       {},
       "",
       "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
      {"list objects",
       "GET",
       "/",
       {{"prefix", "J"}, {"max-keys", "2"}},
       {},
       "",
       "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const std::string query = canonical_query(c.query);
    const auto headers = signed_headers({.method = c.method,
                                         .host = "examplebucket.s3.amazonaws.com",
                                         .path = c.path,
                                         .query = query,
                                         .headers = c.headers,
                                         .payload_hash = payload_hash(as_bytes(c.body))},
                                        {.region = "us-east-1", .service = "s3"},
                                        parse_iso_time("2013-05-24T00:00:00Z").value(),
                                        credentials(kDocumentedId, kDocumentedSecret));
    EXPECT_EQ(signature_of(headers.back().value), c.signature) << headers.back().value;
  }
}

TEST(Sigv4, SignsTheExamplesOfTheTestSuite) {
  struct Case {
    const char* what;
    const char* method;
    std::vector<std::pair<std::string, std::string>> query;
    const char* signature;
  };
  const Case cases[] = {
      {"get-vanilla", "GET", {}, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
      {"get-vanilla-query-order-key-case",
       "GET",
       {{"Param2", "value2"}, {"Param1", "value1"}},
       "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
      {"post-vanilla", "POST", {}, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const std::string query = canonical_query(c.query);
    const std::string authorized = authorization({.method = c.method,
                                                  .host = "example.amazonaws.com",
                                                  .path = "/",
                                                  .query = query,
                                                  .headers = {{"X-Amz-Date", "20150830T123600Z"}},
                                                  .payload_hash = payload_hash({})},
                                                 {.region = "us-east-1", .service = "service"},
                                                 "20150830T123600Z", credentials(kSuiteId, kSuiteSecret));
    EXPECT_EQ(authorized,
              "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
              "SignedHeaders=host;x-amz-date, Signature=" +
                  std::string(c.signature));
  }
}

TEST(Sigv4, SignsEverythingThatIsSent) {
  Credentials temporary = credentials(kSuiteId, kSuiteSecret);
  temporary.session_token = crypto::SecretBytes::copy_of(as_bytes("token"));
  const SigningInput input{.method = "PUT",
                           .host = "host:9000",
                           .path = "/b/k",
                           .query = "a=1",
                           .headers = {{"If-None-Match", "*"}, {"X-Two", " a   b "}},
                           .payload_hash = std::string(kUnsignedPayload)};
  const SigningScope scope{.region = "us-east-1", .service = "s3"};
  const auto sign = [&](const SigningInput& changed, const SigningScope& in, std::int64_t nanoseconds) {
    const auto headers = signed_headers(changed, in, {nanoseconds}, temporary);
    EXPECT_NE(headers.back().value.find("SignedHeaders=host;if-none-match;x-amz-content-sha256;x-amz-date;"
                                        "x-amz-security-token;x-two,"),
              std::string::npos)
        << headers.back().value;
    return signature_of(headers.back().value);
  };
  const std::string first = sign(input, scope, 0);
  std::vector<SigningInput> changes(6, input);
  changes[0].method = "GET";
  changes[1].host = "host:9001";
  changes[2].path = "/b/l";
  changes[3].query = "a=2";
  changes[4].headers[0].value = "\"x\"";
  changes[5].payload_hash = payload_hash({});
  for (const SigningInput& change : changes) {
    EXPECT_NE(sign(change, scope, 0), first);
  }
  EXPECT_NE(sign(input, {.region = "eu-west-1", .service = "s3"}, 0), first);
  EXPECT_NE(sign(input, scope, 1'000'000'000), first);
  SigningInput same = input;
  same.headers[1].value = "a b";
  EXPECT_EQ(sign(same, scope, 0), first);
}

TEST(Percent, EncodesAsAwsDoes) {
  EXPECT_EQ(percent_encode("a-Z_0.9~/ +%\xc3\xa9!'()*", Slash::Keep),
            "a-Z_0.9~/%20%2B%25%C3%A9%21%27%28%29%2A");
  EXPECT_EQ(percent_encode("a/b", Slash::Encode), "a%2Fb");
  EXPECT_EQ(percent_decode("a%2Fb+c%c3%A9"), "a/b c\xc3\xa9");
  for (const char* bad : {"%", "%2", "a%2g", "%%20"}) {
    EXPECT_EQ(percent_decode(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(canonical_query({{"b", "2"}, {"a", "x y"}, {"a", "+"}, {"A", ""}}), "A=&a=%2B&a=x%20y&b=2");
}

TEST(Times, AreReadAndWritten) {
  EXPECT_EQ(compact_time({0}), "19700101T000000Z");
  EXPECT_EQ(iso_time({951'782'400'000'000'000}), "2000-02-29T00:00:00Z");
  EXPECT_EQ(parse_iso_time("2000-02-29T00:00:00.123Z")->nanoseconds, 951'782'400'123'000'000);
  EXPECT_EQ(parse_iso_time("2000-02-29T00:00:00.123456789Z")->nanoseconds, 951'782'400'123'456'789);
  EXPECT_EQ(parse_http_date("Tue, 29 Feb 2000 00:00:01 GMT")->nanoseconds, 951'782'401'000'000'000);
  for (const char* bad :
       {"", "2000-02-30T00:00:00Z", "2000-02-29T24:00:00Z", "2000-02-29T00:00:00", "2000-02-29 00:00:00Z",
        "2000-02-29T00:00:00Zx", "1969-01-01T00:00:00Z", "2300-01-01T00:00:00Z",
        "2000-02-29T00:00:00.1234567890Z", "2000-13-01T00:00:00Z"}) {
    EXPECT_EQ(parse_iso_time(bad), std::nullopt) << bad;
  }
  for (const char* bad :
       {"", "Tue, 29 Feb 2000 00:00:01", "29 Feb 2000 00:00:01 GMT", "Tue, 29 Foo 2000 00:00:01 GMT"}) {
    EXPECT_EQ(parse_http_date(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace firn::store::s3
