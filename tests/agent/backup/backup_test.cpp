// Backups of real trees into a memory store, and back.
#include "agent/backup/backup.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "repo/kv/memory_kv.h"
#include "repo/store/memory_store.h"
#include "tests/support/compare_trees.h"
#include "tests/support/engine.h"
#include "tests/support/temp_dir.h"

namespace firn {
namespace {

using test::Engine;
using test::TempDir;

class Backup : public testing::Test {
 protected:
  void SetUp() override {
    auto made = repo::Repository::init(services_, store_, test::key_file(), {});
    ASSERT_TRUE(made) << made.error().message;
  }

  Engine open() {
    auto engine = Engine::open(services_, store_, state_, test::key_file());
    EXPECT_TRUE(engine) << engine.error().message;
    return *std::move(engine);
  }

  format::SnapshotId back_up(Engine& engine, backup::BackupOptions options = {}) {
    auto done = engine.backup(source_, tree_.path(), std::move(options));
    EXPECT_TRUE(done) << done.error().message;
    if (!done) {
      return {};
    }
    last_ = done->report.record.counters;
    resumed_ = done->report.resumed;
    EXPECT_THAT(done->observer.problems, testing::IsEmpty());
    return done->report.snapshot.value_or(format::SnapshotId{});
  }

  void expect_restores_to(Engine& engine, const format::SnapshotId& id, const std::string& original) {
    TempDir target;
    restore::RestoreOptions options;
    options.target = target.path();
    options.subpath = tree_.path().substr(1);
    options.root_metadata = true;
    options.verify = true;
    auto restored = engine.restore(target_, id, options);
    ASSERT_TRUE(restored) << restored.error().message;
    EXPECT_THAT(restored->problems, testing::IsEmpty());
    EXPECT_THAT(restored->shortfalls, testing::IsEmpty());
    EXPECT_EQ(test::differences(original, target.path()), "");
  }

  base::ThreadExecutor executor_{2};
  base::SystemRng rng_;
  base::SystemClock clock_;
  base::MemoryScratch scratch_;
  repo::Services services_{executor_, rng_, clock_, scratch_};
  store::MemoryStore store_{executor_};
  kv::MemoryKv state_{executor_};
  scan::LinuxSourceFs source_;
  restore::LinuxTargetFs target_;
  TempDir tree_;
  format::Counters last_;
  bool resumed_ = false;
};

std::string text_of(std::size_t size, unsigned seed) {
  std::string text;
  text.reserve(size);
  std::uint64_t state = seed * 2654435761U + 1;
  while (text.size() < size) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    text.push_back(static_cast<char>(state >> 33));
  }
  return text;
}

TEST_F(Backup, ComesBackAsItWas) {
  tree_.write("empty", "");
  tree_.write("tiny", "hello");
  tree_.write("small", text_of(5000, 1));
  tree_.write("dir/other", text_of(60'000, 2));
  tree_.write("dir/deep/large", text_of(3'000'000, 3));
  tree_.symlink("small", "link");
  ASSERT_EQ(::link(tree_.path("dir/other").c_str(), tree_.path("dir/deep/again").c_str()), 0);
  ASSERT_EQ(::mkfifo(tree_.path("pipe").c_str(), 0640), 0);
  Engine engine = open();
  const auto id = back_up(engine);
  expect_restores_to(engine, id, tree_.path());
}

TEST_F(Backup, AnUnchangedTreeStoresNoDataAgain) {
  tree_.write("a", text_of(100'000, 4));
  tree_.write("b", text_of(1000, 5));
  Engine engine = open();
  back_up(engine);
  EXPECT_EQ(last_.files_new, 2U);
  const auto second = back_up(engine);
  EXPECT_EQ(last_.data_blobs, 0U);
  expect_restores_to(engine, second, tree_.path());
}

TEST_F(Backup, OnlyWhatChangedIsStoredAgain) {
  for (int i = 0; i < 50; ++i) {
    tree_.write("file" + std::to_string(i), text_of(20'000, 100 + static_cast<unsigned>(i)));
  }
  Engine engine = open();
  back_up(engine);
  const std::uint64_t first_bytes = last_.data_added;
  tree_.write("file7", text_of(20'000, 7777));
  tree_.write("new", text_of(20'000, 8888));
  const auto second = back_up(engine);
  EXPECT_EQ(last_.files_new, 1U);
  EXPECT_EQ(last_.files_changed, 1U);
  EXPECT_LT(last_.data_added, first_bytes / 4);
  expect_restores_to(engine, second, tree_.path());
}

TEST_F(Backup, ContentThatOnlyMovedInTimeKeepsItsBundle) {
  tree_.write("a", text_of(20'000, 1));
  tree_.write("b", text_of(20'000, 2));
  Engine engine = open();
  back_up(engine);
  ASSERT_EQ(::utimensat(AT_FDCWD, tree_.path("a").c_str(), nullptr, 0), 0);
  const auto second = back_up(engine);
  EXPECT_EQ(last_.data_blobs, 0U);
  expect_restores_to(engine, second, tree_.path());
}

TEST_F(Backup, HolesAreNeitherReadNorFilled) {
  tree_.write("sparse", "");
  const std::string path = tree_.path("sparse");
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const std::string data = text_of(100'000, 3);
  ASSERT_EQ(::pwrite(fd, data.data(), data.size(), 10'000'000), static_cast<ssize_t>(data.size()));
  ASSERT_EQ(::ftruncate(fd, 5LL << 40), 0);
  ::close(fd);
  Engine engine = open();
  const auto id = back_up(engine);
  EXPECT_LT(last_.data_added, 300'000U);
  TempDir target;
  restore::RestoreOptions options;
  options.target = target.path();
  options.subpath = tree_.path().substr(1);
  auto restored = engine.restore(target_, id, options);
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_THAT(restored->problems, testing::IsEmpty());
  struct stat there {};
  ASSERT_EQ(::stat(target.path("sparse").c_str(), &there), 0);
  EXPECT_EQ(there.st_size, 5LL << 40);
  EXPECT_LT(there.st_blocks * 512, 300'000);
  const int back = ::open(target.path("sparse").c_str(), O_RDONLY | O_CLOEXEC);
  std::string read(data.size(), '\0');
  ASSERT_EQ(::pread(back, read.data(), read.size(), 10'000'000), static_cast<ssize_t>(read.size()));
  EXPECT_EQ(::lseek(back, 0, SEEK_DATA) / 4096, 10'000'000 / 4096);
  ::close(back);
  EXPECT_TRUE(read == data);
}

TEST_F(Backup, ADryRestoreSaysWhatWouldBeDoneAndDoesNothing) {
  tree_.write("kept", "kept");
  tree_.write("dir/missing", "missing");
  Engine engine = open();
  const auto id = back_up(engine);
  TempDir target;
  target.write("kept", "other");
  target.write("extra", "extra");
  restore::RestoreOptions options;
  options.target = target.path();
  options.subpath = tree_.path().substr(1);
  options.dry_run = true;
  options.remove_extra = true;
  auto restored = engine.restore(target_, id, options);
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_THAT(restored->problems, testing::IsEmpty());
  EXPECT_THAT(restored->actions,
              testing::UnorderedElementsAre(restore::Action::Deleted, restore::Action::Updated,
                                            restore::Action::Restored, restore::Action::Restored));
  EXPECT_EQ(target.read("kept"), "other");
  EXPECT_EQ(target.read("extra"), "extra");
  EXPECT_NE(::access(target.path("dir").c_str(), F_OK), 0);

  options.target = target.path("not-there");
  ASSERT_TRUE(engine.restore(target_, id, options));
  EXPECT_NE(::access(options.target.c_str(), F_OK), 0);
}

TEST_F(Backup, RestoringOverAnOlderStateChangesOnlyWhatDiffers) {
  tree_.write("same", text_of(300'000, 1));
  tree_.write("differs", text_of(2'000'000, 2));
  tree_.write("becomes-file", "file");
  Engine engine = open();
  const auto id = back_up(engine);
  TempDir target;
  ASSERT_EQ(std::system(("cp -a " + tree_.path() + "/. " + target.path()).c_str()), 0);
  std::string changed = text_of(2'000'000, 2);
  changed[1'500'000] = static_cast<char>(changed[1'500'000] + 1);
  target.write("differs", changed);
  ASSERT_EQ(::unlink(target.path("becomes-file").c_str()), 0);
  target.symlink("/etc/passwd", "becomes-file");
  target.write("extra/deep/file", "extra");
  restore::RestoreOptions options;
  options.target = target.path();
  options.subpath = tree_.path().substr(1);
  options.root_metadata = true;
  options.remove_extra = true;
  auto restored = engine.restore(target_, id, options);
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_THAT(restored->problems, testing::IsEmpty());
  EXPECT_EQ(test::differences(tree_.path(), target.path()), "");
  EXPECT_THAT(restored->actions, testing::Contains(restore::Action::Unchanged));
  EXPECT_THAT(restored->actions, testing::Contains(restore::Action::Deleted));
}

TEST_F(Backup, FilesOfMostlyDeadBundlesAreBundledAnew) {
  constexpr unsigned kFiles = 400;
  const auto name = [](unsigned i) { return "f" + std::to_string(1000 + i); };
  for (unsigned i = 0; i < kFiles; ++i) {
    tree_.write(name(i), text_of(5000, i));
  }
  Engine engine = open();
  back_up(engine);
  for (unsigned i = 0; i < kFiles; ++i) {
    if (i % 10 != 0) {
      tree_.write(name(i), text_of(5000, i + kFiles));
    }
  }
  back_up(engine);  // finds that a tenth of each first bundle is left in use
  const std::uint64_t after_change = last_.data_added;
  EXPECT_GE(after_change, 9U * kFiles / 10 * 5000);
  const auto third = back_up(engine);
  EXPECT_EQ(last_.files_unmodified, kFiles) << "files that are read again for this are no changed files";
  EXPECT_GE(last_.data_added, 1U * kFiles / 10 * 5000) << "what is left moves into new bundles";
  EXPECT_LE(last_.data_added, kFiles / 10 * 5000 + 200'000);
  expect_restores_to(engine, third, tree_.path());
  back_up(engine);
  EXPECT_EQ(last_.data_blobs, 0U) << "once is enough";
}

TEST_F(Backup, BundlingAnewReadsATenthOfARunAtMost) {
  constexpr unsigned kFiles = 400;
  const auto name = [](unsigned i) { return "f" + std::to_string(1000 + i); };
  for (unsigned i = 0; i < kFiles; ++i) {
    tree_.write(name(i), text_of(5000, i));
  }
  Engine engine = open();
  back_up(engine);
  for (unsigned i = 0; i < kFiles; ++i) {
    if (i % 5 > 1) {
      tree_.write(name(i), text_of(5000, i + kFiles));
    }
  }
  back_up(engine);
  back_up(engine);
  EXPECT_GT(last_.data_added, 0U);
  EXPECT_LE(last_.data_added, kFiles / 10 * 5000 + 200'000) << "two fifths lie in dead bundles";
}

TEST_F(Backup, ARunThatIsSkippedWhenNothingChangedBundlesNothingAnew) {
  for (unsigned i = 0; i < 100; ++i) {
    tree_.write("f" + std::to_string(i), text_of(5000, i));
  }
  Engine engine = open();
  back_up(engine);
  for (unsigned i = 0; i < 90; ++i) {
    tree_.write("f" + std::to_string(i), text_of(5000, i + 100));
  }
  back_up(engine);
  backup::BackupOptions options;
  options.skip_if_unchanged = true;
  EXPECT_EQ(back_up(engine, options), format::SnapshotId{});
}

TEST_F(Backup, NeighboursOfASourceAreNoChangeOfIt) {
  tree_.write("above/source/file", text_of(5000, 1));
  Engine engine = open();
  const auto run = [&] {
    backup::BackupOptions options;
    options.skip_if_unchanged = true;
    auto done = engine.backup(source_, tree_.path("above/source"), options);
    EXPECT_TRUE(done) << done.error().message;
    return done && done->report.snapshot.has_value();
  };
  EXPECT_TRUE(run());
  tree_.write("above/neighbour", "");
  EXPECT_FALSE(run());
  tree_.write("above/source/another", "");
  EXPECT_TRUE(run()) << "the source itself has changed";
  ASSERT_EQ(::unlink(tree_.path("above/source/another").c_str()), 0);
  EXPECT_TRUE(run());
  ASSERT_EQ(::chmod(tree_.path("above").c_str(), 0711), 0);
  EXPECT_TRUE(run()) << "the way to it has another mode";
  EXPECT_FALSE(run());
}

}  // namespace
}  // namespace firn
