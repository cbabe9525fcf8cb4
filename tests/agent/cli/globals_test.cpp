// Where settings come from, and who wins.
#include "agent/cli/globals.h"

#include <gtest/gtest.h>

#include <map>

#include "agent/cli/shell_words.h"

namespace firn::cli {
namespace {

Variables variables(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
}

TEST(Settings, AFlagBeatsVariables) {
  Place place;
  place.repository = "/flag";
  place.password_file = "/flag-password";
  fill_from_environment(place, variables({{"FIRN_REPOSITORY", "/firn"},
                                          {"FIRN_REPOSITORY_FILE", "/file"},
                                          {"FIRN_PASSWORD_COMMAND", "cat"}}));
  EXPECT_EQ(place.repository, "/flag");
  EXPECT_FALSE(place.repository_file);
  EXPECT_EQ(place.password_file, "/flag-password");
  EXPECT_FALSE(place.password_command);
}

TEST(Settings, FirnsOwnVariableBeatsRestics) {
  Place place;
  fill_from_environment(place, variables({{"FIRN_REPOSITORY_FILE", "/firn-file"},
                                          {"RESTIC_REPOSITORY", "/restic"},
                                          {"RESTIC_PASSWORD_FILE", "/restic-password"}}));
  EXPECT_FALSE(place.repository);
  EXPECT_EQ(place.repository_file, "/firn-file");
  EXPECT_EQ(place.password_file, "/restic-password");
}

TEST(Settings, AnEmptyVariableIsNotSet) {
  Place place;
  fill_from_environment(place, variables({{"FIRN_REPOSITORY", ""}, {"RESTIC_REPOSITORY", "/restic"}}));
  EXPECT_EQ(place.repository, "/restic");
}

TEST(Settings, TheOtherRepositoryHasVariablesOfItsOwn) {
  Place place;
  fill_from_environment(place, variables({{"FIRN_REPOSITORY", "/own"}, {"RESTIC_FROM_REPOSITORY", "/other"}}),
                        "FROM_");
  EXPECT_EQ(place.repository, "/other");
}

TEST(StoreOptions, ComeFromTheFlags) {
  Globals globals;
  globals.options = {"s3.region=eu-west-1", "s3.sse=aws:kms", "s3.region=us-east-2", "a=b=c"};
  globals.cacert = "/ca.pem";
  globals.tls_client_cert = "/client.pem";
  globals.insecure_tls = true;
  globals.limit_upload = "100";
  globals.stuck_request_timeout = "1m30s";
  const auto options = store_options(globals);
  ASSERT_TRUE(options.has_value()) << options.error().message;
  EXPECT_EQ(options->backend.at("s3.region"), "us-east-2");
  EXPECT_EQ(options->backend.at("a"), "b=c");
  EXPECT_EQ(options->ca_file, "/ca.pem");
  EXPECT_EQ(options->client_certificate, "/client.pem");
  EXPECT_TRUE(options->insecure_tls);
  EXPECT_EQ(options->upload_bytes_per_second_max, 102'400U);
  EXPECT_EQ(options->download_bytes_per_second_max, 0U);
  EXPECT_EQ(options->stuck_request_timeout, std::chrono::seconds(90));
}

TEST(StoreOptions, RefuseWhatTheyCannotRead) {
  const auto refused = [](auto change) {
    Globals globals;
    change(globals);
    const auto options = store_options(globals);
    return !options && options.error().code == ErrorCode::Invalid;
  };
  EXPECT_TRUE(refused([](Globals& g) { g.options = {"s3.region"}; }));
  EXPECT_TRUE(refused([](Globals& g) { g.options = {"=x"}; }));
  EXPECT_TRUE(refused([](Globals& g) { g.limit_upload = "-1"; }));
  EXPECT_TRUE(refused([](Globals& g) { g.limit_download = "1x"; }));
  EXPECT_TRUE(refused([](Globals& g) { g.limit_download = "99999999999999999999"; }));
  EXPECT_TRUE(refused([](Globals& g) { g.stuck_request_timeout = "soon"; }));
  EXPECT_TRUE(refused([](Globals& g) { g.stuck_request_timeout = "0s"; }));
}

TEST(RepositoryUrl, IsNamedExactlyOnce) {
  EXPECT_FALSE(repository_url({}));
  Place place;
  place.repository = "/a";
  EXPECT_EQ(repository_url(place).value(), "/a");
  place.repository_file = "/b";
  EXPECT_FALSE(repository_url(place));
}

TEST(CacheRoot, FollowsFlagThenXdgThenHome) {
  Globals globals;
  EXPECT_FALSE(cache_root(globals, variables({})));
  EXPECT_EQ(cache_root(globals, variables({{"HOME", "/home/a"}})).value(), "/home/a/.cache/firn");
  EXPECT_EQ(cache_root(globals, variables({{"HOME", "/home/a"}, {"XDG_CACHE_HOME", "/x"}})).value(),
            "/x/firn");
  globals.cache_dir = "/chosen";
  EXPECT_EQ(cache_root(globals, variables({{"XDG_CACHE_HOME", "/x"}})).value(), "/chosen");
}

TEST(MemoryShares, AreHalfOfTheCgroupWithinBounds) {
  Globals globals;
  EXPECT_EQ(memory_shares(globals, std::nullopt)->total, 256ULL << 20);
  EXPECT_EQ(memory_shares(globals, 8ULL << 30)->total, 256ULL << 20);
  EXPECT_EQ(memory_shares(globals, 300ULL << 20)->total, 150ULL << 20);
  EXPECT_EQ(memory_shares(globals, 100ULL << 20)->total, 64ULL << 20);
}

TEST(MemoryShares, TheFlagIsTakenAtItsWordFrom64MiBOn) {
  Globals globals;
  globals.memory = "1G";
  EXPECT_EQ(memory_shares(globals, 100ULL << 20)->total, 1ULL << 30);
  globals.memory = "63M";
  EXPECT_FALSE(memory_shares(globals, std::nullopt));
  globals.memory = "much";
  EXPECT_FALSE(memory_shares(globals, std::nullopt));
}

TEST(MemoryShares, DoNotExceedTheBudgetByMoreThanThreePacks) {
  for (const char* budget : {"64M", "96M", "128M", "256M", "1G"}) {
    Globals globals;
    globals.memory = budget;
    const auto shares = memory_shares(globals, std::nullopt);
    ASSERT_TRUE(shares);
    const auto sum = shares->packs + shares->work + shares->index + shares->walk + shares->windows;
    EXPECT_LE(sum, std::max<std::uint64_t>(shares->total, 72ULL << 20)) << budget;
  }
}

TEST(ShellWords, AreSplitAsAShellDoesIt) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(split_shell_words("  cat  /a/b ").value(), (Words{"cat", "/a/b"}));
  EXPECT_EQ(split_shell_words("pass 'my backup' \"a \\\"b\\\"\"").value(),
            (Words{"pass", "my backup", "a \"b\""}));
  EXPECT_EQ(split_shell_words("a\\ b c''").value(), (Words{"a b", "c"}));
  EXPECT_EQ(split_shell_words("''").value(), (Words{""}));
  EXPECT_EQ(split_shell_words("").value(), Words{});
  EXPECT_FALSE(split_shell_words("'open"));
  EXPECT_FALSE(split_shell_words("\"open"));
}

}  // namespace
}  // namespace firn::cli
