// Patterns: what restic's documentation and behaviour say of them.
#include "agent/scan/filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace firn::scan {
namespace {

using testing::ElementsAre;

PatternList list_of(const std::vector<std::string>& patterns, Case sensitivity = Case::Sensitive) {
  auto list = PatternList::parse(patterns, sensitivity);
  EXPECT_TRUE(list) << list.error().message;
  return list.value_or(PatternList{});
}

struct MatchCase {
  const char* pattern;
  const char* path;
  bool matches;
};

TEST(PatternList, MatchesAsResticDoes) {
  const MatchCase cases[] = {
      // A name anywhere, and everything below it.
      {"foo", "/foo", true},
      {"foo", "/a/foo", true},
      {"foo", "/a/foo/b/c", true},
      {"foo", "/a/food", false},
      {"foo", "/a/Foo", false},
      {"*.go", "/a/b/main.go", true},
      {"*.go", "/a/b.go/c", true},
      {"*.go", "/a/main.goo", false},
      {"*", "/anything", true},
      {"foo/", "/a/foo", true},
      {"./foo", "/a/foo", true},
      {"a//b", "/x/a/b", true},
      {"a/../b", "/x/b", true},
      // Several components stand one after the other.
      {"foo/bar", "/foo/bar", true},
      {"foo/bar", "/x/foo/bar/y", true},
      {"foo/bar", "/foo/x/bar", false},
      {"foo/*.c", "/x/foo/a.c", true},
      {"foo/*.c", "/x/foo/y/a.c", false},
      {"foo/*/bar", "/foo/x/bar", true},
      {"foo/*/bar", "/foo/bar", false},
      // From the root.
      {"/foo", "/foo", true},
      {"/foo", "/foo/bar", true},
      {"/foo", "/a/foo", false},
      {"/*/foo", "/a/foo", true},
      {"/*/foo", "/a/b/foo", false},
      {"/", "/anything/at/all", true},
      {"/home/user/*", "/home/user", false},
      {"/home/user/*", "/home/user/x", true},
      // "**" is any number of components, none too.
      {"/foo/**/bar", "/foo/bar", true},
      {"/foo/**/bar", "/foo/a/bar", true},
      {"/foo/**/bar", "/foo/a/b/c/bar/d", true},
      {"/foo/**/bar", "/foo/a/b/barn", false},
      {"/foo/**", "/foo", true},
      {"/foo/**", "/foo/a/b", true},
      {"/foo/**", "/fo", false},
      {"**/bar", "/bar", true},
      {"**/bar", "/a/b/bar", true},
      {"**", "/a", true},
      {"foo/**/b/**/c", "/x/foo/1/b/2/3/c", true},
      {"foo/**/b/**/c", "/x/foo/1/2/3/c", false},
      {"/**/a/**/a/**/a", "/a/a", false},
      {"/**/a/**/a/**/a", "/x/a/a/y/a", true},
      {"a**b", "/axxb", true},  // inside a component two stars are one
      {"a**b", "/a/b", false},
      // Inside a component.
      {"?", "/x", true},
      {"?", "/xy", false},
      {"?", "/\xc3\xa9", true},
      {"?", "/\xff", true},
      {"??", "/\xff\xfe", true},
      {"[a-c]x", "/bx", true},
      {"[a-c]x", "/dx", false},
      {"[^a-c]x", "/dx", true},
      {"[^a-c]x", "/ax", false},
      {"[!a]", "/!", true},  // only '^' negates
      {"[\\]]", "/]", true},
      {"[\\-x]", "/-", true},
      {"[\xc3\xa0-\xc3\xbf]", "/\xc3\xa9", true},
      {"\\*", "/*", true},
      {"\\*", "/x", false},
      {"a\\[b", "/a[b", true},
      {"*a*b*c", "/xaybzc", true},
      {"*a*b*c", "/xaybzcd", false},
      {"a*", "/a", true},
      {"\xff*", "/\xffx", true},
      {"\xff*", "/\xfex", false},
      // Hidden files are ordinary ones.
      {"*", "/.hidden", true},
  };
  for (const MatchCase& c : cases) {
    EXPECT_EQ(list_of({c.pattern}).match_path(c.path).matched, c.matches) << c.pattern << "  " << c.path;
  }
}

TEST(PatternList, AnyCaseMatchesLettersOfEitherCase) {
  const MatchCase cases[] = {
      {"FOO", "/a/foo", true},
      {"*.JPG", "/pic.jpg", true},
      {"*.jpg", "/PIC.JPG", true},
      {"[A-C]x", "/BX", true},
      {"\xc3\x89t\xc3\xa9", "/\xc3\xa9T\xc3\x89", true},                // Été
      {"\xd0\x9c\xd0\xb8\xd1\x80", "/\xd0\xbc\xd0\x98\xd0\xa0", true},  // Мир
      {"\xff"
       "A",
       "/\xff"
       "a",
       true},
      {"foo", "/fou", false},
  };
  for (const MatchCase& c : cases) {
    EXPECT_EQ(list_of({c.pattern}, Case::Insensitive).match_path(c.path).matched, c.matches)
        << c.pattern << "  " << c.path;
  }
}

TEST(PatternList, LaterNegationsTakeBack) {
  const auto list = list_of({"/home/user/*", "!/home/user/config", "/home/user/config/cache"});
  EXPECT_TRUE(list.match_path("/home/user/music").matched);
  EXPECT_FALSE(list.match_path("/home/user/config").matched);
  EXPECT_FALSE(list.match_path("/home/user/config/x").matched);
  EXPECT_TRUE(list.match_path("/home/user/config/cache").matched);
  EXPECT_FALSE(list_of({"!/a", "/b"}).match_path("/a").matched);
  EXPECT_TRUE(list_of({"!/a", "/a"}).match_path("/a").matched) << "the later one wins";
}

struct BelowCase {
  const char* pattern;
  const char* path;
  bool below_may_match;
};

TEST(PatternList, TellsWhetherSomethingBelowCouldMatch) {
  const BelowCase cases[] = {
      {"/foo/bar/*.c", "/foo", true},
      {"/foo/bar/*.c", "/foo/bar", true},
      {"/foo/bar/*.c", "/foo/baz", false},
      {"/foo/bar/*.c", "/bar", false},
      {"/foo/bar/*.c", "/foo/bar/x", false},
      {"/foo/bar/*.c", "/foo/bar/x.c", true},
      {"/foo/**/x", "/foo/a/b", true},
      {"/foo/**/x", "/a/b", false},
      {"foo", "/a/b/c", true},  // a relative pattern can begin anywhere
      {"/f*/x", "/foo", true},
  };
  for (const BelowCase& c : cases) {
    EXPECT_EQ(list_of({c.pattern}).match_path(c.path).below_may_match, c.below_may_match)
        << c.pattern << "  " << c.path;
  }
}

TEST(PatternList, StepByStepIsTheSameAsTheWholePath) {
  const auto list = list_of({"/a/**/d", "b/c", "!*.keep"});
  auto state = list.root();
  state = list.enter(state, "a");
  state = list.enter(state, "x");
  EXPECT_TRUE(list.match(state, "d").matched);
  EXPECT_FALSE(list.match(state, "d.keep").matched);
  EXPECT_FALSE(list.match(state, "e").matched);
}

TEST(PatternList, RefusesWhatIsNoPattern) {
  for (const std::string pattern : {"", "!", "[", "[a", "[]", "[]a]", "a[b-]c", "\\", "x/[/y", "."}) {
    const std::vector<std::string> patterns{pattern};
    const auto list = PatternList::parse(patterns, Case::Sensitive);
    ASSERT_FALSE(list) << pattern;
    EXPECT_EQ(list.error().code, ErrorCode::Invalid);
  }
}

TEST(PatternList, ManyPatternsKeepApart) {
  std::vector<std::string> patterns;
  for (int i = 0; i < 100; ++i) {
    patterns.push_back("/d" + std::to_string(i) + "/**/f" + std::to_string(i));
  }
  const auto list = list_of(patterns);
  EXPECT_TRUE(list.match_path("/d77/x/f77").matched);
  EXPECT_FALSE(list.match_path("/d77/x/f78").matched);
  EXPECT_TRUE(list.match_path("/d99/f99").matched);
}

// Exponential matching would take longer than the age of the earth here.
TEST(PatternList, HostilePatternsEnd) {
  std::string stars;
  std::string path;
  for (int i = 0; i < 100; ++i) {
    stars += "**/*a*a*a*a*a*a*a*a*b/";
    path += "/" + std::string(100, 'a');
  }
  EXPECT_FALSE(list_of({"/" + stars}).match_path(path).matched);
  EXPECT_FALSE(list_of({std::string(200, '*') + "b"}).match_path(path).matched);
}

TEST(Filter, ExcludesByEitherList) {
  FilterOptions options;
  options.excludes = {"*.tmp", "!important.tmp"};
  options.excludes_any_case = {"THUMBS.DB"};
  const auto filter = Filter::make(options);
  ASSERT_TRUE(filter);
  const auto root = filter->root();
  EXPECT_TRUE(filter->excludes(root, "a.tmp"));
  EXPECT_FALSE(filter->excludes(root, "important.tmp"));
  EXPECT_TRUE(filter->excludes(root, "Thumbs.db"));
  EXPECT_FALSE(filter->excludes(root, "A.TMP"));
  EXPECT_TRUE(filter->excludes(filter->enter(root, "sub"), "a.tmp"));
}

TEST(Filter, ExcludesOnlyWhatIsLarger) {
  FilterOptions options;
  options.exclude_larger_than_bytes = 1000;
  const auto filter = Filter::make(options);
  EXPECT_FALSE(filter->excludes_size(1000));
  EXPECT_TRUE(filter->excludes_size(1001));
  EXPECT_FALSE(Filter{}.excludes_size(UINT64_MAX));
}

TEST(Selection, TakesOnlyWhatIsIncludedAndDescendsToIt) {
  SelectionOptions options;
  options.includes = {"/home/user/*.txt"};
  const auto selection = Selection::make(options);
  ASSERT_TRUE(selection);
  auto state = selection->root();
  EXPECT_FALSE(selection->decide(state, "home").selected);
  EXPECT_TRUE(selection->decide(state, "home").descend);
  EXPECT_FALSE(selection->decide(state, "etc").descend);
  state = selection->enter(selection->enter(state, "home"), "user");
  EXPECT_TRUE(selection->decide(state, "a.txt").selected);
  EXPECT_FALSE(selection->decide(state, "a.doc").selected);
}

TEST(Selection, TakesAllButWhatIsExcluded) {
  SelectionOptions options;
  options.excludes_any_case = {"*.log"};
  const auto selection = Selection::make(options);
  EXPECT_FALSE(selection->decide(selection->root(), "A.LOG").selected);
  EXPECT_FALSE(selection->decide(selection->root(), "A.LOG").descend);
  EXPECT_TRUE(selection->decide(selection->root(), "dir").selected);
  EXPECT_FALSE(selection->takes_everything());
  EXPECT_TRUE(Selection{}.takes_everything());
}

TEST(Selection, RefusesIncludesTogetherWithExcludes) {
  SelectionOptions options;
  options.includes = {"a"};
  options.excludes = {"b"};
  EXPECT_EQ(Selection::make(options).error().code, ErrorCode::Invalid);
}

TEST(PatternFile, LeavesOutCommentsAndReplacesVariables) {
  const std::map<std::string, std::string, std::less<>> variables{{"HOME", "/home/user"}, {"X", "x"}};
  const Environment environment = [&](std::string_view name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  };
  const auto patterns = parse_pattern_file(
      "\xef\xbb\xbf# a comment\n\n  *.tmp  \r\n$HOME/cache\n${HOME}dir\n$$HOME\nprice "
      "$\n$NONE/a\na${X}b$X.c\n"
      "${\n   # indented comment\nlast",
      environment);
  EXPECT_THAT(patterns, ElementsAre("*.tmp", "/home/user/cache", "/home/userdir", "$HOME", "price $", "/a",
                                    "axbx.c", "last"));
}

TEST(TagFile, HasAnOptionalHeader) {
  EXPECT_EQ(parse_tag_file(".nobackup")->name, ".nobackup");
  EXPECT_EQ(parse_tag_file(".nobackup")->header, "");
  EXPECT_EQ(parse_tag_file("TAG:Head: er")->name, "TAG");
  EXPECT_EQ(parse_tag_file("TAG:Head: er")->header, "Head: er");
  EXPECT_FALSE(parse_tag_file(""));
  EXPECT_FALSE(parse_tag_file("a/b"));
  EXPECT_FALSE(parse_tag_file(":header"));
}

TEST(Size, HasUnitsOfPowersOf1024) {
  EXPECT_EQ(*parse_size_bytes("0"), 0u);
  EXPECT_EQ(*parse_size_bytes("1000"), 1000u);
  EXPECT_EQ(*parse_size_bytes("7b"), 7u);
  EXPECT_EQ(*parse_size_bytes("10k"), 10240u);
  EXPECT_EQ(*parse_size_bytes("2M"), 2u << 20);
  EXPECT_EQ(*parse_size_bytes("3G"), std::uint64_t{3} << 30);
  EXPECT_EQ(*parse_size_bytes("1T"), std::uint64_t{1} << 40);
  for (const char* bad : {"", "k", "-1", "1kB", "1.5M", "1 M", "99999999999999999999", "17592186044416T"}) {
    EXPECT_FALSE(parse_size_bytes(bad)) << bad;
  }
}

}  // namespace
}  // namespace firn::scan
