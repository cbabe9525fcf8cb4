// SHA-256 and HMAC-SHA256, at once or bit by bit.
//
// Promise: nothing here can fail; OpenSSL running out of memory aborts the process.
// Not here: the 16 KiB leaf form that chunks and packs are named by (crypto/leaf_hash.h).
// Threads: the functions may be called from any thread; an object belongs to one caller at a time.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "crypto/types.h"

namespace firn::crypto {

/// A SHA-256 or HMAC-SHA256 value. Ordered bytewise.
using Digest = std::array<std::byte, 32>;

Digest sha256_parts(std::span<const ByteView> parts);
Digest hmac_sha256_parts(ByteView key, std::span<const ByteView> parts);

/// SHA-256 of the parts one after the other. Nothing marks the borders between parts.
template <typename... Parts>
Digest sha256(const Parts&... parts) {
  const std::array<ByteView, sizeof...(Parts)> views{ByteView(parts)...};
  return sha256_parts(views);
}

/// HMAC-SHA256 (RFC 2104) of the parts one after the other. A key may have any length, also none.
template <typename... Parts>
Digest hmac_sha256(ByteView key, const Parts&... parts) {
  const std::array<ByteView, sizeof...(Parts)> views{ByteView(parts)...};
  return hmac_sha256_parts(key, views);
}

/// SHA-256 of bytes that arrive bit by bit.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void update(ByteView bytes);
  /// The digest of everything since construction or the last finish(). The object then starts anew.
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// HMAC-SHA256 of bytes that arrive bit by bit. Keeps the key schedule, wiped on destruction.
class HmacSha256 {
 public:
  explicit HmacSha256(ByteView key);
  HmacSha256(HmacSha256&&) noexcept;
  HmacSha256& operator=(HmacSha256&&) noexcept;
  ~HmacSha256();

  void update(ByteView bytes);
  /// The MAC of everything since construction or the last finish(). The object then starts anew, same key.
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace firn::crypto
