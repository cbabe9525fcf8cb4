// The walker: order, bounds, what it leaves out, and what it says of what it cannot read.
#include "agent/scan/walker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>

#include "agent/restore/linux_target_fs.h"
#include "agent/scan/linux_source_fs.h"
#include "repo/base/seeded_executor.h"
#include "tests/support/memory_fs.h"
#include "tests/support/temp_dir.h"

namespace firn::scan {
namespace {

using base::MemoryScratch;
using base::SeededExecutor;
using test::FsCall;
using test::MemoryTree;
using test::TempDir;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Walked {
  std::vector<std::string> paths;    // "" is the root
  std::vector<std::string> borders;  // directory and size of every batch
  std::vector<std::string> problems;
  std::vector<ErrorCode> codes;
  std::uint64_t excluded = 0;
  Result<> outcome;
};

std::string path_of(const WalkBatch& batch, std::string_view name) {
  return batch.directory.empty() || name.empty() ? batch.directory + std::string(name)
                                                 : batch.directory + "/" + std::string(name);
}

void take(const WalkBatch& batch, Walked& walked) {
  walked.borders.push_back(batch.directory + " " + std::to_string(batch.entries.size()));
  for (const WalkEntry& entry : batch.entries) {
    walked.paths.push_back(path_of(batch, entry.name));
  }
  for (const WalkProblem& problem : batch.problems) {
    walked.problems.push_back(problem.error.message);
    walked.codes.push_back(problem.error.code);
  }
  walked.excluded += batch.excluded;
}

Walked walk(base::Executor& executor, SourceFs& source, base::Scratch& scratch, WalkOptions options) {
  Walked walked;
  const base::StopFlag stop;
  auto walker = start_walk(executor, source, scratch, stop, std::move(options));
  if (!walker) {
    walked.outcome = Failure(walker.error());
    return walked;
  }
  for (;;) {
    auto batch = (*walker)->next();
    if (!batch) {
      walked.outcome = Failure(batch.error());
      return walked;
    }
    if (!*batch) {
      return walked;
    }
    take(**batch, walked);
  }
}

Walked walk_seeded(MemoryTree& tree, WalkOptions options, std::uint64_t seed = 1) {
  SeededExecutor executor(seed);
  MemoryScratch scratch;
  Walked walked;
  executor.run([&] { walked = walk(executor, tree.source(), scratch, std::move(options)); });
  return walked;
}

WalkOptions volume(const std::string& root = "/") {
  WalkOptions options;
  options.roots = {root};
  options.tree_begins_at_root = true;
  return options;
}

WalkOptions roots(std::vector<std::string> paths) {
  WalkOptions options;
  options.roots = std::move(paths);
  return options;
}

Filter filter_of(const FilterOptions& options) {
  auto filter = Filter::make(options);
  EXPECT_TRUE(filter);
  return filter.value_or(Filter{});
}

// The order of the tree, written down anew: directory part by part, then name.
std::vector<std::string> in_order(const std::vector<std::string>& paths) {
  std::vector<std::vector<std::string>> split;
  for (const std::string& path : paths) {
    std::vector<std::string> parts;
    std::string part;
    for (const char c : path) {
      if (c == '/') {
        parts.push_back(std::exchange(part, {}));
      } else {
        part.push_back(c);
      }
    }
    parts.push_back(part);
    split.push_back(parts);
  }
  std::sort(split.begin(), split.end(), [](auto a, auto b) {
    const std::string a_name = a.back();
    const std::string b_name = b.back();
    a.pop_back();
    b.pop_back();
    return a != b ? a < b : a_name < b_name;
  });
  std::vector<std::string> sorted;
  for (const auto& parts : split) {
    std::string path;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      path += (i == 0 ? "" : "/") + parts[i];
    }
    sorted.push_back(path);
  }
  return sorted;
}

// Random names that sort badly where '/' or the sign of a char goes wrong. Returns all paths.
std::vector<std::string> fill(MemoryTree& tree, std::uint64_t seed, int entries) {
  std::mt19937_64 random(seed);
  static constexpr const char* kNames[] = {"a",    "a.b",  "a-", "a b", "b",  "aa",
                                           "\xff", "\x01", "~",  "z0",  "z1", "z2"};
  std::vector<std::string> dirs{""};
  std::vector<std::string> paths{""};
  for (int i = 0; i < entries; ++i) {
    const std::string& dir = dirs[random() % dirs.size()];
    std::string path = dir + "/" + kNames[random() % std::size(kNames)];
    if (random() % 4 == 0) {
      path += std::to_string(random() % 30);
    }
    if (tree.exists(path)) {
      continue;
    }
    if (random() % 3 == 0) {
      tree.make_dir(path);
      dirs.push_back(path);
    } else {
      tree.write(path, "x");
    }
    paths.push_back(path.substr(1));
  }
  return paths;
}

TEST(Walker, GivesTheOrderOfTheTree) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    MemoryTree tree;
    const auto expected = in_order(fill(tree, seed, 300));
    WalkOptions options = volume();
    options.tasks = static_cast<unsigned>(seed % 4);
    if (seed % 2 == 0) {  // tight bounds must change nothing but the batches
      options.memory_bytes = 2000;
      options.open_dirs_max = 4;
      options.batch_entries_max = 3;
    }
    const auto walked = walk_seeded(tree, options, seed);
    ASSERT_TRUE(walked.outcome) << walked.outcome.error().message;
    EXPECT_THAT(walked.problems, IsEmpty());
    ASSERT_EQ(walked.paths, expected);
  }
}

TEST(Walker, BordersOfBatchesDoNotDependOnWhoWalks) {
  MemoryTree tree;
  fill(tree, 5, 500);
  for (int i = 0; i < 50; ++i) {
    tree.write("/many/" + std::to_string(i), "x");
  }
  WalkOptions options = volume();
  options.batch_entries_max = 8;
  options.tasks = 1;
  const auto once = walk_seeded(tree, options, 1);
  options.tasks = 5;
  for (std::uint64_t seed = 2; seed < 20; ++seed) {
    EXPECT_EQ(walk_seeded(tree, options, seed).borders, once.borders) << "seed " << seed;
  }
}

TEST(Walker, ThreadsGiveTheSameAsOneTask) {
  MemoryTree tree;
  const auto expected = in_order(fill(tree, 9, 3000));
  base::ThreadExecutor executor(4);
  MemoryScratch scratch;
  for (int i = 0; i < 20; ++i) {
    WalkOptions options = volume();
    options.memory_bytes = 20000;
    const auto walked = walk(executor, tree.source(), scratch, options);
    ASSERT_TRUE(walked.outcome);
    ASSERT_EQ(walked.paths, expected);
  }
  EXPECT_EQ(tree.open_handles(), 0u);
}

// Scratch that counts, and fails after a while.
class CountingScratch final : public base::Scratch {
 public:
  explicit CountingScratch(std::uint64_t bytes_max = UINT64_MAX) : left_(bytes_max) {}
  Result<std::unique_ptr<base::ScratchFile>> create() override {
    FIRN_LET(auto file, memory_.create());
    return std::make_unique<File>(*this, std::move(file));
  }
  std::uint64_t written() const { return written_; }

 private:
  class File final : public base::ScratchFile {
   public:
    File(CountingScratch& owner, std::unique_ptr<base::ScratchFile> file)
        : owner_(owner), file_(std::move(file)) {}
    Result<> append(ByteView bytes) override {
      if (bytes.size() > owner_.left_) {
        return fail(ErrorCode::Exhausted, "scratch is full");
      }
      owner_.left_ -= bytes.size();
      owner_.written_ += bytes.size();
      return file_->append(bytes);
    }
    Result<> read_at(std::uint64_t offset, MutableBytes out) override { return file_->read_at(offset, out); }
    std::uint64_t size() const override { return file_->size(); }

   private:
    CountingScratch& owner_;
    std::unique_ptr<base::ScratchFile> file_;
  };
  MemoryScratch memory_;
  std::uint64_t left_;
  std::uint64_t written_ = 0;
};

TEST(Walker, SortsADirectoryThatDoesNotFitInMemory) {
  MemoryTree tree;
  std::vector<std::string> paths{"", "big"};
  std::mt19937_64 random(3);
  for (int i = 0; i < 30000; ++i) {
    paths.push_back("big/" + std::to_string(random() % 1000) + "-" + std::to_string(i));
    if (i % 100 == 0) {
      tree.make_dir("/" + paths.back());
    } else {
      tree.make_special("/" + paths.back(), FileType::Fifo);
    }
  }
  WalkOptions options = volume();
  options.memory_bytes = 256 << 10;
  CountingScratch scratch;
  SeededExecutor executor(7);
  Walked walked;
  executor.run([&] { walked = walk(executor, tree.source(), scratch, options); });
  ASSERT_TRUE(walked.outcome);
  EXPECT_EQ(walked.paths, in_order(paths));
  EXPECT_GT(scratch.written(), 200000u) << "this test means the names to be sorted outside";
}

TEST(Walker, KeepsDirectoriesThatWaitOutsideOfMemory) {
  MemoryTree tree;
  std::vector<std::string> paths{""};
  for (int i = 0; i < 900; ++i) {
    const std::string dir = "directory-with-a-long-name-" + std::to_string(i);
    tree.make_dir("/" + dir);
    paths.push_back(dir);
    for (int j = 0; j < 5; ++j) {
      paths.push_back(dir + "/sub-" + std::to_string(j));
      tree.make_dir("/" + paths.back());
    }
  }
  WalkOptions options = volume();
  options.memory_bytes = 16 << 10;
  CountingScratch scratch;
  SeededExecutor executor(7);
  Walked walked;
  executor.run([&] { walked = walk(executor, tree.source(), scratch, options); });
  ASSERT_TRUE(walked.outcome);
  EXPECT_EQ(walked.paths, in_order(paths));
  EXPECT_GT(scratch.written(), 10000u);
}

TEST(Walker, DeepTreesNeedFewOpenDirectories) {
  constexpr std::size_t kDepth = 2000;
  MemoryTree tree;
  std::vector<std::string> expected{""};
  std::vector<std::string> on_the_way_back;
  {
    auto dir = *tree.target().open_root("/");
    std::string at;
    for (std::size_t i = 0; i < kDepth; ++i) {
      // What sorts behind the long way down makes the walk come back to every level.
      ASSERT_TRUE((*dir->make_dir("z"))->open_file("f", restore::Access::WriteOrMake));
      dir = *dir->make_dir("d");
      expected.push_back(at + "d");
      expected.push_back(at + "z");
      on_the_way_back.push_back(at + "z/f");
      at += "d/";
    }
  }
  expected.insert(expected.end(), on_the_way_back.rbegin(), on_the_way_back.rend());
  ASSERT_EQ(tree.open_handles(), 0u);
  const std::size_t before = tree.open_handles_peak();
  WalkOptions options = volume();
  options.open_dirs_max = 40;
  const auto walked = walk_seeded(tree, options, 3);
  ASSERT_TRUE(walked.outcome);
  EXPECT_THAT(walked.problems, IsEmpty());
  EXPECT_TRUE(walked.paths == expected);
  EXPECT_LT(before, 10u);
  // What the consumer has taken and levels that were opened again come on top of open_dirs_max.
  EXPECT_LT(tree.open_handles_peak(), 40u + 32u + 64u + 20u);
}

TEST(Walker, PathsThatATreeCannotHoldAreNamedAndNotEntered) {
  MemoryTree tree;
  tree.write("/aaaa/bbbb/cccc/file", "x");
  tree.write("/aaaa/b/file", "x");
  WalkOptions options = volume();
  options.path_bytes_max = 9;
  const auto walked = walk_seeded(tree, options);
  EXPECT_THAT(walked.paths, ElementsAre("", "aaaa", "aaaa/b", "aaaa/bbbb", "aaaa/b/file", "aaaa/bbbb/cccc"));
  EXPECT_THAT(walked.problems, ElementsAre(HasSubstr("/aaaa/bbbb/cccc: the path is longer")));
}

TEST(Walker, WhatCannotBeReadIsAProblemAndNotAnEnd) {
  struct Case {
    const char* what;
    FsCall call;
    const char* path;
    ErrorCode code;
    std::vector<std::string> paths;
  };
  const Case cases[] = {
      {"closed directory", FsCall::OpenDir, "/b", ErrorCode::Denied, {"", "a", "b", "c"}},
      {"directory vanishes", FsCall::OpenDir, "/b", ErrorCode::NotFound, {"", "a", "b", "c"}},
      {"listing fails", FsCall::List, "/b", ErrorCode::Unavailable, {"", "a", "b", "c"}},
      {"file vanishes", FsCall::Stat, "/a", ErrorCode::NotFound, {"", "b", "c", "b/x"}},
      {"stat denied", FsCall::Stat, "/b/x", ErrorCode::Denied, {"", "a", "b", "c"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    MemoryTree tree;
    tree.write("/a", "x");
    tree.write("/b/x", "x");
    tree.write("/c", "x");
    tree.set_hook(MemoryTree::failing(c.call, c.path, Error{c.code, "made to fail"}));
    const auto walked = walk_seeded(tree, volume());
    ASSERT_TRUE(walked.outcome);
    EXPECT_EQ(walked.paths, c.paths);
    EXPECT_THAT(walked.problems, ElementsAre(std::string(c.path) + ": made to fail"));
    EXPECT_THAT(walked.codes, ElementsAre(c.code));
  }
}

TEST(Walker, ADirectoryThatChangesWhileItIsWalkedIsStillInOrder) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    MemoryTree tree;
    fill(tree, seed, 200);
    std::mt19937_64 random(seed);
    tree.set_hook([&](FsCall call, const std::string&) -> Result<> {
      if (call == FsCall::OpenDir || call == FsCall::Stat) {
        const std::string path = "/z" + std::to_string(random() % 3);
        if (random() % 50 == 0) {
          tree.remove(path);
        } else if (random() % 50 == 0) {
          tree.write(path + std::to_string(random() % 10) + "/new/file", "x");
        }
      }
      return {};
    });
    const auto walked = walk_seeded(tree, volume(), seed);
    ASSERT_TRUE(walked.outcome);
    EXPECT_EQ(walked.paths, in_order(walked.paths)) << "seed " << seed;
    EXPECT_EQ(std::adjacent_find(walked.paths.begin(), walked.paths.end()), walked.paths.end());
  }
}

TEST(Walker, OtherFileSystemsAreEmptyDirectoriesWhenTheyAreNotCrossed) {
  const auto build = [](MemoryTree& tree) {
    tree.write("/plain/file", "x");
    tree.make_dir("/bind");
    tree.edit("/bind", [](test::MemoryNode& node) { node.mount_id = 2; });
    tree.write("/bind/file", "x");
    tree.make_dir("/other");
    tree.edit("/other", [](test::MemoryNode& node) { node.mount_id = 3, node.device = 9; });
    tree.write("/other/file", "x");
    tree.make_dir("/subvolume");
    tree.edit("/subvolume", [](test::MemoryNode& node) { node.device = 10; });
    tree.write("/subvolume/file", "x");
  };
  struct Case {
    Crossing crossing;
    std::vector<std::string> below;
  };
  const Case cases[] = {
      {Crossing::All, {"bind/file", "other/file", "plain/file", "subvolume/file"}},
      {Crossing::SameDevice, {"bind/file", "plain/file"}},
      {Crossing::SameMount, {"plain/file", "subvolume/file"}},
  };
  for (const Case& c : cases) {
    MemoryTree tree;
    build(tree);
    WalkOptions options = volume();
    options.crossing = c.crossing;
    const auto walked = walk_seeded(tree, options);
    std::vector<std::string> expected{"", "bind", "other", "plain", "subvolume"};
    expected.insert(expected.end(), c.below.begin(), c.below.end());
    EXPECT_EQ(walked.paths, expected);
    EXPECT_THAT(walked.problems, IsEmpty());
  }
}

TEST(Walker, WhatIsMountedDuringTheWalkIsNotEntered) {
  MemoryTree tree;
  tree.write("/dir/file", "x");
  tree.set_hook(MemoryTree::changing(FsCall::OpenDir, "/dir", 1, [&] {
    tree.edit("/dir", [](test::MemoryNode& node) { node.mount_id = 5; });
  }));
  WalkOptions options = volume();
  options.crossing = Crossing::SameMount;
  const auto walked = walk_seeded(tree, options);
  EXPECT_THAT(walked.paths, ElementsAre("", "dir"));
  EXPECT_THAT(walked.codes, ElementsAre(ErrorCode::Changed));
}

TEST(Walker, ARootOnAnotherFileSystemIsWalkedAndItsOwnMountsAreNot) {
  MemoryTree tree;
  tree.write("/a/file", "x");
  tree.make_dir("/a/mnt");
  tree.edit("/a/mnt", [](test::MemoryNode& node) { node.device = 2; });
  tree.write("/a/mnt/inner/file", "x");
  tree.make_dir("/a/mnt/inner/deep");
  tree.edit("/a/mnt/inner/deep", [](test::MemoryNode& node) { node.device = 1; });
  tree.write("/a/mnt/inner/deep/file", "x");
  WalkOptions options = roots({"/a", "/a/mnt/inner"});
  options.crossing = Crossing::SameDevice;
  const auto walked = walk_seeded(tree, options);
  EXPECT_THAT(walked.paths,
              ElementsAre("", "a", "a/file", "a/mnt", "a/mnt/inner", "a/mnt/inner/deep", "a/mnt/inner/file"));
  EXPECT_THAT(walked.problems, IsEmpty());
}

TEST(Walker, RootsBringTheirAncestorsAndNothingElse) {
  MemoryTree tree;
  for (const char* path :
       {"/home/u/docs/a", "/home/u/docs/b", "/home/u/other", "/home/v/x", "/etc/passwd", "/top"}) {
    tree.write(path, "x");
  }
  const auto walked = walk_seeded(
      tree, roots({"/home/u/docs", "/etc/passwd", "//home/./u/docs/", "/home/u/docs/b", "/home/v"}));
  ASSERT_TRUE(walked.outcome);
  EXPECT_THAT(walked.paths, ElementsAre("", "etc", "home", "etc/passwd", "home/u", "home/v", "home/u/docs",
                                        "home/u/docs/a", "home/u/docs/b", "home/v/x"));
  EXPECT_THAT(walked.problems, IsEmpty());
}

TEST(Walker, TheRootOfTheMachineIsARootToo) {
  MemoryTree tree;
  tree.write("/a/b", "x");
  EXPECT_THAT(walk_seeded(tree, roots({"/", "/a"})).paths, ElementsAre("", "a", "a/b"));
}

TEST(Walker, MissingRootsAreProblems) {
  MemoryTree tree;
  tree.write("/a/b", "x");
  const auto walked = walk_seeded(tree, roots({"/a/b", "/a/none", "/none/deeper"}));
  ASSERT_TRUE(walked.outcome);
  EXPECT_THAT(walked.paths, ElementsAre("", "a", "a/b"));
  EXPECT_THAT(walked.problems, ElementsAre(HasSubstr("/none:"), HasSubstr("/a/none:")));
  EXPECT_THAT(walked.codes, ElementsAre(ErrorCode::NotFound, ErrorCode::NotFound));
  EXPECT_EQ(walk_seeded(tree, volume("/none")).outcome.error().code, ErrorCode::NotFound);
}

TEST(Walker, RefusesRootsThatAreNoPlainPaths) {
  MemoryTree tree;
  for (const std::string& root : {std::string("relative"), std::string(""), std::string("/a/../b"),
                                  std::string("/a\0b", 4), "/" + std::string(256, 'n')}) {
    EXPECT_EQ(walk_seeded(tree, roots({root})).outcome.error().code, ErrorCode::Invalid) << root;
  }
}

TEST(Walker, LeavesOutWhatTheFilterExcludes) {
  MemoryTree tree;
  tree.write("/src/a.c", "x");
  tree.write("/src/a.o", "x");
  tree.write("/src/node_modules/deep/file", "x");
  tree.write("/src/large", std::string(2000, 'x'));
  tree.write("/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55 and more");
  tree.write("/cache/file", "x");
  tree.write("/fake/CACHEDIR.TAG", "Signature: something else entirely, but long enough for it");
  tree.write("/fake/file", "x");
  tree.write("/skip/.nobackup", "");
  tree.write("/skip/dir/file", "x");
  tree.write("/both/.nobackup", "");
  tree.write("/both/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55");
  FilterOptions filter;
  filter.excludes = {"*.o", "node_modules"};
  filter.exclude_if_present = {cache_directory_tag(), TagFile{".nobackup", ""}};
  filter.exclude_larger_than_bytes = 1999;
  WalkOptions options = volume();
  options.filter = filter_of(filter);
  bool opened_excluded = false;
  tree.set_hook([&](FsCall, const std::string& path) -> Result<> {
    opened_excluded = opened_excluded || path.find("node_modules") != std::string::npos;
    return {};
  });
  const auto walked = walk_seeded(tree, options);
  EXPECT_THAT(walked.paths, ElementsAre("", "both", "cache", "fake", "skip", "src", "cache/CACHEDIR.TAG",
                                        "fake/CACHEDIR.TAG", "fake/file", "skip/.nobackup", "src/a.c"));
  EXPECT_EQ(walked.excluded, 7u);
  EXPECT_FALSE(opened_excluded) << "what is excluded is not even looked at";
}

TEST(Walker, PatternsSeePathsFromTheRootOfTheTree) {
  MemoryTree tree;
  tree.write("/vol/a/x", "x");
  tree.write("/vol/b/a/x", "x");
  FilterOptions filter;
  filter.excludes = {"/a"};
  WalkOptions options = volume("/vol");
  options.filter = filter_of(filter);
  EXPECT_THAT(walk_seeded(tree, options).paths, ElementsAre("", "b", "b/a", "b/a/x"));
  filter.excludes = {"/vol/a"};
  options = roots({"/vol"});
  options.filter = filter_of(filter);
  EXPECT_THAT(walk_seeded(tree, options).paths, ElementsAre("", "vol", "vol/b", "vol/b/a", "vol/b/a/x"));
}

TEST(Walker, StopsWhenAsked) {
  MemoryTree tree;
  fill(tree, 1, 500);
  SeededExecutor executor(1);
  MemoryScratch scratch;
  base::StopFlag stop;
  Result<> outcome;
  executor.run([&] {
    auto walker = *start_walk(executor, tree.source(), scratch, stop, volume());
    EXPECT_TRUE(walker->next());
    stop.request();
    for (;;) {
      auto batch = walker->next();
      if (!batch) {
        outcome = Failure(batch.error());
        break;
      }
      if (!*batch) {
        break;
      }
    }
  });
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::Cancelled);
}

TEST(Walker, AFullScratchEndsTheWalk) {
  for (const std::uint64_t room : {0u, 3000u, 60000u}) {
    MemoryTree tree;
    for (int i = 0; i < 20000; ++i) {
      tree.make_special("/big/" + std::to_string(i), FileType::Fifo);
    }
    WalkOptions options = volume();
    options.memory_bytes = 64 << 10;
    CountingScratch scratch(room);
    SeededExecutor executor(room + 1);
    Walked walked;
    executor.run([&] { walked = walk(executor, tree.source(), scratch, options); });
    ASSERT_FALSE(walked.outcome);
    EXPECT_EQ(walked.outcome.error().code, ErrorCode::Exhausted);
  }
}

TEST(Walker, CanBeLeftInTheMiddle) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    MemoryTree tree;
    fill(tree, seed, 500);
    SeededExecutor executor(seed);
    MemoryScratch scratch;
    const base::StopFlag stop;
    executor.run([&] {
      auto walker = *start_walk(executor, tree.source(), scratch, stop, volume());
      for (std::uint64_t i = 0; i < seed * 3; ++i) {
        ASSERT_TRUE(walker->next());
      }
    });
    EXPECT_EQ(tree.open_handles(), 0u);
  }
}

TEST(Walker, BatchesReadThroughTheirHandles) {
  TempDir temp;
  temp.write("dir/file", "content");
  LinuxSourceFs source;
  base::ThreadExecutor executor(2);
  MemoryScratch scratch;
  const base::StopFlag stop;
  auto walker = *start_walk(executor, source, scratch, stop, volume(temp.path()));
  auto root = *walker->next();
  ASSERT_TRUE(root->self);
  EXPECT_EQ(root->self->stat_self()->inode, root->entries[0].stat.inode);
  auto top = *walker->next();
  auto dir = *walker->next();
  EXPECT_EQ(dir->directory, "dir");
  walker.reset();
  Bytes bytes(7);
  EXPECT_EQ(*(*dir->dir->open_file("file"))->read_at(0, bytes), 7u) << "handles outlive the walk";
}

TEST(Walker, LinksOnTheWayToARootAreFollowedAndTheRootIsNot) {
  TempDir temp;
  temp.write("real/inner/file", "x");
  temp.symlink("real", "link");
  temp.symlink("inner", "real/last");
  const std::string base = temp.path().substr(1);
  LinuxSourceFs source;
  base::ThreadExecutor executor(2);
  MemoryScratch scratch;
  const auto inside =
      walk(executor, source, scratch, roots({temp.path("link/inner"), temp.path("link/last")}));
  ASSERT_TRUE(inside.outcome);
  EXPECT_THAT(inside.problems, IsEmpty());
  const std::vector<std::string> tail(inside.paths.end() - 4, inside.paths.end());
  EXPECT_THAT(tail, ElementsAre(base + "/link", base + "/link/inner", base + "/link/last",
                                base + "/link/inner/file"));
}

TEST(Walker, WalksPathsLongerThanTheKernelTakes) {
  TempDir temp;
  const std::string name(200, 'n');
  auto dir = *restore::LinuxTargetFs().open_root(temp.path());
  for (int i = 0; i < 50; ++i) {
    dir = *dir->make_dir(name);
  }
  ASSERT_TRUE(dir->open_file("file", restore::Access::WriteOrMake));
  LinuxSourceFs source;
  base::ThreadExecutor executor(2);
  MemoryScratch scratch;
  WalkOptions options = volume(temp.path());
  options.open_dirs_max = 8;
  const auto walked = walk(executor, source, scratch, options);
  EXPECT_THAT(walked.problems, IsEmpty());
  ASSERT_EQ(walked.paths.size(), 52u);
  EXPECT_THAT(walked.paths.back(), testing::EndsWith(name + "/file"));
}

TEST(Walker, WalksARealTreeAsItIs) {
  TempDir temp("/dev/shm");
  std::vector<std::string> paths{""};
  for (int i = 0; i < 40; ++i) {
    const std::string dir = "d" + std::to_string(i);
    temp.make_dirs(dir);
    paths.push_back(dir);
    for (int j = 0; j < i * 10; ++j) {
      paths.push_back(dir + "/f" + std::to_string(j));
      ASSERT_EQ(::mknod(temp.path(paths.back()).c_str(), S_IFREG | 0600, 0), 0);
    }
  }
  LinuxSourceFs source;
  base::ThreadExecutor executor(3);
  MemoryScratch scratch;
  WalkOptions options = volume(temp.path());
  options.crossing = Crossing::SameMount;
  options.batch_entries_max = 64;
  const auto walked = walk(executor, source, scratch, options);
  ASSERT_TRUE(walked.outcome);
  EXPECT_EQ(walked.paths, in_order(paths));
}

}  // namespace
}  // namespace firn::scan
