// The program without its process: argv in, exit code and text out, on real files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "agent/cli/cli.h"
#include "agent/cli/json.h"
#include "agent/restore/linux_target_fs.h"
#include "agent/scan/linux_source_fs.h"
#include "repo/base/files.h"
#include "tests/support/temp_dir.h"

namespace firn::cli {
namespace {

struct Done {
  int code = -1;
  std::string out;
  std::string err;
};

/// The last line of JSON output: status lines may stand before it.
Json last_line(const std::string& out) {
  const auto end = out.find_last_not_of('\n');
  const auto begin = out.rfind('\n', end);
  return Json::parse(out.substr(begin == std::string::npos ? 0 : begin + 1));
}

class Program : public ::testing::Test {
 protected:
  Program() {
    variables_["FIRN_REPOSITORY"] = temp_.path("repository");
    variables_["FIRN_PASSWORD_FILE"] = temp_.path("password");
    variables_["FIRN_CACHE_DIR"] = temp_.path("cache");
    temp_.write("password", "correct horse\n");
    temp_.write("source/a", std::string(1000, 'a'));
    temp_.write("source/sub/b", std::string(100'000, 'b'));
    temp_.symlink("a", "source/link");
  }

  Done run(std::vector<std::string> words, const std::string& input = {}) {
    words.insert(words.begin(), name_);
    temp_.write("in", input);
    const base::FileDescriptor in(::open(temp_.path("in").c_str(), O_RDONLY));
    const base::FileDescriptor out(::open(temp_.path("out").c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600));
    const base::FileDescriptor err(::open(temp_.path("err").c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600));
    World world{.executor = executor_,
                .rng = rng_,
                .clock = clock_,
                .stop = stop_,
                .source = source_,
                .target = target_,
                .variable = [this](const std::string& name) -> std::optional<std::string> {
                  const auto found = variables_.find(name);
                  return found == variables_.end() ? std::nullopt : std::optional(found->second);
                },
                .in_fd = in.get(),
                .out_fd = out.get(),
                .err_fd = err.get()};
    Done done;
    done.code = cli::run(words, world);
    done.out = temp_.read("out");
    done.err = temp_.read("err");
    return done;
  }
  std::string source() const { return temp_.path("source"); }

  test::TempDir temp_;
  std::map<std::string, std::string> variables_;
  std::string name_ = "firn";
  base::ThreadExecutor executor_;
  base::SystemRng rng_;
  base::SystemClock clock_;
  base::StopFlag stop_;
  scan::LinuxSourceFs source_;
  restore::LinuxTargetFs target_;
};

TEST_F(Program, BacksUpAndRestores) {
  ASSERT_EQ(run({"init"}).code, 0);
  const Done backup = run({"backup", source()});
  ASSERT_EQ(backup.code, 0) << backup.err;
  EXPECT_NE(backup.out.find("saved"), std::string::npos);
  const Done restore = run({"restore", "latest:" + source(), "--target", temp_.path("target")});
  ASSERT_EQ(restore.code, 0) << restore.err;
  EXPECT_EQ(temp_.read("target/a"), temp_.read("source/a"));
  EXPECT_EQ(temp_.read("target/sub/b"), temp_.read("source/sub/b"));
}

TEST_F(Program, TheSecondBackupHasTheFirstAsParent) {
  ASSERT_EQ(run({"init", "-q"}).code, 0);
  const Json first = last_line(run({"backup", "--json", source()}).out);
  const Json second = last_line(run({"backup", "--json", source()}).out);
  EXPECT_EQ(second["data_blobs"], 0);
  const Json all = Json::parse(run({"snapshots", "--json"}).out);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[1]["parent"], first["snapshot_id"]);
}

TEST_F(Program, WithoutARepositoryItEndsWith10AndAsksForNoPassword) {
  variables_.erase("FIRN_PASSWORD_FILE");
  const Done done = run({"snapshots"});
  EXPECT_EQ(done.code, 10);
  EXPECT_NE(done.err.find(temp_.path("repository")), std::string::npos);
}

TEST_F(Program, AWrongPasswordEndsWith12InOneLine) {
  ASSERT_EQ(run({"init", "-q"}).code, 0);
  temp_.write("password", "battery staple\n");
  const Done done = run({"snapshots"});
  EXPECT_EQ(done.code, 12);
  EXPECT_EQ(std::count(done.err.begin(), done.err.end(), '\n'), 1);
}

TEST_F(Program, WithJsonAFatalErrorIsAnExitErrorLine) {
  const Done done = run({"snapshots", "--json"});
  EXPECT_EQ(done.code, 10);
  EXPECT_EQ(done.out, "");
  const Json json = Json::parse(done.err);
  EXPECT_EQ(json["message_type"], "exit_error");
  EXPECT_EQ(json["code"], 10);
}

TEST_F(Program, AFlagThatIsNotKnownIsAnExitErrorToo) {
  const Json json = Json::parse(run({"snapshots", "--json", "--frobnicate"}).err);
  EXPECT_EQ(json["code"], 1);
}

TEST_F(Program, ARequestToStopEndsWith130AndWithoutASnapshot) {
  ASSERT_EQ(run({"init", "-q"}).code, 0);
  stop_.request();
  const Done done = run({"backup", source()});
  EXPECT_EQ(done.code, 130);
  EXPECT_NE(done.err.find("interrupted"), std::string::npos) << done.err;
}

TEST_F(Program, APathThatIsNotThereIsToldAndTheOthersAreKept) {
  ASSERT_EQ(run({"init", "-q"}).code, 0);
  const Done some = run({"backup", source(), temp_.path("nowhere")});
  EXPECT_EQ(some.code, 3);
  EXPECT_NE(some.err.find("nowhere"), std::string::npos);
  EXPECT_EQ(run({"backup", temp_.path("nowhere")}).code, 1);
  EXPECT_EQ(Json::parse(run({"snapshots", "--json"}).out).size(), 1U);
}

TEST_F(Program, ADryRunStoresNothingHoweverMuchThereIs) {
  ASSERT_EQ(run({"init", "--pack-size", "1M", "-q"}).code, 0);
  std::string content(8 << 20, '\0');
  base::SeededRng(1).fill(std::as_writable_bytes(std::span(content)));
  temp_.write("source/big", content);
  const std::string before = run({"list", "packs"}).out + run({"list", "sessions"}).out;
  const Json dry = last_line(run({"backup", "--dry-run", "--json", source()}).out);
  EXPECT_EQ(run({"list", "packs"}).out + run({"list", "sessions"}).out, before);
  EXPECT_EQ(run({"snapshots", "--json"}).out, "[]\n");
  EXPECT_EQ(dry["dry_run"], true);
  const Json wet = last_line(run({"backup", "--json", source()}).out);
  EXPECT_EQ(dry["data_added"], wet["data_added"]);
  EXPECT_EQ(dry["data_blobs"], wet["data_blobs"]);
}

TEST_F(Program, TwoRepositoriesCanCutAlike) {
  ASSERT_EQ(run({"init", "--chunk-size", "128K", "-q"}).code, 0);
  const Json first = Json::parse(run({"cat", "config"}).out);
  variables_["FIRN_FROM_REPOSITORY"] = variables_["FIRN_REPOSITORY"];
  variables_["FIRN_FROM_PASSWORD_FILE"] = variables_["FIRN_PASSWORD_FILE"];
  variables_["FIRN_REPOSITORY"] = temp_.path("second");
  const Done init = run({"init", "--copy-chunker-params", "-q"});
  ASSERT_EQ(init.code, 0) << init.err;
  const Json second = Json::parse(run({"cat", "config"}).out);
  EXPECT_EQ(second["chunk_average"], 128 << 10);
  EXPECT_NE(first["id"], second["id"]);
}

TEST_F(Program, StandardInputIsAFileOfTheSnapshot) {
  ASSERT_EQ(run({"init", "-q"}).code, 0);
  for (const std::string& input : {std::string(), std::string("few"), std::string(3'000'000, 'x') + "end"}) {
    ASSERT_EQ(run({"backup", "--stdin", "--stdin-filename", "db/dump.sql"}, input).code, 0);
    const Done dump = run({"dump", "latest", "/db/dump.sql"});
    EXPECT_EQ(dump.code, 0) << dump.err;
    EXPECT_EQ(dump.out.size(), input.size());
    EXPECT_TRUE(dump.out == input);
  }
}

TEST_F(Program, AFailedCommandLeavesNoSnapshot) {
  ASSERT_EQ(run({"init", "-q"}).code, 0);
  const Done done = run({"backup", "--stdin-from-command", "--", "sh", "-c", "echo half; exit 7"});
  EXPECT_EQ(done.code, 1);
  EXPECT_NE(done.err.find("exit code 7"), std::string::npos) << done.err;
  EXPECT_EQ(run({"backup", "--stdin-from-command", "--", temp_.path("nothing")}).code, 1);
  EXPECT_EQ(run({"snapshots", "--json"}).out, "[]\n");
}

TEST_F(Program, DumpGivesTheBytesThatARangeNames) {
  ASSERT_EQ(run({"init", "-q"}).code, 0);
  std::string content;
  for (int i = 0; content.size() < 300'000; ++i) {
    content += std::to_string(i) + " ";
  }
  temp_.write("source/numbers", content);
  ASSERT_EQ(run({"backup", "-q", source()}).code, 0);
  const std::string path = source() + "/numbers";
  EXPECT_EQ(run({"dump", "--range", "0-9", "latest", path}).out, content.substr(0, 10));
  EXPECT_EQ(run({"dump", "--range", "65530-65541", "latest", path}).out, content.substr(65530, 12));
  EXPECT_EQ(run({"dump", "--range", "299990-", "latest", path}).out, content.substr(299990));
  EXPECT_EQ(run({"dump", "--range", "5-4", "latest", path}).code, 1);
}

TEST_F(Program, HolesOfASmallFileAreZerosInADump) {
  ASSERT_EQ(run({"init", "-q"}).code, 0);
  const base::FileDescriptor file(::open(temp_.path("source/holes").c_str(), O_RDWR | O_CREAT, 0600));
  ASSERT_EQ(::pwrite(file.get(), "begin", 5, 0), 5);
  ASSERT_EQ(::pwrite(file.get(), "end", 3, 1 << 20), 3);
  ASSERT_EQ(run({"backup", "-q", source()}).code, 0);
  std::string wanted = "begin";
  wanted.resize(1 << 20, '\0');
  EXPECT_TRUE(run({"dump", "latest", source() + "/holes"}).out == wanted + "end");
}

TEST_F(Program, StatsCountEveryChunkOfEverySnapshot) {
  ASSERT_EQ(run({"init", "-q"}).code, 0);
  ASSERT_EQ(run({"backup", "-q", source()}).code, 0);
  const Json raw = Json::parse(run({"stats", "--mode", "raw-data", "--json"}).out);
  EXPECT_GE(raw["total_uncompressed_size"], 100'000);
  EXPECT_GE(raw["total_blob_count"], 3);
  const Json restored = Json::parse(run({"stats", "--json", "latest"}).out);
  EXPECT_EQ(restored["total_size"], 101'000);
}

TEST_F(Program, AKeyAddedLaterReadsEarlierSnapshots) {
  ASSERT_EQ(run({"init", "-q"}).code, 0);
  ASSERT_EQ(run({"backup", "-q", source()}).code, 0);
  const Done added = run({"key", "add", "--role", "reader", "--out", temp_.path("key")});
  ASSERT_EQ(added.code, 0) << added.err;
  variables_.erase("FIRN_PASSWORD_FILE");
  variables_["FIRN_KEY_FILE"] = temp_.path("key");
  EXPECT_EQ(run({"dump", "latest", source() + "/a"}).out, temp_.read("source/a"));
}

TEST_F(Program, CalledResticItAnswersAsRestic) {
  name_ = "/usr/local/bin/restic";
  EXPECT_TRUE(run({"version"}).out.starts_with("restic 0.19.0 (firn "));
  EXPECT_EQ(Json::parse(run({"version", "--json"}).out)["version"], "0.19.0");
}

TEST_F(Program, NoCacheLeavesNothingBehind) {
  variables_["TMPDIR"] = temp_.path("tmp");
  temp_.make_dirs("tmp");
  ASSERT_EQ(run({"--no-cache", "init", "-q"}).code, 0);
  ASSERT_EQ(run({"--no-cache", "backup", "-q", source()}).code, 0);
  EXPECT_NE(::access(temp_.path("cache").c_str(), F_OK), 0);
  // An empty directory can be removed.
  EXPECT_EQ(::rmdir(temp_.path("tmp").c_str()), 0);
}

}  // namespace
}  // namespace firn::cli
