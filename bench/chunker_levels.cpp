// What normalisation levels and size bounds store over sets of versions; the numbers of
// docs/decisions/chunker-masks.md.
//
// usage: chunker_levels [--zstd] SET...      a SET is a folder, its files in order of name are the versions.
// Each variant's normal size is chosen so that random data is cut at 256 KiB on average: variants compare at
// an equal number of chunks. Prints one Markdown row a variant: stored bytes of each set as per cent of all
// of its versions' bytes, each chunk once.
#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "chunker/chunker.h"

namespace {

using firn::chunker::ChunkerView;
using firn::chunker::CutRules;
using firn::chunker::GearTable;
using Bytes = std::vector<std::byte>;

constexpr double kAverageBytes = 256 << 10;

struct Variant {
  std::uint32_t level;
  std::uint32_t min_divisor;
  std::uint32_t max_factor;
  double normal_factor;  // 0: so that the mean on random data is the average
};

/// Mean chunk size on random data: a cut at each offset with the probability of its test.
double mean_size(const CutRules& rules) {
  const double strict = std::ldexp(1.0, -static_cast<int>(rules.strict_bits));
  const double loose = std::ldexp(1.0, -static_cast<int>(rules.loose_bits));
  const double to_normal = rules.normal_bytes - rules.min_bytes;
  const double to_max = rules.max_bytes - rules.normal_bytes;
  const double past_normal = std::exp(-strict * to_normal);
  return rules.min_bytes + (1 - past_normal) / strict + past_normal * (1 - std::exp(-loose * to_max)) / loose;
}

CutRules rules_of(const Variant& variant) {
  CutRules rules{.min_bytes = static_cast<std::uint32_t>(kAverageBytes) / variant.min_divisor,
                 .normal_bytes = static_cast<std::uint32_t>(kAverageBytes * variant.normal_factor),
                 .max_bytes = static_cast<std::uint32_t>(kAverageBytes) * variant.max_factor,
                 .strict_bits = 18 + variant.level,
                 .loose_bits = 18 - variant.level};
  if (variant.normal_factor == 0) {
    for (rules.normal_bytes = rules.min_bytes; mean_size(rules) < kAverageBytes; rules.normal_bytes += 1024) {
      if (rules.normal_bytes + 1024 > rules.max_bytes) {
        break;
      }
    }
  }
  return rules;
}

struct Stored {
  std::uint64_t all_bytes = 0;
  std::uint64_t unique_bytes = 0;
  std::uint64_t compressed_bytes = 0;
  std::uint64_t chunks = 0;
  std::uint64_t unique_chunks = 0;
};

Stored store(const GearTable& table, const CutRules& rules, const std::vector<Bytes>& versions,
             bool compress) {
  Stored stored;
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  Bytes out(ZSTD_compressBound(rules.max_bytes));
  ZSTD_CCtx* context = ZSTD_createCCtx();
  for (const Bytes& version : versions) {
    ChunkerView chunker(table, rules);
    std::vector<std::uint64_t> cuts;
    chunker.feed(version, cuts);
    chunker.finish(cuts);
    std::uint64_t start = 0;
    for (const std::uint64_t cut : cuts) {
      const std::byte* chunk = version.data() + start;
      const std::uint64_t size = cut - start;
      start = cut;
      stored.all_bytes += size;
      stored.chunks += 1;
      const XXH128_hash_t hash = XXH3_128bits(chunk, size);
      if (!seen.insert({hash.high64, hash.low64}).second) {
        continue;
      }
      stored.unique_bytes += size;
      stored.unique_chunks += 1;
      if (compress) {
        stored.compressed_bytes +=
            std::min<std::uint64_t>(size, ZSTD_compressCCtx(context, out.data(), out.size(), chunk, size, 3));
      }
    }
  }
  ZSTD_freeCCtx(context);
  return stored;
}

std::vector<Bytes> read_versions(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths(std::filesystem::directory_iterator(folder), {});
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> versions;
  for (const auto& path : paths) {
    Bytes& bytes = versions.emplace_back(std::filesystem::file_size(path));
    std::ifstream(path, std::ios::binary)
        .read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  return versions;
}

/// A few keys: the cuts of small sets depend on the key's luck.
std::vector<GearTable> tables() {
  std::vector<GearTable> all;
  for (std::uint64_t key = 1; key <= 3; ++key) {
    std::array<std::byte, GearTable::kKeyBytes> key_bytes;
    for (std::size_t i = 0; i < key_bytes.size(); i += 8) {
      const std::uint64_t word = XXH3_64bits_withSeed(&i, sizeof i, key);
      std::memcpy(key_bytes.data() + i, &word, sizeof word);
    }
    all.push_back(GearTable::from_bytes(key_bytes));
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> folders(argv + 1, argv + argc);
  const bool compress = std::erase(folders, "--zstd") != 0;
  const std::vector<Variant> variants = {
      {0, 4, 4, 1},   {1, 4, 4, 1}, {2, 4, 4, 1},      {3, 4, 4, 1},  // normal size = average
      {1, 4, 4, 0},   {2, 4, 4, 0}, {2, 4, 4, 0.8125}, {3, 4, 4, 0},  // mean = average
      {2, 8, 4, 0},   {2, 2, 4, 0}, {2, 4, 2, 0},      {2, 4, 8, 0},  // other bounds
      {0, 64, 64, 0},                                                 // nearly no bounds
  };
  std::vector<std::vector<Bytes>> sets;
  std::printf("| level | min | normal | max KiB | mean |");
  for (const std::string& folder : folders) {
    std::printf(" %s |", std::filesystem::path(folder).filename().c_str());
    sets.push_back(read_versions(folder));
  }
  std::printf(" all, GB |%s chunks | mean there |\n", compress ? " zstd -3, GB |" : "");
  const auto keys = tables();
  for (const Variant& variant : variants) {
    const CutRules rules = rules_of(variant);
    std::printf("| %u | %u | %u | %u | %.0f |", variant.level, rules.min_bytes >> 10,
                rules.normal_bytes >> 10, rules.max_bytes >> 10, mean_size(rules) / 1024);
    Stored total;
    for (const auto& versions : sets) {
      Stored of_set;
      for (const GearTable& key : keys) {
        const Stored stored = store(key, rules, versions, compress);
        of_set.all_bytes += stored.all_bytes;
        of_set.unique_bytes += stored.unique_bytes;
        of_set.compressed_bytes += stored.compressed_bytes;
        of_set.unique_chunks += stored.unique_chunks;
        of_set.chunks += stored.chunks;
      }
      std::printf(" %.2f |",
                  100.0 * static_cast<double>(of_set.unique_bytes) / static_cast<double>(of_set.all_bytes));
      total.unique_bytes += of_set.unique_bytes;
      total.compressed_bytes += of_set.compressed_bytes;
      total.unique_chunks += of_set.unique_chunks;
      total.all_bytes += of_set.all_bytes;
      total.chunks += of_set.chunks;
    }
    const auto per_key = [&](std::uint64_t sum) {
      return static_cast<double>(sum) / static_cast<double>(keys.size());
    };
    std::printf(" %.4f |", per_key(total.unique_bytes) / 1e9);
    if (compress) {
      std::printf(" %.4f |", per_key(total.compressed_bytes) / 1e9);
    }
    std::printf(" %.0f | %.0f |\n", per_key(total.unique_chunks),
                static_cast<double>(total.all_bytes) / static_cast<double>(total.chunks) / 1024);
    std::fflush(stdout);
  }
}
