// A chunk: the one unit of storage. Capability, id, key, and the stored form nonce | ciphertext | tag.
//
// Promise: open_chunk gives exactly the bytes whose id was asked for, or Corrupt. Pure functions; nonces are
// parameters. Not here: where chunks are cut (chunker, tree), compression (codec.h), packs (pack.h).
// Threads: any.
#pragma once

#include <cstdint>
#include <vector>

#include "crypto/aead.h"
#include "crypto/digest.h"
#include "repo/base/result.h"
#include "repo/format/codec.h"
#include "repo/format/ids.h"
#include "repo/format/keys.h"
#include "repo/format/limits.h"

namespace firn::format {

enum class ChunkType : std::uint8_t {
  Data = 1,       // a piece of one file
  Bundle = 2,     // whole small files, end to end
  TreePage = 3,   // page.h
  SlicePage = 4,  // slice_page.h
  RefsPage = 5,   // refs.h
};
inline constexpr std::uint8_t kChunkTypeLast = 5;

/// Which packs hold chunks of a type.
constexpr bool is_meta(ChunkType type) { return type >= ChunkType::TreePage; }

/// What a reader must know to open a stored chunk, beside its id. Lengths in bytes.
struct ChunkShape {
  ChunkType type = ChunkType::Data;
  Codec codec = Codec::Raw;
  std::uint32_t plain = 0;   // before the codec, 1 to kPlainBytesMax
  std::uint32_t stored = 0;  // nonce, ciphertext and tag
  bool operator==(const ChunkShape&) const = default;
};

/// True iff lengths are in bounds and fit type and codec, as every trailer and index must have them.
bool shape_is_valid(const ChunkShape& shape);

/// t = HMAC(K_content, type ‖ length ‖ leaf digests). Not for refs pages. `plain` has 1 to kPlainBytesMax
/// bytes.
ChunkSecret chunk_capability(const ContentKey& key, ChunkType type, ByteView plain);
/// The same from leaf digests that the caller has already.
ChunkSecret chunk_capability(const ContentKey& key, ChunkType type, std::uint64_t plain_bytes,
                             std::span<const crypto::Digest> leaves);
/// Keyed digest of a small file's content: the first half of HMAC(K_content, 0 ‖ length ‖ leaf digests).
ContentDigest content_digest(const ContentKey& key, ByteView content);

ChunkId chunk_id(const ChunkSecret& capability);
/// True iff `capability` reads the chunk `id`. Takes the same time whatever it answers.
bool capability_opens(const ChunkSecret& capability, const ChunkId& id);
crypto::Secret<32> chunk_key(const ChunkSecret& capability);

ChunkId refs_page_id(const RefsKey& key, ByteView plain);
crypto::Secret<32> refs_page_key(const RefsKey& key, const ChunkId& id);

using Nonce = std::array<std::byte, crypto::kAeadNonceBytes>;

/// Seals what the codec made of a chunk. `out` has encoded.size() + kChunkOverheadBytes bytes and does not
/// overlap `encoded`. `key` is chunk_key() or refs_page_key(); the nonce is random.
void seal_chunk(crypto::Key256View key, const RepositoryId& repository, const ChunkId& id,
                const ChunkShape& shape, const Nonce& nonce, ByteView encoded, MutableBytes out);

/// Opens a stored chunk: decrypts, decodes to exactly shape.plain bytes, recomputes the capability. `plain`
/// is replaced and keeps its capacity. Errors: Corrupt.
Result<> open_chunk(const ContentKey& content, const ChunkSecret& capability, const RepositoryId& repository,
                    const ChunkShape& shape, ByteView stored, Decompressor& decompressor, Bytes& plain);
/// The same for a refs page. Errors: Corrupt.
Result<> open_refs_chunk(const RefsKey& refs, const ChunkId& id, const RepositoryId& repository,
                         const ChunkShape& shape, ByteView stored, Decompressor& decompressor, Bytes& plain);

}  // namespace firn::format
