// scrypt (RFC 7914): a key from a password, with bounds, because the parameters may come from an untrusted
// key object.
//
// Promise: parameters out of bounds are refused before any memory is taken.
// Scratch memory is wiped by OpenSSL, but neither locked nor kept out of core files: it is too big for that.
// Threads: may be called from any thread; each call takes scrypt_memory_bytes() of its own.
#pragma once

#include "crypto/types.h"

namespace firn::crypto {

inline constexpr std::uint64_t kScryptCostMax = std::uint64_t{1} << 20;
inline constexpr std::uint32_t kScryptBlockSizeMax = 32;
inline constexpr std::uint32_t kScryptParallelMax = 16;
inline constexpr std::uint64_t kScryptMemoryBytesMax = std::uint64_t{256} << 20;

/// N, r and p of RFC 7914.
struct ScryptParameters {
  std::uint64_t cost = std::uint64_t{1} << 15;
  std::uint32_t block_size = 8;
  std::uint32_t parallel = 3;
  bool operator==(const ScryptParameters&) const = default;
};

/// True iff `cost` is a power of two from 2, everything is within the bounds above, and 128·N·r is at most
/// kScryptMemoryBytesMax.
bool scrypt_acceptable(const ScryptParameters& parameters);

/// What a call takes beside its output, for acceptable parameters.
std::uint64_t scrypt_memory_bytes(const ScryptParameters& parameters);

/// Fills `out` (1 to 1024 bytes). False, `out` untouched: the parameters are not acceptable.
[[nodiscard]] bool scrypt(ByteView password, ByteView salt, const ScryptParameters& parameters,
                          MutableBytes out);

}  // namespace firn::crypto
