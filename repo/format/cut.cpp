#include "repo/format/cut.h"

#include <xxhash.h>

#include "repo/format/limits.h"

namespace firn::format {
namespace {

constexpr std::uint64_t kPageAverageBytes = 65536;

/// hash < floor(2^64 · size / per)
bool is_below_share(std::uint64_t hash, std::uint64_t size, std::uint64_t per) {
  if (size >= per) {
    return true;
  }
  const auto threshold = (static_cast<unsigned __int128>(size) << 64) / per;
  return hash < threshold;
}

}  // namespace

bool page_ends_after(std::uint64_t seed, ByteView key, std::size_t record_bytes, std::size_t page_bytes) {
  return page_bytes >= kPageBytesMin &&
         is_below_share(XXH3_64bits_withSeed(key.data(), key.size(), seed), record_bytes, kPageAverageBytes);
}

bool bundle_ends_after(std::uint64_t seed, std::string_view path, std::uint64_t file_bytes,
                       std::uint32_t bundle_size) {
  return is_below_share(XXH3_64bits_withSeed(path.data(), path.size(), seed), file_bytes, bundle_size);
}

}  // namespace firn::format
