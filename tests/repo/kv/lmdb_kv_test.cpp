// What only LmdbKv does: ownership, the note of a clean close, full disks and maps, killed writers.
#include "repo/kv/lmdb_kv.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "repo/base/rng.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace firn::kv {
namespace {

namespace fs = std::filesystem;
constexpr TableId kTable{3};

using firn::test::ChildProcess;

std::string key_of(std::uint64_t i) {
  std::string key = std::to_string(i);
  return std::string(8 - key.size(), '0') + key;
}

void fill(Environment& environment, std::uint64_t first, std::uint64_t count) {
  auto txn = *environment.begin_write();
  for (std::uint64_t i = first; i < first + count; ++i) {
    ASSERT_TRUE(txn->put(kTable, as_bytes(key_of(i)), as_bytes("value")));
  }
  ASSERT_TRUE(txn->commit());
}

std::uint64_t count(Environment& environment) { return *(*environment.begin_read())->count(kTable); }

TEST(LmdbKv, GivesTwoProcessesTwoSlots) {
  const test::TempDir root;
  ChildProcess child([&](const auto& ready) {
    const auto kv = LmdbKv::open_slot(root.path());
    if (kv && (*kv)->directory() == root.path() + "/slot-0") {
      ready();
      ::pause();
    }
  });
  ASSERT_TRUE(child.ready());
  {
    const auto kv = LmdbKv::open_slot(root.path());
    ASSERT_TRUE(kv);
    EXPECT_EQ((*kv)->directory(), root.path() + "/slot-1");
    EXPECT_EQ(LmdbKv::open_slot(root.path(), 2).error().code, ErrorCode::Exhausted);
  }
  child.kill();
  const auto freed = LmdbKv::open_slot(root.path());
  ASSERT_TRUE(freed);
  EXPECT_EQ((*freed)->directory(), root.path() + "/slot-0");
}

TEST(LmdbKv, KeepsOthersOutOfADirectoryInTheSameProcessToo) {
  const test::TempDir root;
  const auto kv = LmdbKv::open_directory(root.path());
  ASSERT_TRUE(kv);
  EXPECT_EQ(LmdbKv::open_directory(root.path()).error().code, ErrorCode::Unavailable);
}

TEST(LmdbKv, MakesItsFilesReadableByTheirOwnerAlone) {
  const test::TempDir root;
  const auto kv = *LmdbKv::open_slot(root.path() + "/cache");
  fill(**kv->open("things", {}), 0, 10);
  ASSERT_TRUE(kv->write_file("state", as_bytes("x")));
  for (const auto& entry : fs::recursive_directory_iterator(root.path())) {
    const auto others = fs::perms::group_all | fs::perms::others_all;
    EXPECT_EQ(entry.status().permissions() & others, fs::perms::none) << entry.path();
  }
}

TEST(LmdbKv, TakesAFileThatItClosedItselfForUnchanged) {
  const test::TempDir root;
  const auto kv = *LmdbKv::open_directory(root.path());
  fill(**kv->open("things", {}), 0, 100);
  EXPECT_TRUE((*kv->open("things", {}))->unchanged_since_close());
  EXPECT_TRUE((*kv->open("things", {}))->unchanged_since_close());
}

TEST(LmdbKv, SuspectsAFileThatOthersTouched) {
  struct Touch {
    const char* what;
    std::function<void(const std::string& directory)> touch;
  };
  const std::vector<Touch> touches = {
      {"the same bytes written again",
       [](const std::string& directory) {
         const int fd = ::open((directory + "/data.mdb").c_str(), O_RDWR);
         char byte = 0;
         ASSERT_EQ(::pread(fd, &byte, 1, 5000), 1);
         ASSERT_EQ(::pwrite(fd, &byte, 1, 5000), 1);
         ::close(fd);
       }},
      {"a copy in its place",
       [](const std::string& directory) {
         fs::copy_file(directory + "/data.mdb", directory + "/copy");
         fs::rename(directory + "/copy", directory + "/data.mdb");
       }},
      {"the note of the close lost", [](const std::string& directory) { fs::remove(directory + "/closed"); }},
      {"the note of the close cut off",
       [](const std::string& directory) { fs::resize_file(directory + "/closed", 10); }},
  };
  for (const auto& [what, touch] : touches) {
    SCOPED_TRACE(what);
    const test::TempDir root;
    const auto kv = *LmdbKv::open_directory(root.path());
    fill(**kv->open("things", {}), 0, 1000);
    touch(root.path() + "/things");
    const auto environment = kv->open("things", {});
    ASSERT_TRUE(environment) << environment.error().message;
    EXPECT_FALSE((*environment)->unchanged_since_close());
    EXPECT_EQ(count(**environment), 1000U);
  }
}

TEST(LmdbKv, OpensAnOlderCopyAsItWas) {
  const test::TempDir root;
  const auto kv = *LmdbKv::open_directory(root.path());
  fill(**kv->open("things", {}), 0, 1000);
  const fs::path data = root.path() + "/things/data.mdb";
  fs::copy_file(data, root.path() + "/kept");
  {
    const auto environment = *kv->open("things", {});
    fill(*environment, 1000, 1000);
    fill(*environment, 2000, 1000);
  }
  fs::copy_file(root.path() + "/kept", data, fs::copy_options::overwrite_existing);
  const auto environment = *kv->open("things", {});
  EXPECT_FALSE(environment->unchanged_since_close());
  EXPECT_EQ(count(*environment), 1000U);
}

TEST(LmdbKv, AnswersExhaustedWhenTheMapIsFullAndGoesOnWithALargerOne) {
  const test::TempDir root;
  const auto kv = *LmdbKv::open_directory(root.path());
  {
    const auto environment = *kv->open("things", {.size_bytes_max = 256 << 10});
    fill(*environment, 0, 100);
    auto txn = *environment->begin_write();
    Result<> result;
    for (std::uint64_t i = 0; i < 100'000 && result; ++i) {
      result = txn->put(kTable, as_bytes(key_of(i)), as_bytes("value"));
    }
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::Exhausted);
    EXPECT_EQ(txn->commit().error().code, ErrorCode::Exhausted);
    txn.reset();
    EXPECT_EQ(count(*environment), 100U);
  }
  const auto environment = *kv->open("things", {.size_bytes_max = 64 << 20});
  fill(*environment, 0, 10'000);
  EXPECT_EQ(count(*environment), 10'000U);
}

TEST(LmdbKv, AnswersExhaustedWhenTheDiskIsFull) {
  const test::TempDir root;
  if (::mount("firn-test", root.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "needs the right to mount a tmpfs";
  }
  {
    const auto kv = *LmdbKv::open_directory(root.path());
    const auto environment = *kv->open("things", {.size_bytes_max = 64 << 20});
    fill(*environment, 0, 1000);
    auto txn = *environment->begin_write();
    for (std::uint64_t i = 0; i < 50'000; ++i) {
      ASSERT_TRUE(txn->put(kTable, as_bytes(key_of(i)), as_bytes("value")));
    }
    EXPECT_EQ(txn->commit().error().code, ErrorCode::Exhausted);
    txn.reset();
    EXPECT_EQ(count(*environment), 1000U);
    EXPECT_EQ(kv->write_file("state", Bytes(2 << 20)).error().code, ErrorCode::Exhausted);
    EXPECT_EQ(kv->read_file("state", 100).error().code, ErrorCode::NotFound);
  }
  {
    const auto kv = *LmdbKv::open_directory(root.path());
    const auto environment = kv->open("things", {.size_bytes_max = 64 << 20});
    ASSERT_TRUE(environment) << environment.error().message;
    EXPECT_EQ(count(**environment), 1000U);
  }
  ::umount(root.path().c_str());
}

TEST(LmdbKv, OpensAndReadsOnADiskWithoutAFreeByteOrSaysExhausted) {
  const test::TempDir root;
  if (::mount("firn-test", root.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "needs the right to mount a tmpfs";
  }
  const int code = test::exit_code_of([&] {
    const auto kv = *LmdbKv::open_directory(root.path());
    const auto environment = *kv->open("things", {.size_bytes_max = 64 << 20});
    fill(*environment, 0, 1000);
    const std::string filler = root.path() + "/filler";
    const auto file = *base::open_at(AT_FDCWD, filler, O_WRONLY | O_CREAT, 0600);
    for (const std::size_t piece : {std::size_t{4096}, std::size_t{1}}) {
      while (base::write_all(file.get(), Bytes(piece), filler)) {
      }
    }
    // LMDB writes its lock file through a map: a file with holes would end the process here.
    const auto other = kv->open("others", {});
    const bool exhausted = !other && other.error().code == ErrorCode::Exhausted;
    return exhausted && count(*environment) == 1000 ? 0 : 1;
  });
  ::umount(root.path().c_str());
  EXPECT_EQ(code, 0);
}

TEST(LmdbKv, ShowsWholeCommitsAfterItsProcessWasKilled) {
  const test::TempDir root;
  base::SeededRng rng(50);
  std::uint64_t before = 0;
  for (int round = 0; round < 50; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    {
      ChildProcess child([&](const auto& ready) {
        const auto kv = *LmdbKv::open_directory(root.path());
        const auto environment = *kv->open("things", {.durable = false});
        std::uint64_t next = count(*environment);
        ready();
        while (true) {
          fill(*environment, next, 100);
          next += 100;
        }
      });
      ASSERT_TRUE(child.ready());
      ::usleep(static_cast<useconds_t>(rng.next() % 5000));
    }
    const auto kv = LmdbKv::open_directory(root.path());
    ASSERT_TRUE(kv) << kv.error().message;
    const auto environment = (*kv)->open("things", {});
    ASSERT_TRUE(environment) << environment.error().message;
    const std::uint64_t now = count(**environment);
    EXPECT_EQ(now % 100, 0U);
    EXPECT_GE(now, before);
    std::uint64_t expected = 0;
    ASSERT_TRUE((*(*environment)->begin_read())->scan(kTable, {}, [&](ByteView key, ByteView) {
      EXPECT_EQ(as_text(key), key_of(expected));
      ++expected;
      return true;
    }));
    EXPECT_EQ(expected, now);
    before = now;
  }
  EXPECT_GT(before, 0U);
}

TEST(LmdbKv, IgnoresALockFileOfAnotherOwner) {
  const test::TempDir root;
  const auto kv = *LmdbKv::open_directory(root.path());
  fill(**kv->open("things", {}), 0, 1000);
  const std::string lock = root.path() + "/things/lock.mdb";
  for (const std::string& content : {std::string(100, '\xff'), std::string(8192, '\xa5'), std::string()}) {
    base::FileDescriptor file = *base::open_at(AT_FDCWD, lock, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ASSERT_TRUE(base::write_all(file.get(), as_bytes(content), lock));
    const auto environment = kv->open("things", {});
    ASSERT_TRUE(environment) << environment.error().message;
    EXPECT_EQ(count(**environment), 1000U);
  }
}

}  // namespace
}  // namespace firn::kv
