// The local store beyond the conformance suite: what lies on disk, and what happens when the disk or the
// process fails.
#include "repo/store/local_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "repo/base/executor.h"
#include "tests/support/syscall_faults.h"
#include "tests/support/temp_dir.h"

namespace firn::store {
namespace {

using test::ArmedSyscalls;
using test::TempDir;
using Action = ArmedSyscalls::Action;

ObjectName name_of(std::string_view text) { return ObjectName::parse(text).value(); }

Bytes pattern(std::uint64_t seed, std::size_t size_bytes) {
  Bytes bytes(size_bytes);
  base::SeededRng(seed).fill(bytes);
  return bytes;
}

/// A store on tmpfs, where syncing costs nothing.
class LocalStoreTest : public testing::Test {
 protected:
  std::unique_ptr<LocalStore> open() {
    auto store = LocalStore::open(directory_.path(), rng_, clock_);
    EXPECT_TRUE(store.has_value());
    return *std::move(store);
  }
  std::size_t temporary_count() {
    const std::string folder = directory_.path(".tmp");
    if (!std::filesystem::exists(folder)) {
      return 0;
    }
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
  }

  base::SystemRng rng_;
  base::SystemClock clock_;
  TempDir directory_{"/dev/shm"};
};

TEST_F(LocalStoreTest, MakesReadOnlyFilesInPrivateFolders) {
  const auto store = open();
  ASSERT_TRUE(store->put(name_of("data/ab/x"), as_bytes("x")).done());
  const std::pair<const char*, mode_t> modes[] = {
      {"data", 0700}, {"data/ab", 0700}, {"data/ab/x", 0400}, {".tmp", 0700}};
  for (const auto& [path, mode] : modes) {
    struct stat status {};
    ASSERT_EQ(::stat(directory_.path(path).c_str(), &status), 0) << path;
    EXPECT_EQ(status.st_mode & 07777, mode) << path;
  }
}

TEST_F(LocalStoreTest, LeavesNoTemporaryFileBehind) {
  const auto store = open();
  ASSERT_TRUE(store->put(name_of("data/ab/x"), as_bytes("x")).done());
  ASSERT_TRUE(store->put(name_of("data/ab/x"), as_bytes("x")).done());
  ASSERT_FALSE(store->put(name_of("data/ab/x"), as_bytes("y")).done());
  ASSERT_TRUE(store->now().has_value());
  EXPECT_EQ(temporary_count(), 0U);
}

TEST_F(LocalStoreTest, DoesNotShowWhatIsNoObject) {
  const auto store = open();
  directory_.write(".tmp/0123", "half an obj");
  directory_.write("lost+found/file", "x");
  directory_.write("README", "x");
  directory_.write("data/Upper", "x");
  directory_.write("data/.hidden", "x");
  directory_.write("data/-dash", "x");
  directory_.write("data/good", "x");
  ASSERT_EQ(::mkfifo(directory_.path("data/fifo").c_str(), 0600), 0);
  ASSERT_EQ(::mkdir(directory_.path("data/empty").c_str(), 0700), 0);
  const auto page = store->list("", "", 100);
  ASSERT_TRUE(page.has_value());
  ASSERT_EQ(page->objects.size(), 1U);
  EXPECT_EQ(page->objects[0].name.str(), "data/good");
  EXPECT_EQ(store->get(name_of("data/fifo"), 10).error().code, ErrorCode::NotFound);
  EXPECT_EQ(store->head(name_of("data/fifo")).error().code, ErrorCode::NotFound);
}

TEST_F(LocalStoreTest, ListsALargeFolderInSmallPages) {
  const auto store = open();
  std::vector<std::string> names;
  for (int i = 0; i < 5000; ++i) {
    names.push_back("index/0000/" + std::to_string(i));
    directory_.write(names.back(), "");
  }
  std::sort(names.begin(), names.end());
  std::vector<std::string> seen;
  std::string after;
  while (true) {
    const auto page = store->list("index/", after, 97);
    ASSERT_TRUE(page.has_value());
    for (const auto& object : page->objects) {
      seen.push_back(object.name.str());
    }
    if (page->last) {
      break;
    }
    after = seen.back();
  }
  EXPECT_EQ(seen, names);
}

TEST_F(LocalStoreTest, FollowsFoldersThatWereMovedAway) {
  const TempDir elsewhere("/dev/shm");
  elsewhere.write("ab/x", "content");
  directory_.symlink(elsewhere.path(), "data");
  const auto store = open();
  const auto page = store->list("data/", "", 10);
  ASSERT_TRUE(page.has_value());
  ASSERT_EQ(page->objects.size(), 1U);
  EXPECT_EQ(page->objects[0].name.str(), "data/ab/x");
}

TEST_F(LocalStoreTest, RemovesTemporaryFilesOlderThanADayAtTheFirstWrite) {
  directory_.write(".tmp/stale", "x");
  directory_.write(".tmp/recent", "x");
  const auto age = [&](const char* name, std::int64_t hours) {
    struct stat status {};
    ASSERT_EQ(::stat(directory_.path(name).c_str(), &status), 0);
    timespec times[2] = {status.st_atim, status.st_mtim};
    times[1].tv_sec -= hours * 3600;
    ASSERT_EQ(::utimensat(AT_FDCWD, directory_.path(name).c_str(), times, 0), 0);
  };
  age(".tmp/stale", 25);
  age(".tmp/recent", 23);
  const auto store = open();
  ASSERT_TRUE(store->list("", "", 10).has_value());
  EXPECT_EQ(temporary_count(), 2U);
  ASSERT_TRUE(store->put(name_of("data/x"), as_bytes("x")).done());
  EXPECT_EQ(temporary_count(), 1U);
  EXPECT_TRUE(std::filesystem::exists(directory_.path(".tmp/recent")));
}

TEST_F(LocalStoreTest, InitMakesTheDirectoryAndLeavesOneThatIsThere) {
  const std::string path = directory_.path("a/b/repository");
  EXPECT_EQ(LocalStore::open(path, rng_, clock_).error().code, ErrorCode::NotFound);
  ASSERT_TRUE(LocalStore::init(path).has_value());
  directory_.write("a/b/repository/data/x", "x");
  ASSERT_TRUE(LocalStore::init(path).has_value());
  const auto store = LocalStore::open(path, rng_, clock_);
  ASSERT_TRUE(store.has_value());
  EXPECT_TRUE((*store)->head(name_of("data/x")).has_value());
}

TEST_F(LocalStoreTest, NamesADirectoryThatIsNotThere) {
  const auto store = LocalStore::open("/nowhere/at-all", rng_, clock_);
  ASSERT_FALSE(store.has_value());
  EXPECT_NE(store.error().message.find("/nowhere/at-all"), std::string::npos);
}

TEST_F(LocalStoreTest, DoesNotTakeARemovedDirectoryForAnEmptyOne) {
  const std::string path = directory_.path("repository");
  ASSERT_TRUE(LocalStore::init(path).has_value());
  const auto store = LocalStore::open(path, rng_, clock_);
  ASSERT_TRUE(store.has_value());
  std::filesystem::remove_all(path);
  const auto page = (*store)->list("", "", 10);
  ASSERT_FALSE(page.has_value());
  EXPECT_EQ(page.error().code, ErrorCode::NotFound);
  const Outcome outcome = (*store)->put(name_of("data/x"), as_bytes("x"));
  EXPECT_FALSE(outcome.done());
  EXPECT_FALSE(outcome.unknown());
}

/// Runs `body` in a child process and tells whether it returned true.
bool in_child(const std::function<bool()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(body() && !testing::Test::HasFailure() ? 0 : 1);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(LocalStoreTest, CallsAFolderThatMayNotBeReadDeniedAndNotEmpty) {
  const auto store = open();
  ASSERT_TRUE(store->put(name_of("data/ab/x"), as_bytes("x")).done());
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0755), 0);
  EXPECT_TRUE(in_child([&] {
    if (::setresuid(65534, 65534, 65534) != 0) {
      return false;
    }
    const auto other = open();
    const auto page = other->list("", "", 10);
    EXPECT_FALSE(page.has_value());
    EXPECT_EQ(page.error().code, ErrorCode::Denied);
    EXPECT_EQ(other->get(name_of("data/ab/x"), 10).error().code, ErrorCode::Denied);
    EXPECT_EQ(other->head(name_of("data/ab/x")).error().code, ErrorCode::Denied);
    EXPECT_EQ(other->put(name_of("data/ab/y"), as_bytes("y")).why().code, ErrorCode::Denied);
    EXPECT_EQ(other->remove(name_of("data/ab/x")).why().code, ErrorCode::Denied);
    EXPECT_TRUE(other->now().has_value());
    return true;
  }));
}

/// A mount that goes away with the test. Needs root, as the rest of the mounts in tests do.
class Mount {
 public:
  Mount(const char* source, const std::string& target, const char* type, unsigned long flags,
        const char* data)
      : target_(target), mounted_(::mount(source, target.c_str(), type, flags, data) == 0) {}
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;
  ~Mount() {
    if (mounted_) {
      ::umount2(target_.c_str(), MNT_DETACH);
    }
  }
  bool mounted() const { return mounted_; }

 private:
  std::string target_;
  bool mounted_;
};

TEST_F(LocalStoreTest, SaysExhaustedWhenTheDiskIsFullAndKeepsWhatIsThere) {
  const std::string path = directory_.path("small");
  ASSERT_EQ(::mkdir(path.c_str(), 0700), 0);
  const Mount small("none", path, "tmpfs", 0, "size=1m");
  if (!small.mounted()) {
    GTEST_SKIP() << "cannot mount: " << std::strerror(errno);
  }
  const auto store = LocalStore::open(path, rng_, clock_);
  ASSERT_TRUE(store.has_value());
  int stored = 0;
  std::optional<Outcome> refused;
  while (!refused && stored < 100) {
    Outcome outcome = (*store)->put(name_of("data/" + std::to_string(stored)), pattern(1, 100'000));
    if (outcome.done()) {
      ++stored;
    } else {
      refused = std::move(outcome);
    }
  }
  ASSERT_TRUE(refused.has_value());
  EXPECT_FALSE(refused->unknown());
  EXPECT_EQ(refused->why().code, ErrorCode::Exhausted);
  EXPECT_NE(refused->why().message.find(path + "/data/" + std::to_string(stored)), std::string::npos)
      << refused->why().message;
  EXPECT_EQ((*store)->list("", "", 100)->objects.size(), static_cast<std::size_t>(stored));
  EXPECT_TRUE(std::filesystem::is_empty(path + "/.tmp"));
  // Removing works on a full disk, and makes room.
  EXPECT_TRUE((*store)->remove(name_of("data/0")).done());
  EXPECT_TRUE((*store)->put(name_of("data/again"), pattern(2, 90'000)).done());
}

TEST_F(LocalStoreTest, ReadsFromAReadOnlyFileSystemAndSaysDeniedToWrites) {
  {
    const auto store = open();
    ASSERT_TRUE(store->put(name_of("data/ab/x"), as_bytes("x")).done());
  }
  const Mount bound(directory_.path().c_str(), directory_.path(), nullptr, MS_BIND, nullptr);
  if (!bound.mounted()) {
    GTEST_SKIP() << "cannot mount: " << std::strerror(errno);
  }
  ASSERT_EQ(::mount(nullptr, directory_.path().c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr),
            0);
  const auto store = open();
  EXPECT_EQ(as_text(store->get(name_of("data/ab/x"), 10).value()), "x");
  EXPECT_EQ(store->list("", "", 10)->objects.size(), 1U);
  EXPECT_TRUE(store->now().has_value());
  const Outcome put = store->put(name_of("data/ab/y"), as_bytes("y"));
  EXPECT_FALSE(put.done() || put.unknown());
  EXPECT_EQ(put.why().code, ErrorCode::Denied);
  const Outcome removed = store->remove(name_of("data/ab/x"));
  EXPECT_FALSE(removed.done() || removed.unknown());
  EXPECT_EQ(removed.why().code, ErrorCode::Denied);
}

TEST_F(LocalStoreTest, SyncsTheFileBeforeItHasItsNameAndTheFolderAfter) {
  const auto store = open();
  ASSERT_TRUE(store->put(name_of("data/ab/first"), as_bytes("x")).done());
  const auto count = [&](std::string_view call, const ObjectName& name) {
    const ArmedSyscalls armed({.only = call});
    EXPECT_TRUE(store->put(name, as_bytes("x")).done());
    return armed.count();
  };
  EXPECT_EQ(count("fsync", name_of("data/ab/second")), 2U);
  // A new folder must be durable in its parent too.
  EXPECT_EQ(count("fsync", name_of("data/cd/third")), 3U);
  {
    const ArmedSyscalls armed({.action = Action::Fail, .index = 0, .errno_value = EIO, .only = "fsync"});
    const Outcome outcome = store->put(name_of("data/ab/no"), as_bytes("x"));
    EXPECT_FALSE(outcome.done() || outcome.unknown());
  }
  EXPECT_EQ(store->head(name_of("data/ab/no")).error().code, ErrorCode::NotFound);
}

TEST_F(LocalStoreTest, SyncsFoldersThatAnotherProcessMade) {
  directory_.make_dirs("data/ab");
  const auto store = open();
  const ArmedSyscalls armed({.only = "fsync"});
  ASSERT_TRUE(store->put(name_of("data/ab/x"), as_bytes("x")).done());
  EXPECT_EQ(armed.count(), 4U);  // file, "data" in the root, "ab" in "data", the file's name in "ab"
}

TEST_F(LocalStoreTest, DoesNotKnowWhenTheFolderCannotBeSynced) {
  const auto store = open();
  ASSERT_TRUE(store->put(name_of("data/ab/first"), as_bytes("x")).done());
  {
    const ArmedSyscalls armed({.action = Action::Fail, .index = 1, .errno_value = EIO, .only = "fsync"});
    EXPECT_TRUE(store->put(name_of("data/ab/x"), as_bytes("x")).unknown());
  }
  {
    const ArmedSyscalls armed({.action = Action::Fail, .index = 0, .errno_value = EIO, .only = "fsync"});
    EXPECT_TRUE(store->remove(name_of("data/ab/first")).unknown());
  }
  EXPECT_TRUE(store->put(name_of("data/ab/x"), as_bytes("x")).done());
  EXPECT_TRUE(store->remove(name_of("data/ab/first")).done());
}

TEST_F(LocalStoreTest, DoesNotKnowWhenTheRenameIsLost) {
  const auto store = open();
  const ArmedSyscalls armed({.action = Action::Fail, .index = 0, .errno_value = EIO, .only = "renameat2"});
  EXPECT_TRUE(store->put(name_of("data"), as_bytes("x")).unknown());
}

TEST_F(LocalStoreTest, NeverReplacesWhereTheKernelCannotRenameWithoutReplacing) {
  for (const bool links_work : {true, false}) {
    SCOPED_TRACE(links_work);
    const auto store = open();
    const std::string prefix = links_work ? "data/a" : "data/b";
    const auto put = [&](const char* text) {
      const ArmedSyscalls armed({.action = Action::Fail,
                                 .errno_value = links_work ? EINVAL : EOPNOTSUPP,
                                 .only = links_work ? "renameat2" : "renameat2+linkat",
                                 .sticky = true});
      return store->put(name_of(prefix + "/x"), as_bytes(text));
    };
    EXPECT_TRUE(put("first").done());
    EXPECT_TRUE(put("first").done());
    EXPECT_EQ(put("other").why().code, ErrorCode::Exists);
    EXPECT_EQ(as_text(store->get(name_of(prefix + "/x"), 10).value()), "first");
    EXPECT_EQ(temporary_count(), 0U);
  }
}

TEST_F(LocalStoreTest, FinishesShortWritesAndReads) {
  const auto store = open();
  const Bytes bytes = pattern(5, 10'000);
  const ArmedSyscalls armed({.action = Action::FallShort, .sticky = true});
  ASSERT_TRUE(store->put(name_of("data/x"), bytes).done());
  EXPECT_EQ(store->get(name_of("data/x"), 10'000).value(), bytes);
}

TEST_F(LocalStoreTest, SurvivesAnyFailedCallOfAPut) {
  // From a new directory each time, so that the calls that make folders are among them.
  const Bytes bytes = pattern(3, 5000);
  const ObjectName name = name_of("data/ab/x");
  std::size_t fired = 0;
  for (const int error : {EIO, ENOSPC, EDQUOT, EROFS, EACCES, EMFILE, ENOENT, EEXIST, ESTALE, ETIMEDOUT}) {
    for (std::uint64_t index = 0;; ++index) {
      SCOPED_TRACE(testing::Message() << std::strerror(error) << " at call " << index);
      const std::string path = directory_.path("r" + std::to_string(error) + "-" + std::to_string(index));
      ASSERT_TRUE(LocalStore::init(path).has_value());
      const auto store = LocalStore::open(path, rng_, clock_);
      ASSERT_TRUE(store.has_value());
      std::optional<Outcome> outcome;
      {
        const ArmedSyscalls armed({.action = Action::Fail, .index = index, .errno_value = error});
        outcome = (*store)->put(name, bytes);
        if (!armed.fired()) {
          EXPECT_GT(index, 10U);
          break;
        }
      }
      ++fired;
      const auto got = (*store)->get(name, bytes.size());
      if (outcome->done()) {
        EXPECT_EQ(got.value_or(Bytes()), bytes);
      } else if (!outcome->unknown()) {
        ASSERT_FALSE(got.has_value());
        EXPECT_EQ(got.error().code, ErrorCode::NotFound);
      } else if (got.has_value()) {
        EXPECT_EQ(*got, bytes);
      }
      const Outcome again = (*store)->put(name, bytes);
      EXPECT_TRUE(again.done()) << again.why().message;
      EXPECT_EQ((*store)->list("", "", 10)->objects.size(), 1U);
    }
  }
  EXPECT_GT(fired, 100U);
}

TEST_F(LocalStoreTest, SurvivesAnyFailedCallOfAReplacement) {
  const ObjectName name = name_of("sessions/a.hb");
  for (const int error : {EIO, ENOSPC, ENOENT}) {
    const auto store = open();
    std::string last = "first";
    ASSERT_TRUE(store->put(name, as_bytes(last), {.replace = true}).done());
    for (std::uint64_t index = 0;; ++index) {
      SCOPED_TRACE(testing::Message() << std::strerror(error) << " at call " << index);
      const std::string next = "version " + std::to_string(index);
      bool fired = false;
      std::optional<Outcome> outcome;
      {
        const ArmedSyscalls armed({.action = Action::Fail, .index = index, .errno_value = error});
        outcome = store->put(name, as_bytes(next), {.replace = true});
        fired = armed.fired();
      }
      const std::string there(as_text(store->get(name, 100).value_or(Bytes())));
      if (outcome->done()) {
        EXPECT_EQ(there, next);
      } else if (outcome->unknown()) {
        EXPECT_TRUE(there == last || there == next) << there;
      } else {
        EXPECT_EQ(there, last);
      }
      last = there;
      if (!fired) {
        EXPECT_TRUE(outcome->done());
        break;
      }
    }
  }
}

TEST_F(LocalStoreTest, NeverTakesAFailedCallForAbsence) {
  const auto store = open();
  const std::vector<std::string> names = {"a", "data/ab/x", "data/ab/y", "data/cd/z", "index/0000/1"};
  for (const std::string& name : names) {
    ASSERT_TRUE(store->put(name_of(name), as_bytes(name)).done());
  }
  for (const int error : {EIO, EACCES, EMFILE, ESTALE, ETIMEDOUT}) {
    for (std::uint64_t index = 0;; ++index) {
      SCOPED_TRACE(testing::Message() << std::strerror(error) << " at call " << index);
      const ArmedSyscalls armed({.action = Action::Fail, .index = index, .errno_value = error});
      const auto page = store->list("", "", 100);
      if (!armed.fired()) {
        EXPECT_GT(index, 10U);
        break;
      }
      if (page.has_value()) {
        EXPECT_EQ(page->objects.size(), names.size());
      } else {
        EXPECT_NE(page.error().code, ErrorCode::NotFound);
      }
    }
    for (std::uint64_t index = 0; index < 3; ++index) {
      SCOPED_TRACE(testing::Message() << std::strerror(error) << " at call " << index);
      const auto code = [&](auto request) {
        const ArmedSyscalls armed({.action = Action::Fail, .index = index, .errno_value = error});
        const auto result = request();
        EXPECT_NE(result.has_value(), armed.fired());
        return result ? ErrorCode::Unavailable : result.error().code;
      };
      Bytes one(1);
      EXPECT_NE(code([&] { return store->get(name_of("data/ab/x"), 100); }), ErrorCode::NotFound);
      EXPECT_NE(code([&] { return store->get_range(name_of("data/ab/x"), 0, one); }), ErrorCode::NotFound);
      EXPECT_NE(code([&] { return store->head(name_of("data/ab/x")); }), ErrorCode::NotFound);
    }
  }
}

TEST_F(LocalStoreTest, LeavesTheObjectWholeOrAbsentWhenKilledAtAnyCall) {
  const Bytes bytes = pattern(3, 5000);
  const ObjectName name = name_of("data/ab/x");
  for (std::uint64_t index = 0;; ++index) {
    SCOPED_TRACE(testing::Message() << "killed at call " << index);
    const std::string path = directory_.path("r" + std::to_string(index));
    ASSERT_TRUE(LocalStore::init(path).has_value());
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const auto store = LocalStore::open(path, rng_, clock_);
      const ArmedSyscalls armed({.action = Action::Kill, .index = index});
      ::_exit((*store)->put(name, bytes).done() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    const auto store = LocalStore::open(path, rng_, clock_);
    const auto got = (*store)->get(name, bytes.size());
    if (got.has_value()) {
      EXPECT_EQ(*got, bytes);
    } else {
      EXPECT_EQ(got.error().code, ErrorCode::NotFound);
    }
    EXPECT_EQ((*store)->list("", "", 10)->objects.size(), got.has_value() ? 1U : 0U);
    EXPECT_TRUE((*store)->put(name, bytes).done());
    if (WIFEXITED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
      EXPECT_GT(index, 10U);
      break;
    }
  }
}

}  // namespace
}  // namespace firn::store
