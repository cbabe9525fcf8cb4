// Credentials that the environment names.
#include "repo/store/s3/credentials.h"

#include <gtest/gtest.h>

#include <map>

#include "repo/base/bytes.h"

namespace firn::store::s3 {
namespace {

Variables variables(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
}

TEST(EnvironmentCredentials, AreTakenAsTheyStand) {
  const auto source = environment_credentials(variables(
      {{"AWS_ACCESS_KEY_ID", "id"}, {"AWS_SECRET_ACCESS_KEY", "secret"}, {"AWS_SESSION_TOKEN", "token"}}));
  ASSERT_TRUE(source.has_value());
  const auto credentials = (*source)->get();
  ASSERT_TRUE(credentials.has_value());
  EXPECT_EQ((*credentials)->access_key_id, "id");
  EXPECT_EQ(as_text((*credentials)->secret.bytes()), "secret");
  EXPECT_EQ(as_text((*credentials)->session_token.bytes()), "token");
  (*source)->reject(**credentials);
  EXPECT_EQ((*source)->get().value(), *credentials);
}

TEST(EnvironmentCredentials, AreRefusedWhenHalfIsMissing) {
  EXPECT_EQ(environment_credentials(variables({})).error().code, ErrorCode::Denied);
  for (const char* name : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}) {
    const auto source = environment_credentials(variables({{name, "value"}}));
    ASSERT_FALSE(source.has_value());
    EXPECT_EQ(source.error().code, ErrorCode::Invalid);
    EXPECT_EQ(source.error().message.find("value"), std::string::npos);
  }
}

}  // namespace
}  // namespace firn::store::s3
