// config/<n>: what a repository is. In clear, signed by the administrator; the highest valid n counts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "crypto/ed25519.h"
#include "repo/base/clock.h"
#include "repo/base/result.h"
#include "repo/format/ids.h"

namespace firn::format {

/// How the bytes of a repository are cut. Readers do not need it.
struct Parameters {
  std::uint32_t pack_size = 16U << 20;  // bytes of a full pack, 1 MiB to 64 MiB
  std::uint8_t chunker = 1;             // 1: firn's keyed FastCDC as of format 1
  std::uint32_t chunk_min = 64U << 10;  // bytes; also the largest file that goes into bundles
  std::uint32_t chunk_average = 256U << 10;
  std::uint32_t chunk_max = 1U << 20;      // at most kPlainBytesMax
  std::uint32_t bundle_size = 512U << 10;  // B; bundles have less than 2·B ≤ kPlainBytesMax
  bool operator==(const Parameters&) const = default;
};

struct Config {
  RepositoryId repository;
  std::uint32_t format = 1;
  base::WallTime created;
  /// Sorted, unique, each 1 to 64 of [a-z0-9-]. A reader that does not know one must refuse the repository.
  std::vector<std::string> required_features;
  Parameters parameters;
  crypto::Ed25519PublicKey admin;  // pk_A
  bool operator==(const Config&) const = default;
};

/// Errors: Invalid (parameters out of bounds).
Result<Bytes> encode(const Config& config);
/// Errors: Corrupt; Unsupported (another format version). Does not judge features.
Result<Config> parse_config(ByteView body);

/// The features that this program does not know, for the message. Empty: it may be opened.
std::vector<std::string> unknown_features(const Config& config);

}  // namespace firn::format
