#include "repo/format/chunk.h"

#include <algorithm>

#include "crypto/leaf_hash.h"
#include "repo/base/check.h"
#include "repo/base/codec.h"

namespace firn::format {
namespace {

constexpr std::string_view kAadLabel = "firn/v1/chunk";
constexpr std::size_t kAadBytes = kAadLabel.size() + 16 + 32 + 1 + 1 + 4;

std::array<std::byte, kAadBytes> chunk_aad(const RepositoryId& repository, const ChunkId& id,
                                           const ChunkShape& shape) {
  std::array<std::byte, kAadBytes> aad{};
  std::byte* at = aad.data();
  const auto put = [&at](ByteView bytes) { at = std::copy(bytes.begin(), bytes.end(), at); };
  put(as_bytes(kAadLabel));
  put(repository.bytes);
  put(id.bytes);
  *at++ = static_cast<std::byte>(shape.type);
  *at++ = static_cast<std::byte>(shape.codec);
  base::store_little(at, shape.plain);
  return aad;
}

crypto::Digest keyed_leaves(const ContentKey& key, std::uint8_t domain, std::uint64_t size_bytes,
                            std::span<const crypto::Digest> leaves) {
  std::array<std::byte, 9> head{};
  head[0] = static_cast<std::byte>(domain);
  base::store_little(head.data() + 1, size_bytes);
  return crypto::hmac_sha256(key.bytes(), head, std::as_bytes(leaves));
}

crypto::Digest keyed_bytes(const ContentKey& key, std::uint8_t domain, ByteView bytes) {
  // One leaf, the common small case, needs no list.
  if (!bytes.empty() && bytes.size() <= crypto::kLeafBytes) {
    const crypto::Digest leaf = crypto::sha256(bytes);
    return keyed_leaves(key, domain, bytes.size(), std::span(&leaf, 1));
  }
  std::vector<crypto::Digest> leaves;
  crypto::leaf_digests(bytes, leaves);
  return keyed_leaves(key, domain, bytes.size(), leaves);
}

Result<> open_stored(crypto::Key256View key, const RepositoryId& repository, const ChunkId& id,
                     const ChunkShape& shape, ByteView stored, Decompressor& decompressor, Bytes& plain) {
  if (!shape_is_valid(shape) || stored.size() != shape.stored) {
    return fail(ErrorCode::Corrupt, "chunk " + id.hex() + " has an impossible length");
  }
  const auto aad = chunk_aad(repository, id, shape);
  const auto nonce = stored.first<crypto::kAeadNonceBytes>();
  const ByteView sealed = stored.subspan(crypto::kAeadNonceBytes);
  const std::size_t encoded_bytes = sealed.size() - crypto::kAeadTagBytes;
  plain.resize(shape.plain);
  const MutableBytes opened =
      shape.codec == Codec::Raw ? MutableBytes(plain) : decompressor.scratch(encoded_bytes);
  if (!crypto::aes256gcm_open(key, nonce, aad, sealed, opened)) {
    return fail(ErrorCode::Corrupt, "chunk " + id.hex() + " does not decrypt");
  }
  if (shape.codec != Codec::Raw) {
    FIRN_TRY(in("chunk " + id.hex(), decompressor.decode(shape.codec, opened, plain)));
  }
  return {};
}

}  // namespace

bool shape_is_valid(const ChunkShape& shape) {
  const auto type = static_cast<std::uint8_t>(shape.type);
  if (type < 1 || type > kChunkTypeLast || shape.plain < 1 || shape.plain > kPlainBytesMax) {
    return false;
  }
  switch (shape.codec) {
    case Codec::Raw:
      return shape.stored == shape.plain + kChunkOverheadBytes;
    case Codec::Zstd:
      return shape.stored > kChunkOverheadBytes && shape.stored < shape.plain + kChunkOverheadBytes;
  }
  return false;
}

ChunkSecret chunk_capability(const ContentKey& key, ChunkType type, ByteView plain) {
  FIRN_CHECK(type != ChunkType::RefsPage);
  return {keyed_bytes(key, static_cast<std::uint8_t>(type), plain)};
}

ChunkSecret chunk_capability(const ContentKey& key, ChunkType type, std::uint64_t plain_bytes,
                             std::span<const crypto::Digest> leaves) {
  FIRN_CHECK(type != ChunkType::RefsPage && leaves.size() == crypto::leaf_count(plain_bytes));
  return {keyed_leaves(key, static_cast<std::uint8_t>(type), plain_bytes, leaves)};
}

ContentDigest content_digest(const ContentKey& key, ByteView content) {
  const crypto::Digest digest = keyed_bytes(key, 0, content);
  ContentDigest half;
  std::copy_n(digest.begin(), half.bytes.size(), half.bytes.begin());
  return half;
}

ChunkId chunk_id(const ChunkSecret& capability) {
  return {crypto::hmac_sha256(capability.bytes, as_bytes("firn/id"))};
}

bool capability_opens(const ChunkSecret& capability, const ChunkId& id) {
  return crypto::constant_time_equal(chunk_id(capability).bytes, id.bytes);
}

crypto::Secret<32> chunk_key(const ChunkSecret& capability) {
  crypto::Digest key = crypto::hmac_sha256(capability.bytes, as_bytes("firn/key"));
  auto secret = crypto::Secret<32>::copy_of(key);
  crypto::wipe(key);
  return secret;
}

ChunkId refs_page_id(const RefsKey& key, ByteView plain) {
  return {crypto::hmac_sha256(key.bytes(), as_bytes("id"), plain)};
}

crypto::Secret<32> refs_page_key(const RefsKey& key, const ChunkId& id) {
  crypto::Digest digest = crypto::hmac_sha256(key.bytes(), as_bytes("key"), id.bytes);
  auto secret = crypto::Secret<32>::copy_of(digest);
  crypto::wipe(digest);
  return secret;
}

void seal_chunk(crypto::Key256View key, const RepositoryId& repository, const ChunkId& id,
                const ChunkShape& shape, const Nonce& nonce, ByteView encoded, MutableBytes out) {
  FIRN_CHECK(shape_is_valid(shape) && encoded.size() + kChunkOverheadBytes == shape.stored &&
             out.size() == shape.stored);
  std::copy(nonce.begin(), nonce.end(), out.begin());
  const auto aad = chunk_aad(repository, id, shape);
  crypto::aes256gcm_seal(key, nonce, aad, encoded, out.subspan(nonce.size()));
}

Result<> open_chunk(const ContentKey& content, const ChunkSecret& capability, const RepositoryId& repository,
                    const ChunkShape& shape, ByteView stored, Decompressor& decompressor, Bytes& plain) {
  const ChunkId id = chunk_id(capability);
  if (shape.type == ChunkType::RefsPage) {
    return fail(ErrorCode::Corrupt, "chunk " + id.hex() + " cannot be a refs page");
  }
  FIRN_TRY(open_stored(chunk_key(capability).bytes(), repository, id, shape, stored, decompressor, plain));
  const ChunkSecret again = chunk_capability(content, shape.type, plain);
  if (!crypto::constant_time_equal(again.bytes, capability.bytes)) {
    return fail(ErrorCode::Corrupt, "chunk " + id.hex() + " holds other bytes than its name says");
  }
  return {};
}

Result<> open_refs_chunk(const RefsKey& refs, const ChunkId& id, const RepositoryId& repository,
                         const ChunkShape& shape, ByteView stored, Decompressor& decompressor, Bytes& plain) {
  if (shape.type != ChunkType::RefsPage) {
    return fail(ErrorCode::Corrupt, "chunk " + id.hex() + " is not a refs page");
  }
  FIRN_TRY(open_stored(refs_page_key(refs, id).bytes(), repository, id, shape, stored, decompressor, plain));
  if (refs_page_id(refs, plain) != id) {
    return fail(ErrorCode::Corrupt, "refs page " + id.hex() + " holds other bytes than its name says");
  }
  return {};
}

}  // namespace firn::format
