// Paths and lists of paths, and the parts of restore and check that only parse.
#include "agent/cli/sources.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "agent/cli/check_subset.h"
#include "repo/base/files.h"
#include "tests/support/temp_dir.h"

namespace firn::cli {
namespace {

using Paths = std::vector<std::string>;

TEST(AbsolutePath, IsCleanedByItsText) {
  EXPECT_EQ(absolute_path("/a/./b//c/../d/", "/x"), "/a/b/d");
  EXPECT_EQ(absolute_path("a/b", "/x/y"), "/x/y/a/b");
  EXPECT_EQ(absolute_path("../../..", "/x/y"), "/");
  EXPECT_EQ(absolute_path(".", "/x"), "/x");
  EXPECT_EQ(absolute_path("..a", "/x"), "/x/..a");
  EXPECT_FALSE(absolute_path(std::string()));
}

TEST(Lists, LinesAreKeptAsTheyAre) {
  EXPECT_EQ(parse_lines("/a\n\n #b \n/c"), (Paths{"/a", " #b ", "/c"}));
  EXPECT_TRUE(parse_lines("").empty());
}

TEST(Lists, NulSeparatedPathsEndInNul) {
  using namespace std::string_view_literals;
  EXPECT_EQ(parse_nul_separated("/a\nb\0/c\0"sv).value(), (Paths{"/a\nb", "/c"}));
  EXPECT_FALSE(parse_nul_separated("/a\0/c"sv));
  EXPECT_FALSE(parse_nul_separated("/a\0\0"sv));
}

class ListFiles : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = temp_.path() + "/" + name;
    EXPECT_TRUE(base::replace_file(path, as_bytes(text)));
    return path;
  }
  test::TempDir temp_;
};

TEST_F(ListFiles, PatternsAreExpandedAndCommentsLeftOut) {
  write("a.txt", "");
  write("b.txt", "");
  write("c.c", "");
  const std::string list =
      write("list", "# comment\n\n  " + temp_.path() + "/*.txt\n" + temp_.path() + "/c.c\n");
  Paths paths;
  ASSERT_TRUE(append_listed({.patterns = {list}, .verbatim = {}, .raw = {}}, paths));
  std::sort(paths.begin(), paths.end());
  EXPECT_EQ(paths, (Paths{temp_.path() + "/a.txt", temp_.path() + "/b.txt", temp_.path() + "/c.c"}));
}

TEST_F(ListFiles, APatternThatMatchesNothingIsTold) {
  const std::string list = write("list", temp_.path() + "/*.nothing\n");
  Paths paths;
  const auto outcome = append_listed({.patterns = {list}, .verbatim = {}, .raw = {}}, paths);
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().message.find("*.nothing"), std::string::npos);
}

TEST_F(ListFiles, VerbatimListsExpandNothing) {
  const std::string list = write("list", "/x/*.txt\n#y\n");
  Paths paths;
  ASSERT_TRUE(append_listed({.patterns = {}, .verbatim = {list}, .raw = {}}, paths));
  EXPECT_EQ(paths, (Paths{"/x/*.txt", "#y"}));
}

TEST_F(ListFiles, PatternFilesKnowVariables) {
  const std::string file = write("excludes", "# no\n$PLACE/*.tmp\n");
  const Variables variables = [](const std::string& name) {
    return name == "PLACE" ? std::optional<std::string>("/there") : std::nullopt;
  };
  EXPECT_EQ(read_pattern_files({file}, variables).value(), (Paths{"/there/*.tmp"}));
  EXPECT_FALSE(read_pattern_files({temp_.path() + "/none"}, variables));
}

TEST(CheckSubset, IsAPartAPercentageOrASize) {
  using Kind = repo::DataSubset::Kind;
  const auto part = parse_subset("2/7").value();
  EXPECT_TRUE(part.kind == Kind::Part && part.part == 2 && part.of == 7);
  const auto percent = parse_subset("2.5%").value();
  EXPECT_TRUE(percent.kind == Kind::Percent && percent.percent == 2.5);
  const auto size = parse_subset("10G").value();
  EXPECT_TRUE(size.kind == Kind::Bytes && size.bytes == 10ULL << 30);
  for (const char* text : {"", "0/7", "8/7", "1/", "/2", "1/2x", "0%", "101%", "%", "x%", "0", "-1"}) {
    EXPECT_FALSE(parse_subset(text)) << text;
  }
}

}  // namespace
}  // namespace firn::cli
