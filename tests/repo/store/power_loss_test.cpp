// What the local store acknowledged survives power loss.
//
// A file system on a loop device; the backing file is copied at the moment an answer came. The copy holds
// what had been sent to the device and nothing that was only in memory, as a disk would after the power went.
// Mounting it replays its journal. Needs root.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "repo/base/executor.h"
#include "repo/store/local_store.h"
#include "tests/support/syscall_faults.h"
#include "tests/support/temp_dir.h"

namespace firn::store {
namespace {

using test::ArmedSyscalls;

ObjectName name_of(std::string_view text) { return ObjectName::parse(text).value(); }

Bytes pattern(std::uint64_t seed, std::size_t size_bytes) {
  Bytes bytes(size_bytes);
  base::SeededRng(seed).fill(bytes);
  return bytes;
}

bool run(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

class PowerLoss : public testing::Test {
 protected:
  void SetUp() override {
    directory_.make_dirs("live");
    directory_.make_dirs("after");
    // The journal is written only when somebody asks: what is not synced must be lost.
    if (!run("truncate -s 32M " + directory_.path("disk") + " && mkfs.ext4 -q -F " + directory_.path("disk") +
             " && mount -o loop,commit=300 " + directory_.path("disk") + " " + directory_.path("live"))) {
      GTEST_SKIP() << "cannot mount a loop device";
    }
    mounted_ = true;
    const std::string path = directory_.path("live/repository");
    ASSERT_TRUE(LocalStore::init(path).has_value());
    store_ = *LocalStore::open(path, rng_, clock_);
  }
  void TearDown() override {
    store_.reset();
    if (mounted_) {
      EXPECT_TRUE(run("umount " + directory_.path("live")));
    }
  }

  /// What a process sees that comes up after the power went now.
  void after_power_loss(const std::function<void(ObjectStore&)>& look) {
    ASSERT_TRUE(run("cp --sparse=always " + directory_.path("disk") + " " + directory_.path("copy")));
    ASSERT_TRUE(run("mount -o loop " + directory_.path("copy") + " " + directory_.path("after")));
    {
      const auto store = LocalStore::open(directory_.path("after/repository"), rng_, clock_);
      EXPECT_TRUE(store.has_value()) << store.error().message;
      if (store) {
        look(**store);
      }
    }
    ASSERT_TRUE(run("umount " + directory_.path("after")));
  }

  base::SystemRng rng_;
  base::SystemClock clock_;
  test::TempDir directory_{"/dev/shm"};
  std::unique_ptr<LocalStore> store_;
  bool mounted_ = false;
};

TEST_F(PowerLoss, KeepsEveryObjectThatWasAnswered) {
  const std::vector<std::string> names = {"config/00000001", "data/ab/x", "data/ab/y", "data/cd/z",
                                          "sessions/a.hb"};
  std::vector<std::string> put;
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(store_->put(name_of(name), pattern(name.size(), 200'000)).done());
    put.push_back(name);
    after_power_loss([&](ObjectStore& store) {
      for (const std::string& earlier : put) {
        EXPECT_EQ(store.get(name_of(earlier), 200'000).value_or(Bytes()), pattern(earlier.size(), 200'000))
            << earlier;
      }
      EXPECT_EQ(store.list("", "", 100)->objects.size(), put.size());
    });
  }
}

TEST_F(PowerLoss, KeepsReplacementsAndRemovals) {
  ASSERT_TRUE(store_->put(name_of("sessions/a.hb"), as_bytes("old")).done());
  ASSERT_TRUE(store_->put(name_of("sessions/a.hb"), as_bytes("new"), {.replace = true}).done());
  after_power_loss([](ObjectStore& store) {
    EXPECT_EQ(as_text(store.get(name_of("sessions/a.hb"), 10).value_or(Bytes())), "new");
  });
  ASSERT_TRUE(store_->remove(name_of("sessions/a.hb")).done());
  after_power_loss([](ObjectStore& store) {
    EXPECT_EQ(store.head(name_of("sessions/a.hb")).error().code, ErrorCode::NotFound);
  });
}

TEST_F(PowerLoss, KeepsAnEqualObjectThatAnotherProcessHadNotSynced) {
  const Bytes bytes = pattern(1, 100'000);
  {
    // The other process died between its rename and its sync.
    const ArmedSyscalls armed({.action = ArmedSyscalls::Action::Pretend, .only = "fsync", .sticky = true});
    ASSERT_TRUE(store_->put(name_of("data/ab/x"), bytes).done());
  }
  const auto other = LocalStore::open(directory_.path("live/repository"), rng_, clock_);
  ASSERT_TRUE((*other)->put(name_of("data/ab/x"), bytes).done());
  after_power_loss([&](ObjectStore& store) {
    EXPECT_EQ(store.get(name_of("data/ab/x"), bytes.size()).value_or(Bytes()), bytes);
  });
}

// Without this the tests above would prove nothing.
TEST_F(PowerLoss, LosesWhatWasNotSynced) {
  {
    const ArmedSyscalls armed({.action = ArmedSyscalls::Action::Pretend, .only = "fsync", .sticky = true});
    ASSERT_TRUE(store_->put(name_of("data/ab/x"), pattern(1, 100'000)).done());
  }
  after_power_loss(
      [](ObjectStore& store) { EXPECT_FALSE(store.get(name_of("data/ab/x"), 200'000).has_value()); });
}

}  // namespace
}  // namespace firn::store
