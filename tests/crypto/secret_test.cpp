// Secret memory: wiped, locked, left out of core files.
#include "crypto/secret.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>
#include <type_traits>
#include <vector>

namespace firn::crypto {
namespace {

static_assert(!std::is_copy_constructible_v<SecretBytes> && !std::is_copy_assignable_v<SecretBytes>);
static_assert(!std::is_copy_constructible_v<Secret<32>> && !std::is_copy_assignable_v<Secret<32>>);

constexpr std::byte kKey{0x5c};

/// Small secrets stay in mapped pages after they are gone, so their old place may be looked at.
bool all_zero(const std::byte* place, std::size_t size_bytes) {
  const volatile std::byte* const bytes = place;
  for (std::size_t i = 0; i < size_bytes; ++i) {
    if (bytes[i] != std::byte{0}) {
      return false;
    }
  }
  return true;
}

SecretBytes filled(std::size_t size_bytes) {
  SecretBytes secret(size_bytes);
  std::fill(secret.writable().begin(), secret.writable().end(), kKey);
  return secret;
}

/// The two-letter flags that the kernel lists for the mapping around `place`.
std::vector<std::string> mapping_flags(const std::byte* place) {
  std::ifstream smaps("/proc/self/smaps");
  const auto address = reinterpret_cast<std::uintptr_t>(place);
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {  // NOLINT(cert-err34-c)
      inside = begin <= address && address < end;
    } else if (inside && line.starts_with("VmFlags:")) {
      std::istringstream words(line.substr(8));
      return {std::istream_iterator<std::string>(words), {}};
    }
  }
  return {};
}

bool contains(const std::vector<std::string>& flags, const std::string& flag) {
  return std::find(flags.begin(), flags.end(), flag) != flags.end();
}

constexpr std::size_t kSizesBytes[] = {1, 32, 63, 64, 65, 1000, 16 * 1024, 16 * 1024 + 1, 100'000};

TEST(SecretBytes, LieInPagesLeftOutOfCoreFiles) {
  for (const std::size_t size_bytes : kSizesBytes) {
    const SecretBytes secret = filled(size_bytes);
    EXPECT_TRUE(contains(mapping_flags(secret.bytes().data()), "dd")) << size_bytes;
  }
  const std::vector<std::byte> ordinary(100);
  EXPECT_FALSE(contains(mapping_flags(ordinary.data()), "dd"));
}

TEST(SecretBytes, LieInLockedPagesWhereTheKernelAllowsIt) {
  const SecretBytes secret = filled(32);
  const auto status = secret_memory_status();
  EXPECT_EQ(status.undumped_bytes, status.mapped_bytes);
  ASSERT_GT(status.mapped_bytes, 0u);
  if (status.locked_bytes != status.mapped_bytes) {
    GTEST_SKIP() << "this process may not lock memory";
  }
  EXPECT_TRUE(contains(mapping_flags(secret.bytes().data()), "lo"));
}

TEST(SecretBytes, WorkWithoutTheRightToLockAndSaySo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto without_the_right = [] {
    const rlimit none{.rlim_cur = 0, .rlim_max = 0};
    const bool dropped = setrlimit(RLIMIT_MEMLOCK, &none) == 0 && (getuid() != 0 || setuid(65534) == 0);
    const auto before = secret_memory_status();
    const SecretBytes secret = filled(100'000);
    const auto after = secret_memory_status();
    const bool works = secret.bytes().back() == kKey;
    const bool said_so = after.locked_bytes == before.locked_bytes &&
                         after.mapped_bytes == before.mapped_bytes + 100'000 &&
                         after.undumped_bytes == before.undumped_bytes + 100'000;
    std::_Exit(dropped && works && said_so ? 0 : 1);
  };
  EXPECT_EXIT(without_the_right(), testing::ExitedWithCode(0), "");
}

TEST(SecretBytes, AreWipedWhenTheirOwnerGoes) {
  for (const std::size_t size_bytes : {1u, 32u, 64u, 65u, 1000u, 16u * 1024}) {
    const std::byte* place = nullptr;
    {
      const SecretBytes secret = filled(size_bytes);
      place = secret.bytes().data();
      ASSERT_FALSE(all_zero(place, size_bytes));
    }
    EXPECT_TRUE(all_zero(place, size_bytes)) << size_bytes;
  }
}

TEST(SecretBytes, AreWipedAtOnceWhenAssignedTo) {
  SecretBytes secret = filled(48);
  const std::byte* const place = secret.bytes().data();
  SecretBytes other = filled(32);
  secret = std::move(other);
  EXPECT_TRUE(all_zero(place, 48));
  EXPECT_EQ(secret.size(), 32u);
  EXPECT_EQ(secret.bytes().front(), kKey);
}

TEST(SecretBytes, MoveWithoutACopy) {
  SecretBytes secret = filled(48);
  const std::byte* const place = secret.bytes().data();
  const SecretBytes moved = std::move(secret);
  EXPECT_EQ(moved.bytes().data(), place);
  EXPECT_TRUE(secret.empty());  // NOLINT(bugprone-use-after-move): the header promises it
}

TEST(SecretBytes, StartAsZeros) {
  { const SecretBytes used = filled(5000); }
  for (const std::size_t size_bytes : kSizesBytes) {
    const SecretBytes secret(size_bytes);
    EXPECT_TRUE(all_zero(secret.bytes().data(), size_bytes)) << size_bytes;
  }
}

TEST(SecretBytes, ACloneIsASecretOfItsOwn) {
  SecretBytes secret = filled(40);
  const SecretBytes clone = secret.clone();
  EXPECT_TRUE(constant_time_equal(clone.bytes(), secret.bytes()));
  secret.writable().front() = std::byte{0};
  EXPECT_FALSE(constant_time_equal(clone.bytes(), secret.bytes()));
}

TEST(SecretBytes, NeverShareACell) {
  std::vector<SecretBytes> secrets;
  for (std::size_t i = 0; i < 2000; ++i) {
    secrets.push_back(SecretBytes(1 + i % 150));
    std::fill(secrets.back().writable().begin(), secrets.back().writable().end(), std::byte(i & 0xff));
    if (i % 3 == 0) {
      secrets[i / 2] = SecretBytes();
    }
  }
  for (std::size_t i = 0; i < secrets.size(); ++i) {
    for (const std::byte byte : secrets[i].bytes()) {
      ASSERT_EQ(byte, std::byte(i & 0xff)) << "secret " << i;
    }
  }
}

TEST(SecretBytes, ReuseTheirPages) {
  { const SecretBytes first = filled(10'000); }
  const auto before = secret_memory_status();
  for (int i = 0; i < 1000; ++i) {
    const SecretBytes small = filled(10'000);
    const SecretBytes big = filled(50'000);
  }
  EXPECT_EQ(secret_memory_status().mapped_bytes, before.mapped_bytes);
}

TEST(SecretBytes, MayBeMadeOnManyThreads) {
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  threads.reserve(wrong.size());
  for (int& errors : wrong) {
    threads.emplace_back([&errors] {
      for (std::size_t i = 0; i < 500; ++i) {
        const SecretBytes secret = filled(1 + i % 300);
        errors += std::count(secret.bytes().begin(), secret.bytes().end(), kKey) !=
                  static_cast<std::ptrdiff_t>(secret.size());
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong, std::vector<int>(4));
}

TEST(Secret, HasExactlyItsSize) {
  Secret<32> key;
  static_assert(decltype(key.bytes())::extent == 32);
  EXPECT_TRUE(all_zero(key.bytes().data(), 32));
  key.writable()[31] = kKey;
  EXPECT_EQ(key.clone().bytes()[31], kKey);
  EXPECT_EQ(Secret<32>::copy_of(key.bytes()).bytes()[31], kKey);
}

TEST(Wipe, LeavesZeros) {
  std::vector<std::byte> bytes(100, kKey);
  wipe(bytes);
  EXPECT_EQ(bytes, std::vector<std::byte>(100));
  wipe({});
}

}  // namespace
}  // namespace firn::crypto
