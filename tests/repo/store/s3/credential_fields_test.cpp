// Shared files, JSON and STS answers: what is taken from them, and what is refused.
#include "repo/store/s3/credential_fields.h"

#include <gtest/gtest.h>

#include "repo/base/bytes.h"

namespace firn::store::s3 {
namespace {

std::string value(const Profiles& profiles, const std::string& profile, const std::string& key) {
  const auto found = profiles.find(profile);
  if (found == profiles.end() || !found->second.contains(key)) {
    return "(not there)";
  }
  return std::string(found->second.at(key).view());
}

TEST(SharedFile, GivesTheSettingsOfEachProfile) {
  const auto file = parse_shared_file(
      "# a comment\r\n"
      "[default]\r\n"
      "AWS_access_key_id=AKID\r\n"
      "aws_secret_access_key = a=b#c   # what follows a blank is a comment\r\n"
      "s3 =\n"
      "  max_concurrent_requests = 10\n"
      "\n"
      "[ other ] ; a comment\n"
      "region\t=\teu-north-1\n"
      "empty =\n"
      "[default]\n"
      "region = us-east-2",
      SharedFileKind::Credentials);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ(value(*file, "default", "aws_access_key_id"), "AKID");
  EXPECT_EQ(value(*file, "default", "aws_secret_access_key"), "a=b#c");
  EXPECT_EQ(value(*file, "default", "max_concurrent_requests"), "(not there)");
  EXPECT_EQ(value(*file, "default", "region"), "us-east-2");
  EXPECT_EQ(value(*file, "other", "region"), "eu-north-1");
  EXPECT_EQ(value(*file, "other", "empty"), "");
}

TEST(SharedFile, NamesProfilesInTheConfigFileDifferently) {
  const auto file = parse_shared_file(
      "[default]\na=1\n[profile b c]\na=2\n[profile \"q\"]\na=3\n[plain]\na=4\n[sso-session s]\na=5\n",
      SharedFileKind::Config);
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(value(*file, "default", "a"), "1");
  EXPECT_EQ(value(*file, "b c", "a"), "2");
  EXPECT_EQ(value(*file, "q", "a"), "3");
  EXPECT_EQ(file->size(), 3U);
}

TEST(SharedFile, RefusesWhatItDoesNotKnowWithoutShowingIt) {
  struct Case {
    const char* what;
    std::string text;
    const char* line;
  };
  const Case cases[] = {
      {"a setting before the first section", "secret=hush\n[a]\n", "line 1"},
      {"a section without an end", "[a]\nb=c\n[hush\n", "line 3"},
      {"a line without an equals sign", "[a]\n\nhush\n", "line 3"},
      {"a NUL byte", std::string("[a]\nb=hu\0sh\n", 13), "line 2"},
  };
  for (const auto& [what, text, line] : cases) {
    SCOPED_TRACE(what);
    const auto file = parse_shared_file(text, SharedFileKind::Credentials);
    ASSERT_FALSE(file.has_value());
    EXPECT_EQ(file.error().code, ErrorCode::Invalid);
    EXPECT_NE(file.error().message.find(line), std::string::npos) << file.error().message;
    EXPECT_EQ(file.error().message.find("hush"), std::string::npos) << file.error().message;
  }
}

TEST(JsonAnswer, GivesCredentials) {
  const auto credentials = credentials_of_json(
      R"( {"Code":"Success", "AccessKeyId" : "AK", "SecretAccessKey":"s\/e\u0063\u00e9", "Token":"t",
           "Expiration":"2026-01-31T12:00:00Z", "Version":1, "more":{"AccessKeyId":["x",{"a":null}],"b":-1.5e3}} )",
      "Token");
  ASSERT_TRUE(credentials.has_value()) << credentials.error().message;
  EXPECT_EQ(credentials->access_key_id, "AK");
  EXPECT_EQ(as_text(credentials->secret.bytes()), "s/ec\u00e9");
  EXPECT_EQ(as_text(credentials->session_token.bytes()), "t");
  ASSERT_TRUE(credentials->expires.has_value());
  EXPECT_EQ(credentials->expires->nanoseconds, 1'769'860'800'000'000'000);
}

TEST(JsonAnswer, MayHoldKeysThatLast) {
  const auto credentials =
      credentials_of_json(R"({"AccessKeyId":"a","SecretAccessKey":"b"})", "SessionToken");
  ASSERT_TRUE(credentials.has_value());
  EXPECT_TRUE(credentials->session_token.empty());
  EXPECT_FALSE(credentials->expires.has_value());
}

TEST(JsonAnswer, SaysWhyThereAreNone) {
  const auto credentials =
      credentials_of_json(R"({"Code":"AssumeRoleUnauthorizedAccess","Message":"not\nyou"})", "Token");
  ASSERT_FALSE(credentials.has_value());
  EXPECT_EQ(credentials.error().code, ErrorCode::Denied);
  EXPECT_NE(credentials.error().message.find("AssumeRoleUnauthorizedAccess: not you"), std::string::npos);
}

TEST(JsonAnswer, RefusesWhatIsNotOne) {
  const std::string good = R"("AccessKeyId":"a","SecretAccessKey":"hush")";
  const std::string cases[] = {
      "",
      "{",
      "[]",
      "{" + good,
      "{" + good + "} x",
      "{" + good + ",}",
      "{" + good + R"(,"AccessKeyId":"b"})",
      "{" + good + R"(,"x":"\u12"})",
      "{" + good + R"(,"x":"\ud800"})",
      "{" + good + R"(,"x":"\q"})",
      "{" + good + ",\"x\":\"a\nb\"}",
      "{" + good + R"(,"x":})",
      "{" + good + R"(,"x":)" + std::string(40, '[') + std::string(40, ']') + "}",
      "{" + good + R"(,"Expiration":"tomorrow"})",
      R"({"AccessKeyId":"a"})",
      R"({"AccessKeyId":"a","SecretAccessKey":5})",
  };
  for (const std::string& text : cases) {
    SCOPED_TRACE(text);
    const auto credentials = credentials_of_json(text, "Token");
    ASSERT_FALSE(credentials.has_value());
    EXPECT_EQ(credentials.error().code, ErrorCode::Corrupt);
    EXPECT_EQ(credentials.error().message.find("hush"), std::string::npos);
  }
}

std::string sts_answer(std::string_view inside) {
  return R"(<?xml version="1.0"?><AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">)"
         "<AssumeRoleResult><AssumedRoleUser><Arn>arn</Arn></AssumedRoleUser><Credentials>" +
         std::string(inside) + "</Credentials></AssumeRoleResult></AssumeRoleResponse>";
}

constexpr std::string_view kGiven =
    "<AccessKeyId>AK</AccessKeyId><SecretAccessKey>s&amp;t</SecretAccessKey>"
    "<SessionToken> tok </SessionToken><Expiration>2026-01-31T12:00:00Z</Expiration>";

TEST(StsAnswer, GivesCredentials) {
  const auto credentials = credentials_of_sts(to_bytes(as_bytes(sts_answer(kGiven))), "AssumeRole");
  ASSERT_TRUE(credentials.has_value()) << credentials.error().message;
  EXPECT_EQ(credentials->access_key_id, "AK");
  EXPECT_EQ(as_text(credentials->secret.bytes()), "s&t");
  EXPECT_EQ(as_text(credentials->session_token.bytes()), "tok");
  EXPECT_TRUE(credentials->expires.has_value());
}

TEST(StsAnswer, RefusesWhatIsNotOne) {
  const std::string cases[] = {
      "",
      "not xml",
      "<a/>",
      sts_answer(""),
      sts_answer(kGiven).substr(0, 120),
      sts_answer("<AccessKeyId>AK</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"),
      sts_answer(
          "<AccessKeyId>AK</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
          "<Expiration>soon</Expiration>"),
  };
  for (const std::string& text : cases) {
    SCOPED_TRACE(text);
    EXPECT_EQ(credentials_of_sts(to_bytes(as_bytes(text)), "AssumeRole").error().code, ErrorCode::Corrupt);
  }
  EXPECT_FALSE(
      credentials_of_sts(to_bytes(as_bytes(sts_answer(kGiven))), "AssumeRoleWithWebIdentity").has_value());
}

TEST(StsAnswer, TellsItsError) {
  const std::string text =
      "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredTokenException</Code><Message>Token expired:\n"
      "now</Message></Error></ErrorResponse>";
  EXPECT_EQ(error_of_sts(to_bytes(as_bytes(text))), "ExpiredTokenException: Token expired: now");
  EXPECT_EQ(error_of_sts(to_bytes(as_bytes("<html>"))), "");
}

TEST(ExpirationTime, IsReadInEveryZone) {
  const auto noon = parse_time("2026-01-31T12:00:00Z");
  ASSERT_TRUE(noon.has_value());
  for (const char* text :
       {"2026-01-31T12:00:00+00:00", "2026-01-31T14:30:00+02:30", "2026-01-31T04:00:00-0800"}) {
    EXPECT_EQ(parse_time(text), noon) << text;
  }
  for (const char* text : {"", "2026-01-31", "2026-01-31T12:00:00", "2026-02-31T12:00:00Z",
                           "2026-01-31T12:00:00+1", "2026-01-31T12:00:00Zx"}) {
    EXPECT_FALSE(parse_time(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace firn::store::s3
