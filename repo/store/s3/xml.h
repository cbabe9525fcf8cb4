// The XML of S3's answers: a listing, and an error.
//
// The parsers take hostile input: what is not there, twice there or out of bounds where it matters is
// refused. Threads: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "repo/base/bytes.h"
#include "repo/base/clock.h"
#include "repo/base/result.h"

namespace firn::store::s3 {

/// A page of 1,000 keys of 1,024 bytes, each byte percent-encoded, with what stands around them.
inline constexpr std::size_t kListingBytesMax = 8 << 20;
inline constexpr std::size_t kErrorBytesMax = 64 << 10;

struct ListedKey {
  std::string key;  // decoded
  std::uint64_t size_bytes = 0;
  base::WallTime modified;
};

struct Listing {
  std::vector<ListedKey> keys;  // strictly ascending
  bool truncated = false;
};

/// The answer to ListObjectsV2 without a delimiter. Errors: Unavailable (not a whole and consistent listing:
/// an answer from something else, cut off or damaged; asking again may help).
Result<Listing> parse_listing(ByteView body);

struct ServerError {
  std::string code;     // "NoSuchKey"
  std::string message;  // for people
  std::string region;   // where the bucket is, when the server says so
};

/// Nothing when the body is no S3 error.
std::optional<ServerError> parse_error(ByteView body);

}  // namespace firn::store::s3
