// Where pages and bundles end: decided by content, so that equal input gives equal chunks again.
//
// Only writers need it. Not here: where files are cut into chunks (chunker).
#pragma once

#include <cstdint>
#include <string_view>

#include "repo/base/bytes.h"

namespace firn::format {

/// True iff XXH3-64(key; seed) < 2^64 · record_bytes / 64 KiB and the page has kPageBytesMin bytes: it then
/// ends after this record.
bool page_ends_after(std::uint64_t seed, ByteView key, std::size_t record_bytes, std::size_t page_bytes);

/// True iff the bundle ends after a file: XXH3-64(path; seed) < 2^64 · file_bytes / bundle_size.
bool bundle_ends_after(std::uint64_t seed, std::string_view path, std::uint64_t file_bytes,
                       std::uint32_t bundle_size);
/// False: the bundle ends before the file, because it would reach 2 · bundle_size.
constexpr bool bundle_takes(std::uint64_t bundle_bytes, std::uint64_t file_bytes, std::uint32_t bundle_size) {
  return bundle_bytes + file_bytes < 2 * static_cast<std::uint64_t>(bundle_size);
}

}  // namespace firn::format
