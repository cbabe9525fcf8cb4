#include "repo/format/pack.h"

#include <algorithm>

#include "crypto/aead.h"
#include "crypto/hkdf.h"
#include "repo/base/check.h"
#include "repo/base/codec.h"
#include "repo/format/padme.h"

namespace firn::format {
namespace {

constexpr std::string_view kMagic = "FIRN";
constexpr std::string_view kEndMagic = "NRIF";
constexpr std::uint32_t kBodyHashBytes = 32;
constexpr std::uint32_t kSealOverheadBytes = 32 + 32 + 16;  // salt, commitment, tag
constexpr std::uint32_t kTrailerHeadBytes = 16 + 4;
constexpr std::array<std::byte, 12> kZeroNonce{};
// What crypto::LeafHasher takes at a time without copying it.
constexpr std::size_t kHashStepBytes = 256 << 10;

constexpr std::uint64_t trailer_plain_bytes(std::uint64_t entries) {
  const std::uint64_t exact = kTrailerHeadBytes + entries * kPackEntryBytes;
  return (exact + kPackTrailerBlockBytes - 1) / kPackTrailerBlockBytes * kPackTrailerBlockBytes;
}

/// Everything after the padding.
constexpr std::uint64_t end_bytes(std::uint64_t entries) {
  return kBodyHashBytes + kSealOverheadBytes + trailer_plain_bytes(entries) + kPackFooterBytes;
}

crypto::Digest tree_hash(std::string_view label, std::uint64_t size_bytes,
                         std::span<const crypto::Digest> leaves) {
  std::array<std::byte, 8> length{};
  base::store_little(length.data(), size_bytes);
  return crypto::sha256(as_bytes(label), length, std::as_bytes(leaves));
}

struct TrailerKeys {
  crypto::Secret<64> both;
  crypto::Key256View key() const { return both.bytes().first<32>(); }
  ByteView commitment() const { return both.bytes().last<32>(); }
};

TrailerKeys trailer_keys(const MetaKey& meta, const RepositoryId& repository, ByteView salt) {
  Bytes info = to_bytes(as_bytes("firn/v1/trailer"));
  info.push_back(std::byte{0});
  append(info, repository.bytes);
  TrailerKeys keys;
  crypto::hkdf_sha256(meta.bytes(), salt, info, keys.both.writable());
  return keys;
}

bool ids_are_unique(std::span<const PackEntry> entries) {
  std::vector<const ChunkId*> ids;
  ids.reserve(entries.size());
  for (const PackEntry& entry : entries) {
    ids.push_back(&entry.id);
  }
  std::sort(ids.begin(), ids.end(), [](const ChunkId* a, const ChunkId* b) { return *a < *b; });
  return std::adjacent_find(ids.begin(), ids.end(),
                            [](const ChunkId* a, const ChunkId* b) { return *a == *b; }) == ids.end();
}

bool lie_end_to_end(std::span<const PackEntry> entries) {
  std::uint64_t at = kPackHeaderBytes;
  for (const PackEntry& entry : entries) {
    if (entry.offset != at) {
      return false;
    }
    at += entry.shape.stored;
  }
  return true;
}

bool trailer_is_valid(const PackTrailer& trailer) {
  return !trailer.entries.empty() && trailer.entries.size() <= kPackChunksMax &&
         std::all_of(trailer.entries.begin(), trailer.entries.end(),
                     [](const PackEntry& entry) { return shape_is_valid(entry.shape); }) &&
         lie_end_to_end(trailer.entries) && ids_are_unique(trailer.entries);
}

PackId pack_id_of(std::uint64_t size_bytes, std::span<const crypto::Digest> leaves) {
  return {tree_hash("firn/v1/pack", size_bytes, leaves)};
}

}  // namespace

Bytes encode_pack_header(const PackHeader& header) {
  Bytes out;
  base::Writer writer(out);
  writer.text(kMagic);
  writer.u8(kFormatVersion);
  writer.u8(static_cast<std::uint8_t>(header.kind));
  writer.u16(0);
  writer.bytes(header.repository.bytes);
  return out;
}

Result<PackHeader> parse_pack_header(ByteView first_bytes) {
  base::Reader in(first_bytes);
  PackHeader header;
  in.require(in.text(kMagic.size()) == kMagic);
  const std::uint8_t version = in.u8();
  const std::uint8_t kind = in.u8();
  if (in.ok() && version != kFormatVersion) {
    return fail(ErrorCode::Unsupported, "pack is of format version " + std::to_string(version));
  }
  in.require(kind == 1 || kind == 2);
  in.require(in.u16() == 0);
  in.into(header.repository.bytes);
  if (!in.finished()) {
    return fail(ErrorCode::Corrupt, "pack header is not well formed");
  }
  header.kind = static_cast<PackKind>(kind);
  return header;
}

bool entries_are_valid(PackKind kind, std::uint64_t pack_bytes, std::span<const PackEntry> entries) {
  std::uint64_t end = kPackHeaderBytes;
  bool refs_begun = false;
  for (const PackEntry& entry : entries) {
    const bool is_refs = entry.shape.type == ChunkType::RefsPage;
    if (!shape_is_valid(entry.shape) || is_meta(entry.shape.type) != (kind == PackKind::Meta) ||
        entry.offset < end || (refs_begun && !is_refs)) {
      return false;
    }
    refs_begun = is_refs;
    end = std::uint64_t{entry.offset} + entry.shape.stored;
  }
  return end <= pack_bytes;
}

Result<Bytes> encode_pack_trailer(const PackTrailer& trailer) {
  if (!trailer_is_valid(trailer)) {
    return fail(ErrorCode::Invalid, "pack trailer holds impossible entries");
  }
  Bytes out;
  out.reserve(trailer_plain_bytes(trailer.entries.size()));
  base::Writer writer(out);
  writer.bytes(trailer.session.bytes);
  writer.u32(static_cast<std::uint32_t>(trailer.entries.size()));
  for (const PackEntry& entry : trailer.entries) {
    encode_pack_entry(entry, out);
  }
  out.resize(trailer_plain_bytes(trailer.entries.size()));
  return out;
}

void encode_pack_entry(const PackEntry& entry, Bytes& out) {
  base::Writer writer(out);
  writer.bytes(entry.id.bytes);
  writer.u32(entry.offset);
  writer.u32(entry.shape.stored);
  writer.u32(entry.shape.plain);
  writer.u8(static_cast<std::uint8_t>(entry.shape.type));
  writer.u8(static_cast<std::uint8_t>(entry.shape.codec));
}

void parse_pack_entry(base::Reader& in, PackEntry& entry) {
  in.into(entry.id.bytes);
  entry.offset = in.u32();
  entry.shape.stored = in.u32();
  entry.shape.plain = in.u32();
  const std::uint8_t type = in.u8();
  const std::uint8_t codec = in.u8();
  in.require(type >= 1 && type <= kChunkTypeLast && codec <= kCodecLast);
  if (in.ok()) {
    entry.shape.type = static_cast<ChunkType>(type);
    entry.shape.codec = static_cast<Codec>(codec);
    in.require(shape_is_valid(entry.shape));
  }
}

Result<PackTrailer> parse_pack_trailer(ByteView plaintext) {
  base::Reader in(plaintext);
  PackTrailer trailer;
  in.into(trailer.session.bytes);
  const std::uint32_t count = in.u32();
  in.require(count >= 1 && count <= kPackChunksMax && plaintext.size() == trailer_plain_bytes(count));
  if (in.ok()) {
    trailer.entries.resize(count);
  }
  for (PackEntry& entry : trailer.entries) {
    parse_pack_entry(in, entry);
  }
  in.rest_is_zeros();
  if (!in.finished() || !trailer_is_valid(trailer)) {
    return fail(ErrorCode::Corrupt, "pack trailer is not well formed");
  }
  return trailer;
}

PackBuilder::PackBuilder(PackKind kind, const RepositoryId& repository, const SessionId& session,
                         std::uint32_t pack_size)
    : kind_(kind), repository_(repository), pack_size_(pack_size) {
  FIRN_CHECK(pack_size >= kPackSizeMin && pack_size <= kPackBytesMax);
  trailer_.session = session;
  bytes_ = encode_pack_header({kind, repository});
}

std::uint64_t PackBuilder::size_bytes() const { return bytes_.size() + end_bytes(trailer_.entries.size()); }

bool PackBuilder::fits(std::uint32_t stored_bytes) const {
  return empty() || (trailer_.entries.size() < kPackChunksMax &&
                     bytes_.size() + stored_bytes + end_bytes(trailer_.entries.size() + 1) <= pack_size_);
}

void PackBuilder::append(const ChunkId& id, const ChunkShape& shape, ByteView stored) {
  FIRN_CHECK(stored.size() == shape.stored);
  begin_chunk(id, shape);
  firn::append(bytes_, stored);
}

MutableBytes PackBuilder::append_in_place(const ChunkId& id, const ChunkShape& shape) {
  const std::size_t offset = bytes_.size();
  begin_chunk(id, shape);
  bytes_.resize(offset + shape.stored);
  return MutableBytes(bytes_).subspan(offset);
}

/// Notes a chunk whose bytes come next, in memory that is there.
void PackBuilder::begin_chunk(const ChunkId& id, const ChunkShape& shape) {
  FIRN_CHECK(shape_is_valid(shape) && fits(shape.stored) && is_meta(shape.type) == (kind_ == PackKind::Meta));
  FIRN_CHECK(trailer_.entries.empty() || shape.type == ChunkType::RefsPage ||
             trailer_.entries.back().shape.type != ChunkType::RefsPage);
  // Whole steps lie where they are hashed; a rest would be copied into the hasher, and all after it.
  hash_until(hashed_bytes_ + (bytes_.size() - hashed_bytes_) / kHashStepBytes * kHashStepBytes);
  const std::size_t offset = bytes_.size();
  if (empty()) {
    // All of it at once, so that a growing pack is never copied; what is not written yet takes no memory.
    bytes_.reserve(std::max<std::size_t>(pack_size_, offset + shape.stored));
  }
  trailer_.entries.push_back({id, static_cast<std::uint32_t>(offset), shape});
}

void PackBuilder::hash_until(std::size_t end) {
  hasher_.update(ByteView(bytes_).subspan(hashed_bytes_, end - hashed_bytes_));
  hashed_bytes_ = end;
}

FinishedPack PackBuilder::finish(Padding padding, const MetaKey& meta, const PackRandom& random) && {
  FIRN_CHECK(!empty());
  const std::uint64_t exact = size_bytes();
  std::uint64_t padded = pack_size_;
  if (padding == Padding::Last || exact > pack_size_) {
    padded = exact > pack_size_ ? std::min<std::uint64_t>(padme(exact), kPackBytesMax)
                                : std::min<std::uint64_t>(padme(exact), pack_size_);
  }
  const std::size_t padding_bytes = padded - exact;
  if (padding_bytes > 0) {
    // The key stream of a fresh key: as random as its seed, and a parameter like all randomness.
    const Bytes zeros(padding_bytes);
    Bytes stream(padding_bytes + crypto::kAeadTagBytes);
    crypto::aes256gcm_seal(random.padding_key, kZeroNonce, {}, zeros, stream);
    firn::append(bytes_, ByteView(stream).first(padding_bytes));
  }
  hash_until(bytes_.size());
  const crypto::Digest body_hash = tree_hash("firn/v1/pack-body", bytes_.size(), hasher_.digests());

  const auto plain = encode_pack_trailer(trailer_);
  FIRN_CHECK(plain.has_value());
  const TrailerKeys keys = trailer_keys(meta, repository_, random.trailer_salt);
  Bytes sealed(plain->size() + crypto::kAeadTagBytes);
  crypto::aes256gcm_seal(keys.key(), kZeroNonce, body_hash, *plain, sealed);
  base::Writer writer(bytes_);
  writer.bytes(body_hash);
  writer.bytes(random.trailer_salt);
  writer.bytes(keys.commitment());
  writer.bytes(sealed);
  writer.u32(static_cast<std::uint32_t>(kBodyHashBytes + kSealOverheadBytes + plain->size()));
  writer.text(kEndMagic);
  hash_until(bytes_.size());
  FIRN_CHECK(bytes_.size() == padded);
  return {{kind_, pack_id(hasher_)}, std::move(bytes_), std::move(trailer_)};
}

Result<std::uint32_t> pack_end_bytes(ByteView footer, std::uint64_t pack_bytes) {
  base::Reader in(footer);
  const std::uint32_t trailer_bytes = in.u32();
  in.require(in.text(kEndMagic.size()) == kEndMagic);
  in.require(trailer_bytes >= kBodyHashBytes + kSealOverheadBytes + kPackTrailerBlockBytes &&
             trailer_bytes <= kBodyHashBytes + kSealOverheadBytes + trailer_plain_bytes(kPackChunksMax));
  in.require(pack_bytes <= kPackBytesMax &&
             std::uint64_t{kPackHeaderBytes} + trailer_bytes + kPackFooterBytes <= pack_bytes);
  if (!in.finished()) {
    return fail(ErrorCode::Corrupt, "pack does not end with a trailer");
  }
  return trailer_bytes + kPackFooterBytes;
}

Result<OpenedTrailer> open_pack_trailer(const MetaKey& meta, const PackHeader& header,
                                        std::uint64_t pack_bytes, ByteView end) {
  if (end.size() < kPackFooterBytes) {
    return fail(ErrorCode::Corrupt, "pack does not end with a trailer");
  }
  FIRN_LET(const std::uint32_t needed, pack_end_bytes(end.last(kPackFooterBytes), pack_bytes));
  if (end.size() < needed) {
    return fail(ErrorCode::Corrupt, "pack ends before its trailer");
  }
  base::Reader in(end.last(needed).first(needed - kPackFooterBytes));
  OpenedTrailer opened;
  opened.body_bytes = pack_bytes - needed;
  in.into(opened.body_hash);
  const ByteView salt = in.bytes(32);
  const ByteView commitment = in.bytes(32);
  const ByteView sealed = in.bytes(in.remaining());
  const TrailerKeys keys = trailer_keys(meta, header.repository, salt);
  Bytes plain(sealed.size() - crypto::kAeadTagBytes);
  if (!crypto::constant_time_equal(keys.commitment(), commitment) ||
      !crypto::aes256gcm_open(keys.key(), kZeroNonce, opened.body_hash, sealed, plain)) {
    return fail(ErrorCode::Corrupt, "pack trailer does not decrypt");
  }
  FIRN_LET(opened.trailer, parse_pack_trailer(plain));
  if (!entries_are_valid(header.kind, opened.body_bytes, opened.trailer.entries)) {
    return fail(ErrorCode::Corrupt, "pack trailer does not fit its pack");
  }
  return opened;
}

PackId pack_id(ByteView pack) {
  std::vector<crypto::Digest> leaves;
  crypto::leaf_digests(pack, leaves);
  return pack_id_of(pack.size(), leaves);
}

PackId pack_id(const crypto::LeafHasher& hasher) { return pack_id_of(hasher.size_bytes(), hasher.digests()); }

crypto::Digest pack_body_hash(ByteView body) {
  std::vector<crypto::Digest> leaves;
  crypto::leaf_digests(body, leaves);
  return tree_hash("firn/v1/pack-body", body.size(), leaves);
}

namespace {

/// The header of a pack whose leaf digests are `leaves`.
Result<PackHeader> verified_header(const PackName& name, const RepositoryId& repository, ByteView pack,
                                   std::span<const crypto::Digest> leaves) {
  if (pack_id_of(pack.size(), leaves) != name.id) {
    return fail(ErrorCode::Corrupt, "pack holds other bytes than its name says");
  }
  FIRN_LET(const PackHeader header,
           parse_pack_header(pack.first(std::min<std::size_t>(pack.size(), kPackHeaderBytes))));
  if (header.kind != name.kind || header.repository != repository) {
    return fail(ErrorCode::Corrupt, "pack is of another kind or repository");
  }
  return header;
}

}  // namespace

Result<PackHeader> verify_pack_name(const PackName& name, const RepositoryId& repository, ByteView pack) {
  std::vector<crypto::Digest> leaves;
  crypto::leaf_digests(pack, leaves);
  return verified_header(name, repository, pack, leaves);
}

Result<PackTrailer> open_pack(const MetaKey& meta, const PackName& name, const RepositoryId& repository,
                              ByteView pack) {
  std::vector<crypto::Digest> leaves;
  crypto::leaf_digests(pack, leaves);
  FIRN_LET(const PackHeader header, verified_header(name, repository, pack, leaves));
  FIRN_LET(OpenedTrailer opened, open_pack_trailer(meta, header, pack.size(), pack));
  // The body has the same leaves, but for its last one where it ends inside a leaf of the pack.
  const std::uint64_t whole = opened.body_bytes / crypto::kLeafBytes;
  leaves.resize(whole);
  if (const ByteView rest = pack.first(opened.body_bytes).subspan(whole * crypto::kLeafBytes);
      !rest.empty()) {
    leaves.push_back(crypto::sha256(rest));
  }
  if (tree_hash("firn/v1/pack-body", opened.body_bytes, leaves) != opened.body_hash) {
    return fail(ErrorCode::Corrupt, "pack trailer belongs to other bytes");
  }
  return std::move(opened.trailer);
}

}  // namespace firn::format
