// Identities: fixed runs of bytes that must not be mixed up, each a type of its own.
//
// All order bytewise and are shown as lower-case hex. Not here: how they are computed (keys.h, chunk.h,
// session.h, snapshot.h, pack.h).
#pragma once

#include <array>
#include <compare>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "repo/base/bytes.h"

namespace firn::format {

template <std::size_t N, class Tag>
struct FixedId {
  static constexpr std::size_t kBytes = N;
  std::array<std::byte, N> bytes{};

  auto operator<=>(const FixedId&) const = default;
  ByteView view() const { return bytes; }
  std::string hex() const { return to_hex(bytes); }
  bool is_zero() const { return *this == FixedId{}; }

  /// Exactly 2·N digits of lower-case hex; nothing for any other text.
  static std::optional<FixedId> parse(std::string_view hex) {
    FixedId id;
    if (!from_hex(hex, id.bytes)) {
      return std::nullopt;
    }
    return id;
  }
};

using RepositoryId = FixedId<16, struct RepositoryIdTag>;
/// kid: the first 16 bytes of SHA-256(Ed25519 public key ‖ X25519 public key). All zeros stands for the
/// administrator's pair pk_A as a signer.
using KeyId = FixedId<16, struct KeyIdTag>;
using SessionId = FixedId<16, struct SessionIdTag>;
/// r: what a session's id is derived from, together with its kid.
using SessionRandom = FixedId<32, struct SessionRandomTag>;
using PackId = FixedId<32, struct PackIdTag>;
/// The public name of a chunk: HMAC(t, "firn/id").
using ChunkId = FixedId<32, struct ChunkIdTag>;
/// t, the capability: whoever knows it can read the chunk. Never stored outside sealed bytes, never shown.
using ChunkSecret = FixedId<32, struct ChunkSecretTag>;
using SnapshotId = FixedId<32, struct SnapshotIdTag>;
/// First 8 bytes of HMAC(K_meta, source id): the folder of a source's snapshots.
using SourceTag = FixedId<8, struct SourceTagTag>;
/// Keyed digest of a small file's content, to recognise it after it was touched or moved.
using ContentDigest = FixedId<16, struct ContentDigestTag>;
using MachineId = FixedId<16, struct MachineIdTag>;
using BootId = FixedId<16, struct BootIdTag>;

}  // namespace firn::format

/// Good for values that are digests or random already, as all of the above are.
template <std::size_t N, class Tag>
struct std::hash<firn::format::FixedId<N, Tag>> {
  std::size_t operator()(const firn::format::FixedId<N, Tag>& id) const noexcept {
    std::size_t value = 0;
    std::memcpy(&value, id.bytes.data(), sizeof(value));
    return value;
  }
};
