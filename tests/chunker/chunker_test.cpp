// The chunker's promises: every form cuts like the oracle, wherever a file is split; sizes keep their bounds;
// cuts find their place again after an edit; profiles and golden cuts are frozen.
#include "chunker/chunker.h"

#include <gmock/gmock.h>

#include <set>
#include <string>

#include "chunker/cut_selector.h"
#include "chunker/kernels.h"
#include "tests/chunker/data.h"
#include "tests/chunker/oracle.h"

namespace firn::chunker {
namespace {

using data::Bytes;
using Offsets = std::vector<std::uint64_t>;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t kSeed = 20260101;

// Small sizes make many cuts in a short file; the code does not know the difference.
constexpr CutRules kSmallRules{
    .min_bytes = 256, .normal_bytes = 1024, .max_bytes = 4096, .strict_bits = 12, .loose_bits = 8};

// Candidates as dense as they get (with fewer bits, offsets that pass silence each other): sizes, borders and
// windows meet in every combination.
constexpr CutRules kDenseRules{
    .min_bytes = 64, .normal_bytes = 128, .max_bytes = 512, .strict_bits = 6, .loose_bits = 5};

Offsets cuts_of_stream(const GearTable& table, const CutRules& rules, std::span<const std::byte> file,
                       std::size_t piece_bytes) {
  ChunkerView chunker(table, rules);
  Offsets cuts;
  for (std::size_t at = 0; at < file.size(); at += piece_bytes) {
    chunker.feed(file.subspan(at, std::min(piece_bytes, file.size() - at)), cuts);
  }
  chunker.finish(cuts);
  return cuts;
}

std::vector<Candidate> candidates_of_block(const GearTable& table, const CutRules& rules,
                                           std::span<const std::byte> file, std::size_t from,
                                           std::size_t to) {
  std::vector<Candidate> found;
  const std::size_t warmup_bytes = std::min(from, kWarmupBytes);
  find_candidates(table, rules, file.subspan(from - warmup_bytes, warmup_bytes),
                  file.subspan(from, to - from), from, found);
  return found;
}

Offsets cuts_of_blocks(const GearTable& table, const CutRules& rules, std::span<const std::byte> file,
                       std::size_t block_bytes) {
  CutSelector selector(rules);
  Offsets cuts;
  for (std::size_t at = 0; at < file.size(); at += block_bytes) {
    const std::size_t end = std::min(at + block_bytes, file.size());
    selector.add(candidates_of_block(table, rules, file, at, end), end, cuts);
  }
  selector.finish(cuts);
  return cuts;
}

/// Calls `check` once with each kernel of this machine.
template <class Check>
void with_every_kernel(const Check& check) {
  const Kernel fastest = select_kernel();
  for (const Kernel kernel : available_kernels()) {
    SCOPED_TRACE(to_string(kernel));
    ASSERT_TRUE(use_kernel(kernel));
    check();
  }
  use_kernel(fastest);
}

struct Sample {
  std::string what;
  Bytes bytes;
};

std::vector<Sample> samples() {
  std::vector<Sample> all;
  for (const std::size_t size :
       {0u, 1u, 31u, 32u, 33u, 62u, 63u, 255u, 256u, 257u, 4095u, 4096u, 4097u, 100'000u}) {
    all.push_back({"random, size " + std::to_string(size), data::random_bytes(kSeed, size)});
  }
  all.push_back({"zeros", Bytes(50'000)});
  all.push_back({"log", data::log_bytes(kSeed, 100'000)});
  for (const std::size_t period : {2u, 31u, 32u, 33u, 64u, 1000u}) {
    all.push_back({"period " + std::to_string(period), data::periodic_bytes(kSeed, period, 50'000)});
  }
  return all;
}

TEST(Chunker, EveryFormCutsLikeTheOracle) {
  for (const CutRules& rules : {kSmallRules, kDenseRules}) {
    for (const std::uint64_t key : {1u, 2u, 3u}) {
      const GearTable table = data::table(key);
      for (const auto& [what, bytes] : samples()) {
        SCOPED_TRACE(what + ", key " + std::to_string(key) + ", min " + std::to_string(rules.min_bytes));
        const Offsets expected = oracle::cuts(table, rules, bytes);
        for (const std::size_t piece_bytes : {1u, 7u, 61u, 62u, 63u, 300u, 4096u, 10'007u, 1'000'000u}) {
          SCOPED_TRACE(piece_bytes);
          EXPECT_EQ(cuts_of_stream(table, rules, bytes, piece_bytes), expected);
          with_every_kernel([&] { EXPECT_EQ(cuts_of_blocks(table, rules, bytes, piece_bytes), expected); });
        }
      }
    }
  }
}

TEST(Chunker, CutsLikeTheOracleWithTheDefaultProfile) {
  const GearTable table = data::table(kSeed);
  const CutRules rules = rules_for(kDefaultAverageBytes).value();
  const Bytes file = data::random_bytes(kSeed, 8u << 20);
  const Offsets expected = oracle::cuts(table, rules, file);
  EXPECT_GT(expected.size(), 20u);
  EXPECT_EQ(cuts_of_stream(table, rules, file, 1u << 20), expected);
  with_every_kernel([&] { EXPECT_EQ(cuts_of_blocks(table, rules, file, 1u << 20), expected); });
}

TEST(Candidates, DoNotDependOnWhereABlockBegins) {
  const GearTable table = data::table(kSeed);
  const Bytes file = data::random_bytes(kSeed, 3000);
  const auto expected = oracle::candidates(table, kSmallRules, file);
  ASSERT_GT(expected.size(), 5u);
  for (std::size_t split = 0; split <= file.size(); ++split) {
    auto found = candidates_of_block(table, kSmallRules, file, 0, split);
    const auto rest = candidates_of_block(table, kSmallRules, file, split, file.size());
    found.insert(found.end(), rest.begin(), rest.end());
    ASSERT_EQ(found, expected) << "split at " << split;
  }
}

TEST(Candidates, DoNotDependOnBytesBeforeTheirWindow) {
  const GearTable table = data::table(kSeed);
  Bytes file = data::random_bytes(kSeed, 3000);
  const auto before = candidates_of_block(table, kSmallRules, file, 1000, 3000);
  std::fill_n(file.begin(), 1000 - kWarmupBytes, std::byte{7});
  EXPECT_EQ(candidates_of_block(table, kSmallRules, file, 1000, 3000), before);
  EXPECT_EQ(oracle::candidates(table, kSmallRules, file).back(), before.back());
}

TEST(Candidates, StandAtLeast32BytesApartInAnyData) {
  // A table of zeros makes every hash zero, so that every offset passes: the densest case there is.
  const Bytes zero_key(GearTable::kKeyBytes);
  const auto table = GearTable::from_bytes(std::span<const std::byte, GearTable::kKeyBytes>(zero_key));
  std::vector<Candidate> found;
  find_candidates(table, kSmallRules, {}, data::random_bytes(kSeed, 100'000), 0, found);
  EXPECT_THAT(found, ElementsAre(Candidate{.offset = 1, .strict = true}));

  for (const std::uint64_t key : {1u, 2u, 3u, 4u}) {
    std::uint64_t last = 0;
    found.clear();
    find_candidates(data::table(key), kDenseRules, {}, data::random_bytes(key, 100'000), 0, found);
    for (const Candidate& candidate : found) {
      ASSERT_TRUE(last == 0 || candidate.offset - last >= 32) << "key " << key << " at " << candidate.offset;
      last = candidate.offset;
    }
  }
}

TEST(Candidates, HaveAHashBelowTheLimitNotAtIt) {
  // Zero bytes keep the hash at 2^31, and the byte after them makes it exactly its own word.
  constexpr std::uint32_t kLoose = 1u << (32 - kSmallRules.loose_bits);
  constexpr std::uint32_t kStrict = 1u << (32 - kSmallRules.strict_bits);
  std::array<std::uint32_t, 256> words;
  words.fill(1u << 31);
  words[1] = kLoose;
  words[2] = kLoose - 1;
  words[3] = kStrict;
  words[4] = kStrict - 1;
  const GearTable table(words);
  for (std::size_t offset = 1; offset <= 9; ++offset) {
    SCOPED_TRACE(offset);
    const auto found_after = [&](std::byte last) {
      Bytes file(offset + 3);
      file[offset - 1] = last;
      return candidates_of_block(table, kSmallRules, file, 0, file.size());
    };
    EXPECT_THAT(found_after(std::byte{1}), IsEmpty());
    EXPECT_THAT(found_after(std::byte{2}), ElementsAre(Candidate{.offset = offset, .strict = false}));
    EXPECT_THAT(found_after(std::byte{3}), ElementsAre(Candidate{.offset = offset, .strict = false}));
    EXPECT_THAT(found_after(std::byte{4}), ElementsAre(Candidate{.offset = offset, .strict = true}));
  }
}

TEST(CandidatesDeathTest, RefuseAWarmupThatIsTooShort) {
  const GearTable table = data::table(kSeed);
  const Bytes block(100);
  std::vector<Candidate> found;
  EXPECT_DEATH(find_candidates(table, kSmallRules, std::span(block).first(61), block, 1000, found), "");
}

TEST(Chunker, CutsDataOfAShortPeriodAtTheMaximumWhateverTheKey) {
  for (std::uint64_t key = 0; key < 300; ++key) {
    const GearTable table = data::table(key);
    for (const std::size_t period : {1u, 2u, 3u, 16u, 31u}) {
      const Bytes file = data::periodic_bytes(key, period, 5 * 4096);
      const Offsets cuts = cuts_of_stream(table, kSmallRules, file, file.size());
      ASSERT_THAT(cuts, ElementsAre(4096, 8192, 12288, 16384, 20480))
          << "key " << key << " period " << period;
    }
  }
}

TEST(Chunker, KeepsItsBoundsAndItsAverage) {
  const GearTable table = data::table(kSeed);
  const Bytes file = data::random_bytes(kSeed, 4u << 20);
  const Offsets cuts = cuts_of_stream(table, kSmallRules, file, file.size());
  std::uint64_t start = 0;
  for (const std::uint64_t cut : cuts) {
    const std::uint64_t size = cut - start;
    EXPECT_LE(size, kSmallRules.max_bytes);
    EXPECT_TRUE(size >= kSmallRules.min_bytes || cut == file.size()) << size;
    start = cut;
  }
  EXPECT_EQ(cuts.back(), file.size());
  const double average = static_cast<double>(file.size()) / static_cast<double>(cuts.size());
  EXPECT_NEAR(average / kSmallRules.normal_bytes, 1.0, 0.25);
}

TEST(Chunker, FindsItsPlaceAgainAfterAnInsertion) {
  const GearTable table = data::table(kSeed);
  const Bytes file = data::random_bytes(kSeed, 200'000);
  const Offsets before = cuts_of_stream(table, kSmallRules, file, file.size());
  Bytes edited = file;
  edited.insert(edited.begin() + 50'000, std::byte{1});
  const Offsets after = cuts_of_stream(table, kSmallRules, edited, edited.size());
  std::set<std::uint64_t> kept;
  for (const std::uint64_t cut : after) {
    kept.insert(cut > 50'000 ? cut - 1 : cut);
  }
  const auto lost =
      std::count_if(before.begin(), before.end(), [&](auto cut) { return !kept.contains(cut); });
  EXPECT_LE(lost, 10) << "of " << before.size();
}

TEST(Chunker, CutsDifferentlyUnderAnotherKey) {
  const Bytes file = data::random_bytes(kSeed, 100'000);
  EXPECT_NE(cuts_of_stream(data::table(1), kSmallRules, file, file.size()),
            cuts_of_stream(data::table(2), kSmallRules, file, file.size()));
}

TEST(Chunker, HasNoCutsForAnEmptyStream) {
  const GearTable table = data::table(kSeed);
  EXPECT_THAT(cuts_of_stream(table, kSmallRules, {}, 1), IsEmpty());
  EXPECT_THAT(cuts_of_blocks(table, kSmallRules, {}, 1), IsEmpty());
}

TEST(CutSelector, PrefersTheFirstStrictCandidateThenTheFirstLooseOneThenTheMaximum) {
  struct Case {
    const char* what;
    std::vector<Candidate> candidates;
    Offsets cuts;
  };
  const std::vector<Case> cases = {
      {"nothing", {}, {4096, 5000}},
      {"strict below the minimum", {{255, true}}, {4096, 5000}},
      {"strict at the minimum", {{256, true}}, {256, 4352, 5000}},
      {"loose below the normal size", {{1023, false}}, {4096, 5000}},
      {"loose at the normal size", {{1024, false}}, {1024, 5000}},
      {"a loose one is passed over for a later strict one", {{500, false}, {600, true}}, {600, 4696, 5000}},
      {"at the maximum", {{4096, false}}, {4096, 5000}},
      {"beyond the maximum", {{4097, true}, {4400, true}}, {4096, 4400, 5000}},
      {"at the end", {{4096, true}, {5000, true}}, {4096, 5000}},
  };
  for (const auto& [what, candidates, expected] : cases) {
    SCOPED_TRACE(what);
    CutSelector selector(kSmallRules);
    Offsets cuts;
    selector.add(candidates, 5000, cuts);
    selector.finish(cuts);
    EXPECT_EQ(cuts, expected);
  }
}

TEST(CutSelector, SaysWhereTheOpenChunkStarts) {
  CutSelector selector(kSmallRules);
  Offsets cuts;
  selector.add({}, 4000, cuts);
  EXPECT_EQ(selector.chunk_start(), 0u);
  selector.add({}, 4096, cuts);
  EXPECT_EQ(selector.chunk_start(), 4096u);
  EXPECT_THAT(cuts, ElementsAre(4096));
}

TEST(GearTable, ReadsItsWordsLittleEndianInOrder) {
  Bytes key_bytes(GearTable::kKeyBytes);
  key_bytes[4 * 255] = std::byte{0x78};
  key_bytes[4 * 255 + 1] = std::byte{0x56};
  key_bytes[4 * 255 + 2] = std::byte{0x34};
  key_bytes[4 * 255 + 3] = std::byte{0x12};
  const auto table = GearTable::from_bytes(std::span<const std::byte, GearTable::kKeyBytes>(key_bytes));
  EXPECT_EQ(table.word(std::byte{255}), 0x12345678u);
  EXPECT_EQ(table.word(std::byte{0}), 0u);
}

// Cuts of released repositories. A difference here breaks deduplication with every older snapshot; no change
// of this table is ever right. The key and the files come from SplitMix64 (tests/chunker/data.h).
TEST(Chunker, CutsAsItAlwaysHas) {
  const GearTable table = data::table(1);
  const Bytes random = data::random_bytes(2, 4u << 20);
  const Bytes log = data::log_bytes(2, 4u << 20);
  struct Golden {
    const char* what;
    std::uint32_t average_bytes;
    const Bytes& file;
    Offsets cuts;
  };
  const std::vector<Golden> all = {
      {"random, 128 KiB", 128u << 10, random, {116002,  153382,  265499,  402891,  573919,  701536,  896872,
                                               1041742, 1146936, 1295363, 1414098, 1592490, 1652813, 1774826,
                                               1889979, 2003356, 2152731, 2285184, 2486423, 2634739, 2753245,
                                               2907966, 3023667, 3112135, 3260647, 3369092, 3463231, 3573356,
                                               3710669, 3833746, 3957566, 4126353, 4174821, 4194304}},
      {"log, 128 KiB", 128u << 10, log, {107492,  238713,  430536,  606877,  655360,  816740,
                                         927024,  1041798, 1199669, 1436549, 1547087, 1672028,
                                         1814990, 1978173, 2093452, 2204159, 2335368, 2461413,
                                         2714265, 2832806, 2951729, 3109117, 3246042, 3361430,
                                         3472715, 3581195, 3718634, 3895818, 4078389, 4194304}},
      {"random, 256 KiB",
       256u << 10,
       random,
       {153382, 481469, 750806, 966645, 1182072, 1592490, 1850467, 2152731, 2512032, 2830140, 3044685,
        3308962, 3463231, 3678507, 3930641, 4148297, 4194304}},
      {"log, 256 KiB",
       256u << 10,
       log,
       {238713, 655360, 927024, 1199669, 1436549, 1814990, 2104470, 2392198, 2739852, 3109117, 3361430,
        3617665, 4194304}},
      {"random, 512 KiB",
       512u << 10,
       random,
       {153382, 750806, 1182072, 1645650, 2152731, 2516075, 2979964, 3463231, 3890748, 4194304}},
      {"log, 512 KiB", 512u << 10, log, {655360, 1265774, 2104470, 2739852, 3246042, 4194304}},
      {"random, 1024 KiB", 1024u << 10, random, {1041742, 2516075, 3463231, 4194304}},
      {"log, 1024 KiB", 1024u << 10, log, {655360, 2104470, 3109117, 4194304}},
  };
  for (const auto& [what, average_bytes, file, expected] : all) {
    SCOPED_TRACE(what);
    const CutRules rules = rules_for(average_bytes).value();
    EXPECT_EQ(cuts_of_stream(table, rules, file, 1u << 20), expected);
    with_every_kernel([&] { EXPECT_EQ(cuts_of_blocks(table, rules, file, 1u << 20), expected); });
  }
}

TEST(Rules, KnowFourProfilesOnly) {
  EXPECT_EQ(rules_for(256u << 10), (CutRules{.min_bytes = 64u << 10,
                                             .normal_bytes = 208u << 10,
                                             .max_bytes = 1024u << 10,
                                             .strict_bits = 20,
                                             .loose_bits = 16}));
  EXPECT_EQ(rules_for(1024u << 10), (CutRules{.min_bytes = 256u << 10,
                                              .normal_bytes = 832u << 10,
                                              .max_bytes = 4096u << 10,
                                              .strict_bits = 22,
                                              .loose_bits = 18}));
  EXPECT_TRUE(rules_for(128u << 10).has_value());
  EXPECT_TRUE(rules_for(512u << 10).has_value());
  for (const std::uint32_t average_bytes :
       {0u, 1u, 64u << 10, (256u << 10) + 1, 384u << 10, 2048u << 10, ~0u}) {
    EXPECT_FALSE(rules_for(average_bytes).has_value()) << average_bytes;
  }
}

TEST(FixedCuts, EndAtMultiplesAndAtTheEnd) {
  EXPECT_EQ(next_fixed_cut(0, 1000, 400), 400u);
  EXPECT_EQ(next_fixed_cut(400, 1000, 400), 800u);
  EXPECT_EQ(next_fixed_cut(800, 1000, 400), 1000u);
  EXPECT_EQ(next_fixed_cut(0, 1, 400), 1u);
  EXPECT_EQ(next_fixed_cut(~std::uint64_t{0} - 1, ~std::uint64_t{0}, 400), ~std::uint64_t{0});
}

}  // namespace
}  // namespace firn::chunker
