// How people write where a repository is.
#include "repo/store/location.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace firn::store {
namespace {

TEST(Location, TellsPathsFromSchemes) {
  struct Case {
    const char* url;
    Location::Kind kind;
    const char* text;
  };
  const Case cases[] = {
      {"/backup/repo", Location::Kind::Local, "/backup/repo"},
      {"relative/repo", Location::Kind::Local, "relative/repo"},
      {"local:/backup/repo", Location::Kind::Local, "/backup/repo"},
      {"local:relative", Location::Kind::Local, "relative"},
      {"./with:colon", Location::Kind::Local, "./with:colon"},
      {"/with:colon", Location::Kind::Local, "/with:colon"},
      {"local:s3:", Location::Kind::Local, "s3:"},
      {"s3:http://127.0.0.1:7480/bucket/prefix", Location::Kind::S3, "http://127.0.0.1:7480/bucket/prefix"},
      {"s3://bucket/prefix", Location::Kind::S3, "//bucket/prefix"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.url);
    const auto location = parse_location(c.url);
    ASSERT_TRUE(location.has_value()) << location.error().message;
    EXPECT_EQ(location->kind, c.kind);
    EXPECT_EQ(location->text, c.text);
  }
}

TEST(Location, RefusesWhatNobodyKnows) {
  using namespace std::string_view_literals;
  for (const std::string_view url :
       {""sv, "local:"sv, "s3:"sv, "rest:http://host/"sv, "sftp:user@host:/x"sv, "b2:bucket"sv, "/a\0b"sv}) {
    SCOPED_TRACE(url);
    const auto location = parse_location(url);
    ASSERT_FALSE(location.has_value());
    EXPECT_EQ(location.error().code, ErrorCode::Invalid);
  }
}

class OpenStore : public testing::Test {
 protected:
  base::ThreadExecutor executor_{1};
  base::SystemRng rng_;
  StoreSeams seams_{executor_, rng_};
  test::TempDir directory_;
};

TEST_F(OpenStore, OpensADirectoryThatInitMade) {
  const std::string path = directory_.path("repository");
  EXPECT_EQ(open_store(path, {}, seams_).error().code, ErrorCode::NotFound);
  ASSERT_TRUE(init_store(path, {}, seams_).has_value());
  const auto store = open_store("local:" + path, {}, seams_);
  ASSERT_TRUE(store.has_value());
  EXPECT_EQ((*store)->describe(), path);
}

TEST_F(OpenStore, OpensABucketWithoutAskingTheServer) {
  seams_.variables = [](const std::string& name) -> std::optional<std::string> {
    return name.starts_with("AWS_ACCESS") || name.starts_with("AWS_SECRET") ? std::optional<std::string>("x")
                                                                            : std::nullopt;
  };
  const auto store = open_store("s3:http://127.0.0.1:1/bucket/prefix/", {}, seams_);
  ASSERT_TRUE(store.has_value()) << store.error().message;
  EXPECT_EQ((*store)->describe(), "s3:http://127.0.0.1:1/bucket/prefix/");
  EXPECT_EQ(open_store("s3:http://127.0.0.1:1/", {}, seams_).error().code, ErrorCode::Invalid);
  EXPECT_EQ(open_store("s3://bucket", {.backend = {{"s3.colour", "red"}}}, seams_).error().code,
            ErrorCode::Invalid);
}

TEST_F(OpenStore, WantsCredentialsForABucket) {
  const auto store = open_store("s3://bucket/prefix", {}, seams_);
  ASSERT_FALSE(store.has_value());
  EXPECT_EQ(store.error().code, ErrorCode::Denied);
}

}  // namespace
}  // namespace firn::store
