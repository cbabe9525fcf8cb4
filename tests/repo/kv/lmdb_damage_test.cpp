// Damaged LMDB files: each is refused as Corrupt, or what opens can be read and written without a crash.
//
// Every damaged file is tried in a process of its own, so that a signal is seen as such and named by its
// seed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>

#include "repo/base/files.h"
#include "repo/base/rng.h"
#include "repo/kv/lmdb_kv.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace firn::kv {
namespace {

constexpr EnvironmentOptions kOptions{.size_bytes_max = 64 << 20, .durable = false};
constexpr std::size_t kPageBytes = 4096;

/// Where fsync costs nothing, if there is such a place.
std::string memory_directory() { return ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ""; }

enum class Verdict : int { Opened = 0, Refused = 1, WrongError = 2, Crashed = 3 };

std::string key_of(std::uint64_t i) {
  std::string key = std::to_string(i * 7919 % 100'003);
  return "key-" + std::string(6 - key.size(), '0') + key;
}

/// Trees of several levels, small and large values, and a list of free pages.
Bytes sample_file() {
  const test::TempDir root(memory_directory());
  {
    const auto kv = *LmdbKv::open_directory(root.path());
    const auto environment = *kv->open("things", kOptions);
    for (int round = 0; round < 8; ++round) {
      auto txn = *environment->begin_write();
      for (std::uint64_t i = 0; i < 400; ++i) {
        const auto number = static_cast<std::uint64_t>(round) * 300 + i;
        const std::string value(number % 97 == 0 ? 6000 : number % 60, 'v');
        EXPECT_TRUE(txn->put(TableId{0}, as_bytes(key_of(number)), as_bytes(value)));
        if (number % 5 == 0) {
          EXPECT_TRUE(txn->put(TableId{1}, as_bytes(key_of(number)), {}));
          EXPECT_TRUE(txn->erase(TableId{0}, as_bytes(key_of(number / 2))));
        }
      }
      EXPECT_TRUE(txn->commit());
    }
  }
  return *base::read_file(root.path() + "/things/data.mdb", 64 << 20);
}

/// Opens `file` and, if that goes well, reads and changes everything in it.
Verdict use(const std::string& directory) {
  const auto kv = *LmdbKv::open_directory(directory);
  const auto environment = kv->open("things", kOptions);
  if (!environment) {
    return environment.error().code == ErrorCode::Corrupt ? Verdict::Refused : Verdict::WrongError;
  }
  std::size_t sum = 0;
  std::vector<Bytes> keys;
  {
    const auto txn = *(*environment)->begin_read();
    for (std::size_t table = 0; table < kTablesMax; ++table) {
      if (!txn->scan(static_cast<TableId>(table), {}, [&](ByteView key, ByteView value) {
            keys.push_back(to_bytes(key));
            return std::ranges::for_each(value, [&](std::byte b) { sum += std::to_integer<std::size_t>(b); }),
                   true;
          })) {
        return Verdict::WrongError;
      }
    }
  }
  base::SeededRng rng(keys.size() + sum % 2);
  for (int round = 0; round < 3; ++round) {
    auto txn = *(*environment)->begin_write();
    for (std::size_t i = 0; i < keys.size(); i += 3) {
      const std::string value(rng.next() % 200, 'w');
      const Bytes& key = keys[rng.next() % keys.size()];
      const bool done = rng.next() % 2 == 0
                            ? txn->put(TableId{0}, key, as_bytes(value)).has_value()
                            : txn->erase(static_cast<TableId>(rng.next() % 2), key).has_value();
      if (!done) {
        break;
      }
    }
    (void)txn->commit();
  }
  return Verdict::Opened;
}

Verdict try_file(ByteView file) {
  const int code = test::exit_code_of([&] {
    const test::TempDir root(memory_directory());
    std::filesystem::create_directories(root.path() + "/things");
    const std::string path = root.path() + "/things/data.mdb";
    const auto fd = *base::open_at(AT_FDCWD, path, O_WRONLY | O_CREAT, 0600);
    const bool written = base::write_all(fd.get(), file, path).has_value();
    return static_cast<int>(written ? use(root.path()) : Verdict::WrongError);
  });
  return code >= 0 ? static_cast<Verdict>(code) : Verdict::Crashed;
}

class LmdbDamage : public testing::Test {
 protected:
  static void SetUpTestSuite() { sample_ = new Bytes(sample_file()); }
  static void TearDownTestSuite() { delete sample_; }
  static const Bytes& sample() { return *sample_; }

  static void expect_no_crash(ByteView file) {
    const Verdict verdict = try_file(file);
    EXPECT_TRUE(verdict == Verdict::Opened || verdict == Verdict::Refused) << static_cast<int>(verdict);
    (verdict == Verdict::Refused ? refused_ : opened_) += 1;
  }

  void SetUp() override { refused_ = opened_ = 0; }

  static Bytes* sample_;
  static int refused_;
  static int opened_;
};
Bytes* LmdbDamage::sample_ = nullptr;
int LmdbDamage::refused_ = 0;
int LmdbDamage::opened_ = 0;

TEST_F(LmdbDamage, AcceptsTheFileUndamaged) { EXPECT_EQ(try_file(sample()), Verdict::Opened); }

TEST_F(LmdbDamage, RefusesAFileThatEndsEarly) {
  ASSERT_GT(sample().size(), 50 * kPageBytes);
  std::vector<std::size_t> lengths = {1, 100, kPageBytes - 1, kPageBytes, 2 * kPageBytes - 1, 2 * kPageBytes};
  for (std::size_t length = 3 * kPageBytes; length < sample().size() / 2; length += 5 * kPageBytes - 13) {
    lengths.push_back(length);
  }
  for (const std::size_t length : lengths) {
    SCOPED_TRACE("length " + std::to_string(length));
    EXPECT_EQ(try_file(ByteView(sample()).first(length)), Verdict::Refused);
  }
}

TEST_F(LmdbDamage, StartsAnewFromAnEmptyFile) { EXPECT_EQ(try_file({}), Verdict::Opened); }

TEST_F(LmdbDamage, SurvivesEveryPageZeroed) {
  for (std::size_t page = 0; page < sample().size() / kPageBytes; ++page) {
    SCOPED_TRACE("page " + std::to_string(page));
    Bytes file = sample();
    std::fill_n(file.begin() + static_cast<std::ptrdiff_t>(page * kPageBytes), kPageBytes, std::byte{0});
    expect_no_crash(file);
  }
  EXPECT_GT(refused_, 50);  // the others are free pages, or hold only a value
}

TEST_F(LmdbDamage, SurvivesEveryPageReplacedByAnother) {
  const std::size_t pages = sample().size() / kPageBytes;
  for (std::size_t page = 0; page < pages; ++page) {
    SCOPED_TRACE("page " + std::to_string(page));
    Bytes file = sample();
    std::memcpy(file.data() + page * kPageBytes, sample().data() + (page * 31 + 7) % pages * kPageBytes,
                kPageBytes);
    expect_no_crash(file);
  }
  EXPECT_GT(refused_, 50);  // the others are free pages, or hold only a value
}

TEST_F(LmdbDamage, SurvivesFlippedBytesInPageHeadersAndNodes) {
  base::SeededRng rng(4711);
  for (int i = 0; i < 250; ++i) {
    Bytes file = sample();
    std::string what;
    for (std::uint64_t flips = 1 + rng.next() % 3; flips > 0; --flips) {
      // Half of them where structure is dense: the first bytes of a page.
      const std::size_t page = rng.next() % 2 == 0 ? rng.next() % 4 : rng.next() % (file.size() / kPageBytes);
      const std::size_t at = page * kPageBytes + rng.next() % (rng.next() % 2 == 0 ? 160 : kPageBytes);
      file[at] = static_cast<std::byte>(rng.next());
      what += " " + std::to_string(at) + "=" + std::to_string(std::to_integer<int>(file[at]));
    }
    SCOPED_TRACE("flip " + std::to_string(i) + ":" + what);
    expect_no_crash(file);
  }
  EXPECT_GT(refused_, 50);
}

TEST_F(LmdbDamage, NeverTakesASoundFileForADamagedOne) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    base::SeededRng rng(seed);
    const test::TempDir root(memory_directory());
    const auto kv = *LmdbKv::open_directory(root.path());
    for (int opening = 0; opening < 12; ++opening) {
      std::filesystem::remove(root.path() + "/things/closed");
      const auto environment = kv->open("things", kOptions);
      ASSERT_TRUE(environment) << environment.error().message;
      for (std::uint64_t commits = rng.next() % 4; commits > 0; --commits) {
        // An old reader now and then keeps pages from being used again.
        const auto reader = rng.next() % 3 == 0 ? *(*environment)->begin_read() : nullptr;
        auto txn = *(*environment)->begin_write();
        const std::uint64_t range = 1 + rng.next() % 4000;
        const bool mostly_erase = rng.next() % 3 == 0;
        for (std::uint64_t i = rng.next() % 2000; i > 0; --i) {
          const std::string key = key_of(rng.next() % range);
          const auto table = static_cast<TableId>(rng.next() % 3);
          if (rng.next() % 4 < (mostly_erase ? 3U : 1U)) {
            ASSERT_TRUE(txn->erase(table, as_bytes(key)));
          } else {
            const std::size_t size = rng.next() % 50 == 0 ? rng.next() % 20'000 : rng.next() % 300;
            ASSERT_TRUE(txn->put(table, as_bytes(key), Bytes(size)));
          }
        }
        if (rng.next() % 5 != 0) {
          ASSERT_TRUE(txn->commit());
        }
      }
    }
  }
}

}  // namespace
}  // namespace firn::kv
