// The Linux source: what it reads of real files, on the file system of $TMPDIR.
#include "agent/scan/linux_source_fs.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "agent/scan/linux_calls.h"
#include "tests/support/temp_dir.h"

namespace firn::scan {
namespace {

using test::TempDir;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

std::unique_ptr<SourceDir> open(const TempDir& temp) {
  LinuxSourceFs source;
  auto root = source.open_root(temp.path());
  EXPECT_TRUE(root) << root.error().message;
  return std::move(root).value();
}

std::vector<std::string> names_of(SourceDir& dir) {
  std::vector<std::string> names;
  const auto listed = dir.list([&](std::span<const ListedName> batch) -> Result<> {
    for (const ListedName& entry : batch) {
      names.emplace_back(entry.name);
    }
    return {};
  });
  EXPECT_TRUE(listed) << listed.error().message;
  return names;
}

std::string text_of(const Bytes& bytes) { return std::string(as_text(bytes)); }

TEST(LinuxSourceFs, ListsEveryNameButDots) {
  TempDir temp;
  temp.write("file", "x");
  temp.make_dirs("dir");
  temp.symlink("nowhere", "link");
  temp.write(std::string("raw\xff\n name"), "");
  const auto dir = open(temp);
  EXPECT_THAT(names_of(*dir), UnorderedElementsAre("file", "dir", "link", "raw\xff\n name"));
  EXPECT_EQ(names_of(*dir).size(), 4u) << "a second listing starts over";
}

TEST(LinuxSourceFs, ListsADirectoryOfManyNames) {
  TempDir temp("/dev/shm");
  std::vector<std::string> expected;
  for (int i = 0; i < 20000; ++i) {
    expected.push_back("name-" + std::to_string(i));
    ASSERT_EQ(::mknod(temp.path(expected.back()).c_str(), S_IFREG | 0600, 0), 0);
  }
  auto names = names_of(*open(temp));
  std::sort(names.begin(), names.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(names, expected);
}

TEST(LinuxSourceFs, AnErrorOfTheVisitorEndsTheListing) {
  TempDir temp;
  temp.write("file", "");
  const auto listed = open(temp)->list(
      [](std::span<const ListedName>) -> Result<> { return fail(ErrorCode::Cancelled, "enough"); });
  ASSERT_FALSE(listed);
  EXPECT_EQ(listed.error().code, ErrorCode::Cancelled);
}

TEST(LinuxSourceFs, StatTellsAllOfAFile) {
  TempDir temp;
  temp.write("file", "12345");
  const std::string path = temp.path("file");
  ASSERT_EQ(::link(path.c_str(), temp.path("twin").c_str()), 0);
  ASSERT_EQ(::chmod(path.c_str(), 04751), 0);
  const struct timespec times[2] = {{-5, 7}, {4102444800, 123456789}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  struct stat expected;
  ASSERT_EQ(::stat(path.c_str(), &expected), 0);

  const auto stat = open(temp)->stat("file");
  ASSERT_TRUE(stat) << stat.error().message;
  EXPECT_EQ(stat->type, FileType::Regular);
  EXPECT_EQ(stat->mode, 04751);
  EXPECT_EQ(stat->size_bytes, 5u);
  EXPECT_EQ(stat->nlink, 2u);
  EXPECT_EQ(stat->inode, expected.st_ino);
  EXPECT_EQ(stat->device, std::uint64_t{major(expected.st_dev)} << 32 | minor(expected.st_dev));
  EXPECT_EQ(stat->mtime, (Timestamp{4102444800, 123456789}));
  EXPECT_EQ(stat->atime, (Timestamp{-5, 7}));
  EXPECT_EQ(stat->ctime,
            (Timestamp{expected.st_ctim.tv_sec, static_cast<std::uint32_t>(expected.st_ctim.tv_nsec)}));
}

TEST(LinuxSourceFs, StatTellsEveryTypeAndFollowsNoLink) {
  TempDir temp;
  temp.make_dirs("dir");
  temp.symlink("dir", "link");
  ASSERT_EQ(::mkfifo(temp.path("fifo").c_str(), 0600), 0);
  ASSERT_EQ(::mknod(temp.path("socket").c_str(), S_IFSOCK | 0600, 0), 0);
  const auto dir = open(temp);
  EXPECT_EQ(dir->stat("dir")->type, FileType::Directory);
  EXPECT_EQ(dir->stat("link")->type, FileType::Symlink);
  EXPECT_EQ(dir->stat("fifo")->type, FileType::Fifo);
  EXPECT_EQ(dir->stat("socket")->type, FileType::Socket);
  if (::mknod(temp.path("device").c_str(), S_IFCHR | 0600, makedev(1, 300)) == 0) {
    EXPECT_EQ(dir->stat("device")->type, FileType::Character);
    EXPECT_EQ(dir->stat("device")->rdev, std::uint64_t{1} << 32 | 300);
  }
}

TEST(LinuxSourceFs, SaysNotFoundForWhatVanished) {
  TempDir temp;
  const auto dir = open(temp);
  EXPECT_EQ(dir->stat("gone").error().code, ErrorCode::NotFound);
  EXPECT_EQ(dir->open_file("gone").error().code, ErrorCode::NotFound);
  EXPECT_EQ(dir->open_dir("gone").error().code, ErrorCode::NotFound);
  EXPECT_EQ(dir->read_link("gone").error().code, ErrorCode::NotFound);
  EXPECT_EQ(dir->xattrs("gone", FileType::Regular).error().code, ErrorCode::NotFound);
}

TEST(LinuxSourceFs, RefusesNamesThatLeaveTheDirectory) {
  TempDir temp;
  temp.write("a/b", "");
  const auto dir = open(temp);
  for (const std::string name : {"..", ".", "a/b", "/etc", "", "a/"}) {
    SCOPED_TRACE(name);
    EXPECT_EQ(dir->open_dir(name).error().code, ErrorCode::Invalid);
    EXPECT_EQ(dir->open_file(name).error().code, ErrorCode::Invalid);
    EXPECT_EQ(dir->stat(name).error().code, ErrorCode::Invalid);
    EXPECT_EQ(dir->read_link(name).error().code, ErrorCode::Invalid);
  }
}

TEST(LinuxSourceFs, OpensNothingThroughALink) {
  TempDir temp;
  temp.write("dir/file", "secret");
  temp.symlink("dir", "to-dir");
  temp.symlink("dir/file", "to-file");
  const auto dir = open(temp);
  EXPECT_FALSE(dir->open_dir("to-dir"));
  EXPECT_EQ(dir->open_file("to-file").error().code, ErrorCode::Changed);
}

TEST(LinuxSourceFs, OpeningAFifoDoesNotBlock) {
  TempDir temp;
  ASSERT_EQ(::mkfifo(temp.path("fifo").c_str(), 0600), 0);
  const auto file = open(temp)->open_file("fifo");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ((*file)->stat()->type, FileType::Fifo);
}

TEST(LinuxSourceFs, ReadsLinkTargetsOfAnyLengthAndBytes) {
  TempDir temp;
  const std::string target = std::string(3000, 'x') + "\xff\n";
  temp.symlink(target, "link");
  EXPECT_EQ(*open(temp)->read_link("link"), target);
}

TEST(LinuxSourceFs, ReadingLeavesTheAccessTimeAlone) {
  TempDir temp;
  temp.write("file", "content");
  const struct timespec times[2] = {{1000, 0}, {2000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, temp.path("file").c_str(), times, 0), 0);
  const auto file = open(temp)->open_file("file");
  Bytes bytes(100);
  EXPECT_EQ(*(*file)->read_at(3, bytes), 4u);
  EXPECT_EQ(*(*file)->read_at(7, bytes), 0u);
  EXPECT_EQ((*file)->stat()->atime, (Timestamp{1000, 0}));
}

TEST(LinuxSourceFs, XattrsComeSortedWithEmptyAndLargeValues) {
  TempDir temp;
  temp.write("file", "");
  const std::string path = temp.path("file");
  const std::string large(2000, 'v');
  if (::setxattr(path.c_str(), "user.b", large.data(), large.size(), 0) != 0) {
    GTEST_SKIP() << "no user attributes here";
  }
  ASSERT_EQ(::setxattr(path.c_str(), "user.a", "", 0, 0), 0);
  const auto dir = open(temp);
  const auto file = dir->open_file("file");
  for (const auto& xattrs : {dir->xattrs("file", FileType::Regular), (*file)->xattrs()}) {
    ASSERT_TRUE(xattrs) << xattrs.error().message;
    ASSERT_EQ(xattrs->size(), 2u);
    EXPECT_EQ((*xattrs)[0].name, "user.a");
    EXPECT_TRUE((*xattrs)[0].value.empty());
    EXPECT_EQ((*xattrs)[1].name, "user.b");
    EXPECT_EQ(text_of((*xattrs)[1].value), large);
  }
}

TEST(LinuxSourceFs, ManyXattrsDoNotOverflowTheList) {
  TempDir temp("/dev/shm");
  temp.write("file", "");
  for (int i = 0; i < 100; ++i) {
    const std::string name = "trusted.a-rather-long-name-of-an-attribute-" + std::to_string(i);
    if (::setxattr(temp.path("file").c_str(), name.c_str(), "v", 1, 0) != 0) {
      GTEST_SKIP() << "no trusted attributes here";
    }
  }
  EXPECT_EQ(open(temp)->xattrs("file", FileType::Regular)->size(), 100u);
}

TEST(LinuxSourceFs, XattrsOfALinkAreItsOwn) {
  TempDir temp;
  temp.write("file", "");
  temp.symlink("file", "link");
  if (::lsetxattr(temp.path("link").c_str(), "trusted.of-link", "1", 1, 0) != 0) {
    GTEST_SKIP() << "no trusted attributes here";
  }
  ASSERT_EQ(::setxattr(temp.path("file").c_str(), "trusted.of-file", "2", 1, 0), 0);
  const auto xattrs = open(temp)->xattrs("link", FileType::Symlink);
  ASSERT_TRUE(xattrs);
  ASSERT_EQ(xattrs->size(), 1u);
  EXPECT_EQ((*xattrs)[0].name, "trusted.of-link");
}

TEST(LinuxSourceFs, XattrsOfTheDirectoryItselfHaveTheEmptyName) {
  TempDir temp;
  if (::setxattr(temp.path().c_str(), "user.here", "1", 1, 0) != 0) {
    GTEST_SKIP() << "no user attributes here";
  }
  const auto xattrs = open(temp)->xattrs("", FileType::Directory);
  ASSERT_TRUE(xattrs);
  ASSERT_EQ(xattrs->size(), 1u);
}

TEST(LinuxSourceFs, InodeFlagsAreRead) {
  TempDir temp;
  temp.write("file", "");
  const base::FileDescriptor fd(::open(temp.path("file").c_str(), O_RDONLY | O_CLOEXEC));
  int flags = 0;
  if (::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) {
    GTEST_SKIP() << "no inode flags here";
  }
  flags |= FS_NODUMP_FL;
  ASSERT_EQ(::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags), 0);
  const auto dir = open(temp);
  EXPECT_NE(dir->attributes("file", FileType::Regular)->inode_flags & FS_NODUMP_FL, 0u);
  EXPECT_EQ(dir->attributes("", FileType::Directory)->inode_flags & FS_NODUMP_FL, 0u);
  EXPECT_EQ(dir->attributes("anything", FileType::Fifo)->inode_flags, 0u);
}

TEST(LinuxSourceFs, ExtentsOfASparseFileLeaveTheHolesOut) {
  constexpr std::uint64_t kMiB = 1u << 20;
  TempDir temp;
  {
    const base::FileDescriptor fd(::open(temp.path("file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const std::string data(64 << 10, 'd');
    ASSERT_EQ(::pwrite(fd.get(), data.data(), data.size(), 1 * kMiB), static_cast<ssize_t>(data.size()));
    ASSERT_EQ(::pwrite(fd.get(), data.data(), data.size(), 5 * kMiB), static_cast<ssize_t>(data.size()));
    ASSERT_EQ(::ftruncate(fd.get(), 9 * kMiB), 0);
  }
  const auto file = open(temp)->open_file("file");
  std::vector<std::pair<std::uint64_t, std::uint64_t>> extents;
  std::uint64_t at = 0;
  for (;;) {
    const auto extent = (*file)->next_data(at);
    ASSERT_TRUE(extent) << extent.error().message;
    if (!*extent) {
      break;
    }
    extents.emplace_back((*extent)->offset, (*extent)->length);
    at = (*extent)->offset + (*extent)->length;
  }
  EXPECT_THAT(extents, ElementsAre(std::pair(1 * kMiB, 64u << 10), std::pair(5 * kMiB, 64u << 10)));
  const auto clipped = (*file)->next_data(1 * kMiB + 4096);
  EXPECT_EQ((*clipped)->offset, 1 * kMiB + 4096);
}

TEST(LinuxSourceFs, ReadsNothingWhereItMayNot) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root to give rights up";
  }
  TempDir temp;
  temp.write("file", "secret");
  temp.write("closed/inner", "");
  ASSERT_EQ(::chmod(temp.path("file").c_str(), 0), 0);
  ASSERT_EQ(::chmod(temp.path("closed").c_str(), 0), 0);
  ASSERT_EQ(::chmod(temp.path().c_str(), 0755), 0);
  const auto dir = open(temp);
  ::setfsuid(65534);
  const auto file = dir->open_file("file");
  const auto closed = dir->open_dir("closed");
  const auto attributes = dir->attributes("file", FileType::Regular);
  ::setfsuid(0);
  EXPECT_EQ(file.error().code, ErrorCode::Denied);
  EXPECT_EQ(closed.error().code, ErrorCode::Denied);
  EXPECT_TRUE(attributes) << "flags that cannot be asked for are no error";
}

TEST(LinuxSourceFs, ARootThatMayOnlyBePassedThroughIsNotListed) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root to give rights up";
  }
  TempDir temp;
  temp.write("file", "open to all");
  ASSERT_EQ(::chmod(temp.path().c_str(), 0711), 0);
  ASSERT_EQ(::chmod(temp.path("file").c_str(), 0644), 0);
  LinuxSourceFs source;
  ::setfsuid(65534);
  const auto dir = source.open_root(temp.path());
  const auto listed = dir ? (*dir)->list([](std::span<const ListedName>) { return Result<>{}; }) : Result<>{};
  const auto self = dir ? (*dir)->stat_self() : fail(ErrorCode::Invalid, "not open");
  const auto xattrs = dir ? (*dir)->xattrs("", FileType::Directory) : fail(ErrorCode::Invalid, "not open");
  const auto file = dir ? (*dir)->open_file("file") : fail(ErrorCode::Invalid, "not open");
  ::setfsuid(0);
  ASSERT_TRUE(dir) << dir.error().message;
  ASSERT_FALSE(listed);
  EXPECT_EQ(listed.error().code, ErrorCode::Denied);
  ASSERT_TRUE(self) << self.error().message;
  EXPECT_EQ(self->mode, 0711);
  EXPECT_TRUE(xattrs) << xattrs.error().message;
  EXPECT_TRUE(file) << file.error().message;
}

TEST(LinuxSourceFs, OthersFilesAreReadWithoutTheRightToHideIt) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root to give rights up";
  }
  TempDir temp;
  temp.write("file", "open to all");
  ASSERT_EQ(::chmod(temp.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(temp.path("file").c_str(), 0644), 0);
  const auto dir = open(temp);
  ::setfsuid(65534);  // O_NOATIME is then refused with EPERM
  const auto file = dir->open_file("file");
  ::setfsuid(0);
  EXPECT_TRUE(file) << file.error().message;
}

TEST(LinuxSourceFs, NamesUsersAndGroups) {
  LinuxSourceFs source;
  EXPECT_EQ(source.user_name(0), "root");
  EXPECT_EQ(source.group_name(0), "root");
  EXPECT_EQ(source.user_name(3999999999), "");
}

TEST(LinuxSourceFs, OpensARootWhosePathIsLongerThanTheKernelTakes) {
  TempDir temp;
  const std::string name(200, 'n');
  base::FileDescriptor at(::open(temp.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::string path = temp.path();
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), name.c_str(), 0700), 0);
    at = base::FileDescriptor(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    path += "/" + name;
  }
  LinuxSourceFs source;
  const auto root = source.open_root(path);
  ASSERT_TRUE(root) << root.error().message;
  struct stat expected;
  ASSERT_EQ(::fstat(at.get(), &expected), 0);
  EXPECT_EQ((*root)->stat_self()->inode, expected.st_ino);
}

TEST(Printable, EscapesWhatCouldForgeALine) {
  EXPECT_EQ(printable("a\nb\x1b[2J\\"), "a\\x0ab\\x1b[2J\\x5c");
  EXPECT_EQ(printable("caf\xc3\xa9"), "caf\xc3\xa9");
}

}  // namespace
}  // namespace firn::scan
