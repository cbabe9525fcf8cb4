// Every kernel of this machine marks the lines that the definition says, and nothing else of a caller's
// memory.
#include "chunker/kernels.h"

#include <gmock/gmock.h>

#include <string>

#include "chunker/detail/markers.h"
#include "tests/chunker/data.h"
#include "tests/chunker/oracle.h"

namespace firn::chunker {
namespace {

using data::Bytes;
using detail::kLineBytes;
using detail::LineMarker;
using Marks = std::vector<std::uint64_t>;

constexpr std::uint64_t kSeed = 20260102;
constexpr std::size_t kBefore = kHashWindowBytes;

Marks oracle_marks(const GearTable& table, std::uint32_t limit, const Bytes& file, std::size_t lines) {
  Marks marks(lines / 64 + 1);
  for (std::size_t i = 0; i < lines * kLineBytes; ++i) {
    if (oracle::hash_at(table, file, kBefore + i + 1) < limit) {
      detail::set_mark(marks.data(), i / kLineBytes);
    }
  }
  return marks;
}

Marks marks_of(const LineMarker& marker, const GearTable& table, std::uint32_t limit, const Bytes& file,
               std::size_t lines) {
  Marks marks(lines / 64 + 1);
  marker.mark(table, limit,
              {.first = file.data() + kBefore,
               .lines_per_lane = lines / marker.lanes,
               .hash = oracle::hash_at(table, file, kBefore)},
              marks.data());
  return marks;
}

TEST(Markers, MarkTheLinesInWhichAHashIsBelowTheLimit) {
  for (const LineMarker& marker : detail::line_markers()) {
    for (const std::size_t lines_per_lane : {1u, 2u, 3u, 9u, 64u}) {
      const std::size_t lines = lines_per_lane * marker.lanes;
      const std::size_t size_bytes = kBefore + lines * kLineBytes;
      for (const std::uint64_t key : {1u, 2u, 3u}) {
        const GearTable table = data::table(key);
        for (const Bytes& file : {data::random_bytes(key, size_bytes), data::log_bytes(key, size_bytes),
                                  data::periodic_bytes(key, 33, size_bytes), Bytes(size_bytes)}) {
          for (const std::uint32_t bits : {0u, 1u, 5u, 8u, 12u, 16u}) {
            SCOPED_TRACE(std::string(to_string(marker.kernel)) + ", lines a lane " +
                         std::to_string(lines_per_lane) + ", key " + std::to_string(key) + ", bits " +
                         std::to_string(bits));
            const std::uint32_t limit = bits == 0 ? ~std::uint32_t{0} : std::uint32_t{1} << (32 - bits);
            ASSERT_EQ(marks_of(marker, table, limit, file, lines), oracle_marks(table, limit, file, lines));
          }
        }
      }
    }
  }
}

TEST(Markers, TellTheLimitFromTheNumberBelowIt) {
  // Zero bytes keep the hash at 2^31, and the byte after them makes it exactly its own word.
  constexpr std::uint32_t kLimit = 1u << 16;
  for (const std::uint32_t word : {0u, 1u, kLimit - 1, kLimit, kLimit + 1, (1u << 31) + kLimit - 1, ~0u}) {
    std::array<std::uint32_t, 256> words;
    words.fill(1u << 31);
    words[255] = word;
    const GearTable table(words);
    for (const LineMarker& marker : detail::line_markers()) {
      const std::size_t lines = marker.lanes;
      // The byte stands once in each lane and at each place of a line.
      for (std::size_t at = 0; at < lines * kLineBytes; ++at) {
        Bytes file(kBefore + lines * kLineBytes);
        file[kBefore + at] = std::byte{255};
        ASSERT_EQ(marks_of(marker, table, kLimit, file, lines), oracle_marks(table, kLimit, file, lines))
            << to_string(marker.kernel) << " at " << at << " word " << word;
      }
    }
  }
}

TEST(Markers, LeaveOtherMarksAlone) {
  const GearTable table = data::table(kSeed);
  for (const LineMarker& marker : detail::line_markers()) {
    const std::size_t lines = marker.lanes;
    const Bytes file = data::random_bytes(kSeed, kBefore + lines * kLineBytes);
    Marks marks{std::uint64_t{1} << 63, 17};
    marker.mark(table, 1, {.first = file.data() + kBefore, .lines_per_lane = 1, .hash = 0}, marks.data());
    EXPECT_THAT(marks, ::testing::ElementsAre(std::uint64_t{1} << 63, 17)) << to_string(marker.kernel);
  }
}

TEST(Kernels, FindTheSameCandidatesInBlocksOfEverySize) {
  constexpr CutRules kRules{
      .min_bytes = 64, .normal_bytes = 128, .max_bytes = 512, .strict_bits = 9, .loose_bits = 7};
  const GearTable table = data::table(kSeed);
  const Bytes file = data::random_bytes(kSeed, 70'000);
  const auto find = [&](const LineMarker* marker, std::size_t from, std::size_t size_bytes) {
    const std::size_t warmup_bytes = std::min(from, kWarmupBytes);
    std::vector<Candidate> found;
    detail::find_candidates_with(marker, table, kRules,
                                 std::span(file).subspan(from - warmup_bytes, warmup_bytes),
                                 std::span(file).subspan(from, size_bytes), from, found);
    return found;
  };
  for (const LineMarker& marker : detail::line_markers()) {
    for (std::size_t size_bytes = 0; size_bytes < 60'000; size_bytes += 1 + size_bytes / 7) {
      for (const std::size_t from : {0u, 1u, 62u, 1000u}) {
        ASSERT_EQ(find(&marker, from, size_bytes), find(nullptr, from, size_bytes))
            << to_string(marker.kernel) << " from " << from << " size " << size_bytes;
      }
    }
  }
}

TEST(Kernels, AreAllTrustedOnThisMachine) {
  EXPECT_EQ(available_kernels().size(), 1 + detail::line_markers().size());
  EXPECT_EQ(available_kernels().front(), Kernel::Scalar);
  EXPECT_EQ(select_kernel(), available_kernels().back());
}

TEST(Kernels, ThatThisMachineHasNotAreRefused) {
  const Kernel before = select_kernel();
  std::size_t refused = 0;
  for (const Kernel kernel : {Kernel::Scalar, Kernel::Avx2, Kernel::Avx512, Kernel::Neon}) {
    const bool available = std::ranges::count(available_kernels(), kernel) > 0;
    EXPECT_EQ(use_kernel(kernel), available) << to_string(kernel);
    EXPECT_EQ(select_kernel() == kernel, available) << to_string(kernel);
    refused += available ? 0 : 1;
  }
  EXPECT_GT(refused, 0u) << "no processor has both x86's and aarch64's";
  use_kernel(before);
}

TEST(KernelsDeathTest, MayNotSkipLessThanAWindow) {
  const GearTable table = data::table(kSeed);
  const Bytes bytes(kHashWindowBytes - 1);
  GearScanView scan(table, rules_for(kDefaultAverageBytes).value());
  EXPECT_DEATH(scan.skip(bytes), "");
}

}  // namespace
}  // namespace firn::chunker
