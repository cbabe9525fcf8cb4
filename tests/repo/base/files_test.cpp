// Files of firn's own, scratch space, and the limits of the cgroup.
#include "repo/base/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "repo/base/cgroup_limits.h"
#include "repo/base/scratch.h"
#include "tests/support/temp_dir.h"

namespace firn::base {
namespace {

using test::TempDir;

void write_text(const std::string& path, std::string_view text) {
  std::filesystem::create_directories(parent_path(path));
  std::ofstream(path) << text;
}

TEST(ReadFile, GivesTheWholeFileUpToItsBound) {
  const TempDir directory;
  for (const std::size_t size : {0U, 1U, 4095U, 4096U, 70'000U, 200'000U}) {
    SCOPED_TRACE(size);
    const std::string path = directory.path() + "/file";
    write_text(path, std::string(size, 'x'));
    const auto whole = read_file(path, size);
    ASSERT_TRUE(whole.has_value());
    EXPECT_EQ(as_text(*whole), std::string(size, 'x'));
    if (size > 0) {
      EXPECT_EQ(read_file(path, size - 1).error().code, ErrorCode::Corrupt);
    }
  }
}

TEST(ReadFile, ReadsFilesThatTellNoSize) {
  const auto bytes = read_file("/proc/self/status", 1 << 20);
  ASSERT_TRUE(bytes.has_value());
  EXPECT_NE(as_text(*bytes).find("Pid:"), std::string_view::npos);
  EXPECT_EQ(read_file("/proc/self/status", 10).error().code, ErrorCode::Corrupt);
}

TEST(ReadFile, NamesWhatIsMissing) {
  const auto bytes = read_file("/nowhere/at-all", 10);
  ASSERT_FALSE(bytes.has_value());
  EXPECT_EQ(bytes.error().code, ErrorCode::NotFound);
  EXPECT_NE(bytes.error().message.find("/nowhere/at-all"), std::string::npos);
}

TEST(ReplaceFile, PutsTheNewContentInPlaceAndLeavesNothingElse) {
  const TempDir directory;
  const std::string path = directory.path() + "/state";
  ASSERT_TRUE(replace_file(path, as_bytes("old")).has_value());
  ASSERT_TRUE(replace_file(path, as_bytes("new"), 0640).has_value());
  EXPECT_EQ(as_text(*read_file(path, 10)), "new");
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640U);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
}

TEST(ReplaceFile, LeavesTheOldContentWhenItFails) {
  const TempDir directory;
  const std::string path = directory.path() + "/state";
  std::filesystem::create_directories(path + "/not-empty");
  const auto replaced = replace_file(path, as_bytes("new"));
  ASSERT_FALSE(replaced.has_value());
  EXPECT_TRUE(std::filesystem::is_directory(path));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
}

TEST(MakeDirectories, MakesWhatIsMissingAndTakesWhatIsThere) {
  const TempDir directory;
  const std::string path = directory.path() + "/a/b/c";
  ASSERT_TRUE(make_directories(path).has_value());
  ASSERT_TRUE(make_directories(path).has_value());
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  write_text(directory.path() + "/file", "x");
  EXPECT_FALSE(make_directories(directory.path() + "/file").has_value());
  EXPECT_FALSE(make_directories(directory.path() + "/file/below").has_value());
}

TEST(ParentPath, IsTheDirectoryPart) {
  const std::pair<const char*, const char*> cases[] = {{"/a/b", "/a"}, {"/a", "/"},  {"a", "."},
                                                       {"a/b", "a"},   {"/a/", "/"}, {"/a//b", "/a"},
                                                       {"//a", "/"},   {"/", "/"}};
  for (const auto& [path, parent] : cases) {
    EXPECT_EQ(parent_path(path), parent) << path;
  }
}

TEST(ReadExactlyAt, SaysWhenTheFileEnds) {
  const TempDir directory;
  const std::string path = directory.path() + "/file";
  write_text(path, "0123456789");
  const auto file = open_at(AT_FDCWD, path, O_RDONLY);
  ASSERT_TRUE(file.has_value());
  Bytes four(4);
  ASSERT_TRUE(read_exactly_at(file->get(), 6, four, path).has_value());
  EXPECT_EQ(as_text(four), "6789");
  EXPECT_EQ(read_exactly_at(file->get(), 7, four, path).error().code, ErrorCode::Corrupt);
}

TEST(FileDescriptor, ClosesWhatItOwnsOnce) {
  const auto is_open = [](int fd) { return ::fcntl(fd, F_GETFD) >= 0; };
  FileDescriptor first = *open_at(AT_FDCWD, "/dev/null", O_RDONLY);
  const int number = first.get();
  FileDescriptor second = std::move(first);
  first.reset();
  EXPECT_TRUE(is_open(number));
  second = FileDescriptor();
  EXPECT_FALSE(is_open(number));
}

class BothScratches : public testing::TestWithParam<bool> {
 protected:
  TempDir directory_;
  std::unique_ptr<Scratch> scratch_ = GetParam()
                                          ? std::unique_ptr<Scratch>(new DirectoryScratch(directory_.path()))
                                          : std::unique_ptr<Scratch>(new MemoryScratch());
};

INSTANTIATE_TEST_SUITE_P(Scratch, BothScratches, testing::Bool(),
                         [](const auto& instance) { return instance.param ? "Directory" : "Memory"; });

TEST_P(BothScratches, ReadBackWhatWasAppended) {
  const auto file = scratch_->create();
  ASSERT_TRUE(file.has_value());
  ASSERT_TRUE((*file)->append(as_bytes("hello ")).has_value());
  ASSERT_TRUE((*file)->append(as_bytes("world")).has_value());
  EXPECT_EQ((*file)->size(), 11U);
  Bytes bytes(5);
  ASSERT_TRUE((*file)->read_at(6, bytes).has_value());
  EXPECT_EQ(as_text(bytes), "world");
}

TEST_P(BothScratches, RefuseToReadBeyondTheEnd) {
  const auto file = scratch_->create();
  ASSERT_TRUE((*file)->append(as_bytes("1234")).has_value());
  Bytes bytes(3);
  for (const std::uint64_t offset : {2ULL, 4ULL, 100ULL, ~0ULL >> 1}) {
    EXPECT_EQ((*file)->read_at(offset, bytes).error().code, ErrorCode::Corrupt) << offset;
  }
}

TEST(DirectoryScratch, LeavesNoName) {
  const TempDir directory;
  const auto file = DirectoryScratch(directory.path()).create();
  ASSERT_TRUE(file.has_value());
  ASSERT_TRUE((*file)->append(as_bytes("secret")).has_value());
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(DirectoryScratch, NamesADirectoryThatIsNotThere) {
  const auto file = DirectoryScratch("/nowhere/at-all").create();
  ASSERT_FALSE(file.has_value());
  EXPECT_NE(file.error().message.find("/nowhere/at-all"), std::string::npos);
}

/// A pretended /proc and /sys: cgroup and mountinfo files, and control files below the directory.
class Cgroups : public testing::Test {
 protected:
  CgroupLimits limits(std::string_view cgroup, std::string_view mountinfo) {
    write_text(directory_.path() + "/cgroup", cgroup);
    write_text(directory_.path() + "/mountinfo", mountinfo);
    return own_cgroup_limits({directory_.path() + "/cgroup", directory_.path() + "/mountinfo"});
  }
  void control(const std::string& file, std::string_view text) { write_text(directory_.path() + file, text); }

  TempDir directory_;
};

TEST_F(Cgroups, V2GivesTheSmallestLimitOfAllLevels) {
  control("/sys/pod/memory.max", "1000000\n");
  control("/sys/pod/cpu.max", "150000 100000\n");
  control("/sys/pod/container/memory.max", "max\n");
  control("/sys/pod/container/memory.high", "2000000\n");
  control("/sys/pod/container/cpu.max", "max 100000\n");
  const auto found = limits("0::/pod/container\n", "30 23 0:26 / " + directory_.path() +
                                                       "/sys rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(found.memory_bytes, 1000000U);
  EXPECT_EQ(found.cpus, 1.5);
}

TEST_F(Cgroups, V2WithoutLimitsHasNone) {
  control("/sys/memory.max", "max\n");
  control("/sys/cpu.max", "max 100000\n");
  const auto found = limits("0::/\n", "30 23 0:26 / " + directory_.path() + "/sys rw - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(found.memory_bytes, std::nullopt);
  EXPECT_EQ(found.cpus, std::nullopt);
}

TEST_F(Cgroups, V1ReadsEachHierarchy) {
  control("/memory/docker/x/memory.limit_in_bytes", "134217728\n");
  control("/memory/docker/memory.limit_in_bytes", "9223372036854771712\n");
  control("/cpu/docker/x/cpu.cfs_quota_us", "-1\n");
  control("/cpu/docker/x/cpu.cfs_period_us", "100000\n");
  control("/cpu/docker/cpu.cfs_quota_us", "50000\n");
  control("/cpu/docker/cpu.cfs_period_us", "100000\n");
  const auto found =
      limits("5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/\n",
             "31 30 0:27 / " + directory_.path() + "/memory rw shared:9 - cgroup cgroup rw,memory\n" +
                 "32 30 0:28 / " + directory_.path() + "/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
  EXPECT_EQ(found.memory_bytes, 134217728U);
  EXPECT_EQ(found.cpus, 0.5);
}

TEST_F(Cgroups, AContainersMountStandsForTheCgroupThatItsRootNames) {
  control("/sys/memory.limit_in_bytes", "4096\n");
  const auto found = limits("5:memory:/docker/abc\n", "31 30 0:27 /docker/abc " + directory_.path() +
                                                          "/sys rw - cgroup cgroup rw,memory\n");
  EXPECT_EQ(found.memory_bytes, 4096U);
}

TEST_F(Cgroups, WhatCannotBeReadCountsAsNoLimit) {
  for (const std::string_view cgroup : {"", "garbage", "0::", "0::/x\n"}) {
    for (const std::string_view mountinfo :
         {"", "1 2 3\n", " - cgroup2\n", "30 23 0:26 / /nowhere rw - cgroup2 c rw\n"}) {
      const auto found = limits(cgroup, mountinfo);
      EXPECT_EQ(found.memory_bytes, std::nullopt);
      EXPECT_EQ(found.cpus, std::nullopt);
    }
  }
}

}  // namespace
}  // namespace firn::base
