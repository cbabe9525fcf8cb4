// The Linux target: metadata that stays set, and a target directory that tries to lead outside.
#include "agent/restore/linux_target_fs.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "agent/scan/linux_calls.h"
#include "repo/base/files.h"
#include "tests/support/temp_dir.h"

namespace firn::restore {
namespace {

using base::FileDescriptor;
using format::FileType;
using format::Timestamp;
using test::TempDir;
using testing::ElementsAre;
using testing::IsEmpty;

std::unique_ptr<TargetDir> open(const std::string& path) {
  LinuxTargetFs target;
  auto root = target.open_root(path);
  EXPECT_TRUE(root) << root.error().message;
  return std::move(root).value();
}

Metadata plain(FileType type, std::uint16_t mode = 0644) {
  Metadata metadata;
  metadata.type = type;
  metadata.mode = mode;
  metadata.uid = ::geteuid();
  metadata.gid = ::getegid();
  metadata.mtime = {1234567890, 123456789};
  return metadata;
}

Bytes bytes_of(std::string_view text) { return to_bytes(as_bytes(text)); }

Bytes capability_v2() {
  // Version 2, effective; permitted CAP_NET_BIND_SERVICE.
  const unsigned char raw[20] = {1, 0, 0, 2, 0, 4};
  return to_bytes(std::as_bytes(std::span(raw)));
}

// user::rw-, user:1000:r--, group::r--, mask::r--, other::r-- as the kernel takes it.
Bytes access_acl() {
  Bytes acl = to_bytes(std::as_bytes(std::span("\x02\x00\x00\x00", 4)));
  const auto add = [&](std::uint16_t tag, std::uint16_t rights, std::uint32_t id) {
    append(acl, std::as_bytes(std::span(&tag, 1)));
    append(acl, std::as_bytes(std::span(&rights, 1)));
    append(acl, std::as_bytes(std::span(&id, 1)));
  };
  add(1, 6, ~0u);
  add(2, 4, 1000);
  add(4, 4, ~0u);
  add(16, 4, ~0u);
  add(32, 4, ~0u);
  return acl;
}

TEST(LinuxTargetFs, OpenRootMakesTheDirectoriesThatLack) {
  TempDir temp;
  open(temp.path("a/b//c/"));
  struct stat now;
  EXPECT_EQ(::stat(temp.path("a/b/c").c_str(), &now), 0);
  temp.write("file", "");
  EXPECT_FALSE(LinuxTargetFs().open_root(temp.path("file/x")));
  EXPECT_FALSE(LinuxTargetFs().open_root(""));
}

TEST(LinuxTargetFs, WritesOutOfOrderAndReadsBack) {
  TempDir temp;
  const auto root = open(temp.path());
  auto file = root->open_file("file", Access::WriteOrMake);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE((*file)->allocate(11, false));
  ASSERT_TRUE((*file)->write_at(6, as_bytes("world")));
  ASSERT_TRUE((*file)->write_at(0, as_bytes("hello ")));
  EXPECT_EQ(temp.read("file"), "hello world");
  Bytes back(5);
  EXPECT_EQ(*(*file)->read_at(6, back), 5u);
  EXPECT_EQ(as_text(back), "world");
  ASSERT_TRUE((*file)->allocate(5, true));
  EXPECT_EQ(temp.read("file"), "hello");
}

TEST(LinuxTargetFs, OpensWhatIsThereInPlace) {
  TempDir temp;
  temp.write("file", "old content");
  const auto root = open(temp.path());
  auto file = root->open_file("file", Access::WriteOrMake);
  ASSERT_TRUE((*file)->write_at(0, as_bytes("new")));
  EXPECT_EQ(temp.read("file"), "new content");
  EXPECT_EQ(root->open_file("none", Access::Write).error().code, ErrorCode::NotFound);
  EXPECT_EQ(root->open_file("none", Access::Read).error().code, ErrorCode::NotFound);
}

TEST(LinuxTargetFs, SparseFilesTakeNoBlocksAndReservedOnesDo) {
  TempDir temp;
  const auto root = open(temp.path());
  auto sparse = root->open_file("sparse", Access::WriteOrMake);
  ASSERT_TRUE((*sparse)->allocate(std::uint64_t{5} << 40, true)) << "5 TiB are only a number";
  EXPECT_EQ((*sparse)->stat()->size_bytes, std::uint64_t{5} << 40);
  EXPECT_EQ((*sparse)->stat()->blocks_bytes, 0u);
  auto reserved = root->open_file("reserved", Access::WriteOrMake);
  ASSERT_TRUE((*reserved)->allocate(1 << 20, false));
  EXPECT_GE((*reserved)->stat()->blocks_bytes, 1u << 20);
}

TEST(LinuxTargetFs, PunchMakesAHoleWithinTheFile) {
  TempDir temp;
  const auto root = open(temp.path());
  auto file = root->open_file("file", Access::WriteOrMake);
  const std::string content(256 << 10, 'x');
  ASSERT_TRUE((*file)->write_at(0, as_bytes(content)));
  ASSERT_TRUE((*file)->punch(64 << 10, 64 << 10));
  ASSERT_TRUE((*file)->punch(192 << 10, 1 << 20));
  ASSERT_TRUE((*file)->punch(1 << 20, 1));
  EXPECT_EQ((*file)->stat()->size_bytes, content.size());
  const std::string back = temp.read("file");
  EXPECT_EQ(back.substr(0, 64 << 10), content.substr(0, 64 << 10));
  EXPECT_EQ(back.substr(64 << 10, 64 << 10), std::string(64 << 10, '\0'));
  const auto extent = *(*file)->next_data(64 << 10);
  ASSERT_TRUE(extent);
  EXPECT_EQ(extent->offset, 128u << 10);
  EXPECT_FALSE(*(*file)->next_data(192 << 10));
}

TEST(LinuxTargetFs, FinishSetsEverythingInTheOrderThatKeepsIt) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  TempDir temp;
  const auto root = open(temp.path());
  auto file = root->open_file("file", Access::WriteOrMake);
  ASSERT_TRUE((*file)->write_at(0, as_bytes("content")));
  const std::vector<scan::Xattr> xattrs = {{"security.capability", capability_v2()},
                                           {"trusted.t", bytes_of("t")},
                                           {"user.empty", {}},
                                           {"user.value", bytes_of(std::string("\0\xff", 2))}};
  Metadata metadata = plain(FileType::Regular, 06751);
  metadata.uid = 1234;
  metadata.gid = 4321;
  metadata.mtime = {-1, 999999999};
  metadata.atime = Timestamp{2000000000, 5};
  metadata.xattrs = xattrs;
  metadata.inode_flags = FS_IMMUTABLE_FL | FS_NODUMP_FL;
  const auto report = (*file)->finish(metadata);
  ASSERT_TRUE(report);
  EXPECT_THAT(*report, IsEmpty());

  const auto stat = root->stat("file");
  EXPECT_EQ(stat->mode, 06751) << "chown clears suid; mode must come after";
  EXPECT_EQ(stat->uid, 1234u);
  EXPECT_EQ(stat->gid, 4321u);
  EXPECT_EQ(stat->mtime, metadata.mtime);
  EXPECT_EQ(stat->atime, *metadata.atime);
  const auto back = root->xattrs("file", FileType::Regular);
  ASSERT_EQ(back->size(), 4u);
  EXPECT_EQ((*back)[0].value, capability_v2()) << "chown clears capabilities; they must come after";
  EXPECT_EQ((*back)[3].value, xattrs[3].value);
  EXPECT_EQ(root->attributes("file", FileType::Regular)->inode_flags & (FS_IMMUTABLE_FL | FS_NODUMP_FL),
            static_cast<unsigned>(FS_IMMUTABLE_FL | FS_NODUMP_FL));
  ASSERT_TRUE(root->open_file("file", Access::Write)) << "immutable files can be restored over";
  ASSERT_TRUE(root->remove("file"));
}

TEST(LinuxTargetFs, FinishTakesAwayWhatTheEntryDoesNotHave) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  TempDir temp;
  temp.write("file", "");
  const std::string path = temp.path("file");
  const Bytes acl = access_acl();
  ASSERT_EQ(::setxattr(path.c_str(), "system.posix_acl_access", acl.data(), acl.size(), 0), 0);
  ASSERT_EQ(::setxattr(path.c_str(), "user.old", "1", 1, 0), 0);
  const auto root = open(temp.path());
  auto file = root->open_file("file", Access::Write);
  EXPECT_THAT(*(*file)->finish(plain(FileType::Regular, 0640)), IsEmpty());
  EXPECT_THAT(*root->xattrs("file", FileType::Regular), IsEmpty());
  EXPECT_EQ(root->stat("file")->mode, 0640);
}

TEST(LinuxTargetFs, FinishSetsAclsAndTheModeThatGoesWithThem) {
  TempDir temp;
  const auto root = open(temp.path());
  auto file = root->open_file("file", Access::WriteOrMake);
  const std::vector<scan::Xattr> xattrs = {{"system.posix_acl_access", access_acl()}};
  Metadata metadata = plain(FileType::Regular, 0644);
  metadata.xattrs = xattrs;
  EXPECT_THAT(*(*file)->finish(metadata), IsEmpty());
  EXPECT_EQ((*root->xattrs("file", FileType::Regular))[0].value, access_acl());
  EXPECT_EQ(root->stat("file")->mode, 0644);
}

TEST(LinuxTargetFs, FinishReportsWhatCannotBeSet) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root to give rights up";
  }
  TempDir temp;
  ASSERT_EQ(::chmod(temp.path().c_str(), 0777), 0);
  Result<Shortfalls> report;
  std::uint16_t mode = 0;
  std::thread([&] {
    // Of this thread alone: the raw call does not tell the others.
    if (::syscall(SYS_setresuid, 65534, 65534, 65534) != 0) {
      return;
    }
    const auto root = open(temp.path());
    auto file = root->open_file("file", Access::WriteOrMake);
    Metadata metadata = plain(FileType::Regular, 04755);
    metadata.uid = 0;
    const std::vector<scan::Xattr> xattrs = {{"trusted.t", bytes_of("t")}, {"system.other", {}}};
    metadata.xattrs = xattrs;
    report = (*file)->finish(metadata);
    mode = root->stat("file")->mode;
  }).join();
  ASSERT_TRUE(report);
  const auto says = [](ErrorCode code, const char* what) {
    return testing::AllOf(testing::Field(&Error::code, code),
                          testing::Field(&Error::message, testing::HasSubstr(what)));
  };
  EXPECT_THAT(*report,
              ElementsAre(says(ErrorCode::Denied, "owner 0:0"), says(ErrorCode::Unsupported, "set-user-id"),
                          says(ErrorCode::Denied, "attribute trusted.t"),
                          says(ErrorCode::Unsupported, "attribute system.other")));
  EXPECT_EQ(mode, 0755) << "a file that belongs to somebody else must not lend his rights";
}

TEST(LinuxTargetFs, FinishReportsTimesThatTheFileSystemClamps) {
  TempDir temp;
  const auto root = open(temp.path());
  auto file = root->open_file("file", Access::WriteOrMake);
  Metadata metadata = plain(FileType::Regular);
  metadata.mtime = {std::int64_t{1} << 60, 0};
  const auto report = (*file)->finish(metadata);
  if (root->stat("file")->mtime == metadata.mtime) {
    GTEST_SKIP() << "this file system holds any time";
  }
  ASSERT_EQ(report->size(), 1u);
  EXPECT_THAT(report->front().message, testing::HasSubstr("mtime"));
}

TEST(LinuxTargetFs, DirectoriesGetTheirMetadataAtTheEnd) {
  TempDir temp;
  const auto root = open(temp.path());
  auto dir = root->make_dir("dir");
  ASSERT_TRUE(dir);
  EXPECT_EQ(root->stat("dir")->mode, 0700);
  ASSERT_TRUE((*dir)->open_file("inner", Access::WriteOrMake));
  EXPECT_THAT(*(*dir)->finish(plain(FileType::Directory, 0)), IsEmpty());
  EXPECT_EQ(root->stat("dir")->mode, 0);
  EXPECT_EQ(root->stat("dir")->mtime, (Timestamp{1234567890, 123456789}));
  EXPECT_EQ((*dir)->stat_self()->inode, root->stat("dir")->inode);
  EXPECT_TRUE(root->make_dir("dir")) << "one that is there is opened";
  EXPECT_TRUE(root->sync());
}

TEST(LinuxTargetFs, MakesEverySpecialFileWithItsMetadata) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  struct Case {
    const char* name;
    FileType type;
    std::uint64_t rdev;
  };
  const Case cases[] = {{"fifo", FileType::Fifo, 0},
                        {"socket", FileType::Socket, 0},
                        {"block", FileType::Block, std::uint64_t{7} << 32 | 300},
                        {"character", FileType::Character, std::uint64_t{1} << 32 | 3},
                        {"whiteout", FileType::Character, 0}};
  TempDir temp;
  const auto root = open(temp.path());
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const std::vector<scan::Xattr> xattrs = {{"trusted.t", bytes_of("t")}};
    Metadata metadata = plain(c.type, 0741);
    metadata.uid = 5;
    metadata.gid = 6;
    metadata.xattrs = xattrs;
    const auto report = root->make_special(c.name, metadata, "", c.rdev);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_THAT(*report, IsEmpty());
    const auto stat = root->stat(c.name);
    EXPECT_EQ(stat->type, c.type);
    EXPECT_EQ(stat->rdev, c.rdev);
    EXPECT_EQ(stat->mode, 0741);
    EXPECT_EQ(stat->uid, 5u);
    EXPECT_EQ(stat->mtime, metadata.mtime);
    EXPECT_EQ(root->xattrs(c.name, c.type)->size(), 1u);
    EXPECT_EQ(root->make_special(c.name, metadata, "", c.rdev).error().code, ErrorCode::Exists);
  }
  EXPECT_EQ(root->make_special("file", plain(FileType::Regular), "", 0).error().code, ErrorCode::Invalid);
}

TEST(LinuxTargetFs, MakesLinksWithMetadataOfTheirOwn) {
  TempDir temp;
  temp.write("victim", "x");
  ASSERT_EQ(::chmod(temp.path("victim").c_str(), 0600), 0);
  const auto root = open(temp.path());
  const auto victim = *root->stat("victim");
  Metadata metadata = plain(FileType::Symlink, 0777);
  std::vector<scan::Xattr> xattrs;
  if (::geteuid() == 0) {
    xattrs.push_back({"trusted.t", bytes_of("t")});
    metadata.uid = 7;
    metadata.gid = 8;
  }
  metadata.xattrs = xattrs;
  const auto report = root->make_special("link", metadata, "victim", 0);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(*report, IsEmpty());
  EXPECT_EQ(*root->read_link("link"), "victim");
  EXPECT_EQ(root->stat("link")->mtime, metadata.mtime);
  EXPECT_EQ(root->stat("link")->uid, metadata.uid);
  EXPECT_EQ(root->xattrs("link", FileType::Symlink)->size(), xattrs.size());
  const auto after = *root->stat("victim");
  EXPECT_EQ(after.mode, 0600) << "what the link points to stays as it was";
  EXPECT_EQ(after.uid, victim.uid);
  EXPECT_EQ(after.mtime, victim.mtime);
  EXPECT_THAT(*root->xattrs("victim", FileType::Regular), IsEmpty());
}

TEST(LinuxTargetFs, FinishSpecialRefusesAnotherType) {
  TempDir temp;
  temp.write("file", "");
  temp.symlink("file", "link");
  const auto root = open(temp.path());
  EXPECT_EQ(root->finish_special("file", plain(FileType::Symlink)).error().code, ErrorCode::Exists);
  EXPECT_EQ(root->finish_special("link", plain(FileType::Fifo)).error().code, ErrorCode::Exists);
  EXPECT_EQ(root->finish_special("none", plain(FileType::Fifo)).error().code, ErrorCode::NotFound);
  EXPECT_TRUE(root->finish_special("link", plain(FileType::Symlink)));
}

TEST(LinuxTargetFs, HardLinksAcrossDirectories) {
  TempDir temp;
  const auto root = open(temp.path());
  const auto a = *root->make_dir("a");
  const auto b = *root->make_dir("b");
  ASSERT_TRUE(a->open_file("file", Access::WriteOrMake));
  ASSERT_TRUE(b->link("twin", *a, "file"));
  EXPECT_EQ(b->stat("twin")->inode, a->stat("file")->inode);
  EXPECT_EQ(b->link("twin", *a, "file").error().code, ErrorCode::Exists);
  EXPECT_EQ(b->link("other", *a, "none").error().code, ErrorCode::NotFound);
  ASSERT_TRUE(a->make_special("link", plain(FileType::Symlink), "/etc/passwd", 0));
  ASSERT_TRUE(b->link("link-twin", *a, "link"));
  EXPECT_EQ(b->stat("link-twin")->type, FileType::Symlink) << "the link itself, not what it points to";
}

TEST(LinuxTargetFs, RefusesNamesThatLeaveTheDirectory) {
  TempDir temp;
  temp.write("a/b", "");
  const auto root = open(temp.path());
  for (const std::string& name : {std::string(".."), std::string("."), std::string("a/b"), std::string(""),
                                  std::string("/etc"), std::string("a\0b", 3), std::string(256, 'n')}) {
    SCOPED_TRACE(name);
    EXPECT_EQ(root->make_dir(name).error().code, ErrorCode::Invalid);
    EXPECT_EQ(root->open_dir(name).error().code, ErrorCode::Invalid);
    EXPECT_EQ(root->open_file(name, Access::WriteOrMake).error().code, ErrorCode::Invalid);
    EXPECT_EQ(root->make_special(name, plain(FileType::Fifo), "", 0).error().code, ErrorCode::Invalid);
    EXPECT_EQ(root->link(name, *root, "a").error().code, ErrorCode::Invalid);
    EXPECT_EQ(root->link("x", *root, name).error().code, ErrorCode::Invalid);
    EXPECT_EQ(root->remove(name).error().code, ErrorCode::Invalid);
    EXPECT_EQ(root->stat(name).error().code, ErrorCode::Invalid);
  }
}

TEST(LinuxTargetFs, FollowsNoLinkThatStandsInTheTarget) {
  TempDir outside;
  outside.write("file", "untouched");
  TempDir temp;
  temp.symlink(outside.path(), "dir");
  temp.symlink(outside.path("file"), "file");
  temp.symlink(outside.path("new"), "new");
  const auto root = open(temp.path());
  EXPECT_EQ(root->make_dir("dir").error().code, ErrorCode::Exists);
  EXPECT_EQ(root->open_dir("dir").error().code, ErrorCode::Exists);
  EXPECT_EQ(root->open_file("file", Access::WriteOrMake).error().code, ErrorCode::Exists);
  EXPECT_EQ(root->open_file("file", Access::Read).error().code, ErrorCode::Exists);
  EXPECT_EQ(root->open_file("new", Access::WriteOrMake).error().code, ErrorCode::Exists);
  EXPECT_EQ(outside.read("file"), "untouched");
  EXPECT_FALSE(LinuxTargetFs().open_root(outside.path()).value()->stat("new"));
}

TEST(LinuxTargetFs, DoesNotWriteToAFileThatHasAnotherName) {
  TempDir outside;
  outside.write("file", "untouched");
  TempDir temp;
  ASSERT_EQ(::link(outside.path("file").c_str(), temp.path("file").c_str()), 0);
  const auto root = open(temp.path());
  EXPECT_EQ(root->open_file("file", Access::WriteOrMake).error().code, ErrorCode::Exists);
  EXPECT_TRUE(root->open_file("file", Access::Read));
  ASSERT_TRUE(root->remove("file"));
  EXPECT_EQ(outside.read("file"), "untouched");
}

TEST(LinuxTargetFs, OpensNoFifoOrDeviceInPlaceOfAFile) {
  TempDir temp;
  ASSERT_EQ(::mkfifo(temp.path("fifo").c_str(), 0600), 0);
  const auto root = open(temp.path());
  EXPECT_EQ(root->open_file("fifo", Access::WriteOrMake).error().code, ErrorCode::Exists);
  EXPECT_EQ(root->open_dir("fifo").error().code, ErrorCode::Exists);
  EXPECT_EQ(root->open_dir("none").error().code, ErrorCode::NotFound);
}

TEST(LinuxTargetFs, RemovesTreesButNothingBehindLinks) {
  TempDir outside;
  outside.write("dir/file", "untouched");
  TempDir temp;
  temp.write("tree/a/b/c/file", "x");
  temp.write("tree/.firn-removing-0/file", "left by one that was killed");
  temp.make_dirs("tree/empty");
  temp.symlink(outside.path("dir"), "tree/a/link");
  temp.symlink(outside.path("dir"), "link");
  const auto root = open(temp.path());
  ASSERT_TRUE(root->remove("tree")) << root->remove("tree").error().message;
  ASSERT_TRUE(root->remove("link"));
  EXPECT_EQ(root->stat("tree").error().code, ErrorCode::NotFound);
  EXPECT_EQ(outside.read("dir/file"), "untouched");
  EXPECT_EQ(root->remove("none").error().code, ErrorCode::NotFound);
}

TEST(LinuxTargetFs, RemovesWhatIsImmutableOrClosed) {
  TempDir temp;
  temp.write("tree/inner/file", "x");
  temp.write("tree/closed/file", "x");
  for (const char* name : {"tree/inner/file", "tree/inner", "tree"}) {
    const FileDescriptor fd(::open(temp.path(name).c_str(), O_RDONLY | O_CLOEXEC));
    int flags = 0;
    if (::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) {
      GTEST_SKIP() << "no inode flags here";
    }
    flags |= FS_IMMUTABLE_FL;
    if (::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags) != 0) {
      GTEST_SKIP() << "may not make it immutable";
    }
  }
  const auto root = open(temp.path());
  const auto removed = root->remove("tree");
  EXPECT_TRUE(removed) << removed.error().message;
}

TEST(LinuxTargetFs, RemovesVeryDeepAndVeryWideTrees) {
  constexpr int kDepth = 10000;
  TempDir temp("/dev/shm");
  temp.make_dirs("tree");
  {
    FileDescriptor at(::open(temp.path("tree").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < kDepth; ++i) {
      ASSERT_EQ(::mkdirat(at.get(), "d", 0700), 0);
      ASSERT_EQ(::mknodat(at.get(), "f", S_IFREG | 0600, 0), 0);
      at = FileDescriptor(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    for (int i = 0; i < 50000; ++i) {
      ASSERT_EQ(::mknodat(at.get(), std::to_string(i).c_str(), S_IFREG | 0600, 0), 0);
    }
  }
  const auto root = open(temp.path());
  const auto removed = root->remove("tree");
  EXPECT_TRUE(removed) << removed.error().message;
  EXPECT_FALSE(root->stat("tree"));
}

TEST(LinuxTargetFs, WritesBelowPathsLongerThanTheKernelTakes) {
  TempDir temp;
  auto dir = open(temp.path());
  for (int i = 0; i < 40; ++i) {
    auto next = dir->make_dir(std::string(255, 'n'));
    ASSERT_TRUE(next) << next.error().message;
    dir = std::move(*next);
  }
  EXPECT_TRUE(dir->open_file(std::string(255, '\xff'), Access::WriteOrMake));
}

// A directory of the target is swapped for a link to the outside and back, all the time, while a tree is
// restored into it. Whatever is written must be written to one of the two directories of the target.
TEST(LinuxTargetFs, NothingIsWrittenOutsideWhileTheTargetIsSwapped) {
  constexpr int kRounds = 3000;
  TempDir outside;
  outside.write("victim", "untouched");
  outside.make_dirs("inner");
  TempDir temp;
  temp.make_dirs("dir");
  temp.symlink(outside.path(), "link");
  std::atomic<bool> stop{false};
  std::thread swapper([&] {
    const std::string dir = temp.path("dir");
    const std::string link = temp.path("link");
    while (!stop.load()) {
      (void)::renameat2(AT_FDCWD, dir.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE);
    }
  });
  const auto root = open(temp.path());
  int written = 0;
  for (int i = 0; i < kRounds; ++i) {
    auto dir = root->make_dir("dir");
    if (!dir) {
      continue;
    }
    if (auto file = (*dir)->open_file("victim", Access::WriteOrMake)) {
      EXPECT_TRUE((*file)->write_at(0, as_bytes("written")));
      EXPECT_TRUE((*file)->finish(plain(FileType::Regular, 0777)));
      ++written;
    }
    if (auto inner = (*dir)->make_dir("inner")) {
      EXPECT_TRUE((*inner)->open_file("file", Access::WriteOrMake));
      EXPECT_TRUE((*inner)->finish(plain(FileType::Directory, 0755)));
    }
    (void)root->make_special("special", plain(FileType::Symlink), outside.path("victim"), 0);
    (void)root->finish_special("special", plain(FileType::Symlink));
    (void)root->remove("special");
    if (i % 50 == 0) {
      (void)(*dir)->remove("inner");
    }
  }
  stop = true;
  swapper.join();
  EXPECT_GT(written, 0) << "the race never let the good case happen";
  EXPECT_EQ(outside.read("victim"), "untouched");
  struct stat now;
  ASSERT_EQ(::stat(outside.path("victim").c_str(), &now), 0);
  EXPECT_NE(now.st_mode & 0777u, 0777u);
  EXPECT_EQ(::stat(outside.path("inner").c_str(), &now), 0);
  EXPECT_NE(::stat(outside.path("inner/file").c_str(), &now), 0);
}

}  // namespace
}  // namespace firn::restore
