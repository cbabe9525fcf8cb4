// A pack: header, stored chunks, padding, sealed trailer. Built in memory, named by the digest of its bytes.
//
//   "FIRN" | version u8 | kind u8 | 0 u16 | repository id 16 | stored chunk … | padding
//     | body hash 32 | sealed trailer | trailer length u32 | "NRIF"
//
// The trailer opens with its end bytes alone; the body hash in front of it, which it is bound to, is what
// proves the rest. Promise: pure functions; randomness is a parameter. Not here: chunks themselves (chunk.h),
// when a pack is closed and uploaded (repo/writer). Threads: an object belongs to one caller at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "crypto/leaf_hash.h"
#include "repo/base/codec.h"
#include "repo/base/result.h"
#include "repo/format/chunk.h"
#include "repo/format/ids.h"
#include "repo/format/keys.h"
#include "repo/format/names.h"

namespace firn::format {

inline constexpr std::uint32_t kPackHeaderBytes = 24;
/// Trailer length and "NRIF".
inline constexpr std::uint32_t kPackFooterBytes = 8;
inline constexpr std::uint32_t kPackTrailerBlockBytes = 4096;

struct PackHeader {
  PackKind kind = PackKind::Data;
  RepositoryId repository;
  bool operator==(const PackHeader&) const = default;
};
Bytes encode_pack_header(const PackHeader& header);
/// The first kPackHeaderBytes of a pack. Errors: Corrupt, Unsupported (a later version).
Result<PackHeader> parse_pack_header(ByteView first_bytes);

/// Where a chunk lies, as trailers and index objects say it: id 32, offset u32, stored u32, plain u32, type
/// u8, codec u8.
struct PackEntry {
  ChunkId id;
  std::uint32_t offset = 0;
  ChunkShape shape;
  bool operator==(const PackEntry&) const = default;
};
inline constexpr std::uint32_t kPackEntryBytes = 46;
void encode_pack_entry(const PackEntry& entry, Bytes& out);
/// Fails `in` unless the entry's shape is valid.
void parse_pack_entry(base::Reader& in, PackEntry& entry);

/// True iff the entries of a pack of `kind` and `pack_bytes` are in order, do not overlap, lie inside it and
/// have valid shapes and types that its kind may hold, refs pages last. Says nothing about equal ids.
bool entries_are_valid(PackKind kind, std::uint64_t pack_bytes, std::span<const PackEntry> entries);

/// Plaintext of a trailer without its padding.
struct PackTrailer {
  SessionId session;
  std::vector<PackEntry> entries;  // lying end to end from kPackHeaderBytes on, ids unique
  bool operator==(const PackTrailer&) const = default;
};
/// With padding to whole blocks of 4 KiB.
Result<Bytes> encode_pack_trailer(const PackTrailer& trailer);
/// Errors: Corrupt.
Result<PackTrailer> parse_pack_trailer(ByteView plaintext);

/// Randomness for one pack: fresh, used once.
struct PackRandom {
  std::array<std::byte, 32> trailer_salt{};
  std::array<std::byte, 32> padding_key{};
};

struct FinishedPack {
  PackName name;
  Bytes bytes;
  PackTrailer trailer;
};

class PackBuilder {
 public:
  /// `pack_size` is the repository's parameter: the exact size of a full pack.
  PackBuilder(PackKind kind, const RepositoryId& repository, const SessionId& session,
              std::uint32_t pack_size);

  bool empty() const { return trailer_.entries.empty(); }
  std::uint32_t chunk_count() const { return static_cast<std::uint32_t>(trailer_.entries.size()); }
  /// Bytes of the pack if it were finished now, without padding.
  std::uint64_t size_bytes() const;

  /// True iff a chunk of so many stored bytes still goes in. An empty pack takes every chunk.
  bool fits(std::uint32_t stored_bytes) const;

  /// Appends a stored chunk. Call fits() first; `id` is not in this pack yet; `stored.size()` is
  /// shape.stored; a type that belongs into this kind, no other after a refs page.
  void append(const ChunkId& id, const ChunkShape& shape, ByteView stored);

  /// Room for a chunk of shape.stored bytes at its final place, for sealing straight into the pack; valid
  /// until the next call. Same conditions as append(); the caller fills it before the next call.
  MutableBytes append_in_place(const ChunkId& id, const ChunkShape& shape);

  /// How long finish() makes a pack: full = pack_size exactly (the next chunk did not fit), last = Padmé.
  enum class Padding : std::uint8_t { Full, Last };
  /// Pads, seals the trailer and names the pack. It has at least one chunk. The builder is spent.
  FinishedPack finish(Padding padding, const MetaKey& meta, const PackRandom& random) &&;

 private:
  void begin_chunk(const ChunkId& id, const ChunkShape& shape);
  void hash_until(std::size_t end);

  PackKind kind_;
  RepositoryId repository_;
  std::uint32_t pack_size_;
  Bytes bytes_;
  PackTrailer trailer_;
  crypto::LeafHasher hasher_;
  std::size_t hashed_bytes_ = 0;
};

/// What the last kPackFooterBytes of a pack of `pack_bytes` say: how many bytes at its end (footer included)
/// open_pack_trailer() needs. Errors: Corrupt.
Result<std::uint32_t> pack_end_bytes(ByteView footer, std::uint64_t pack_bytes);

struct OpenedTrailer {
  PackTrailer trailer;
  crypto::Digest body_hash{};    // what pack_body_hash() of all bytes before `body_bytes` must be
  std::uint64_t body_bytes = 0;  // header, chunks and padding
};
/// Opens the trailer in the last bytes of a pack (at least pack_end_bytes() of them, more is fine). Errors:
/// Corrupt.
Result<OpenedTrailer> open_pack_trailer(const MetaKey& meta, const PackHeader& header,
                                        std::uint64_t pack_bytes, ByteView end);

/// SHA-256("firn/v1/pack" ‖ length ‖ leaf digests): the name of a pack with these bytes.
PackId pack_id(ByteView pack);
/// The same over bytes that came through a LeafHasher.
PackId pack_id(const crypto::LeafHasher& hasher);
/// SHA-256("firn/v1/pack-body" ‖ length ‖ leaf digests).
crypto::Digest pack_body_hash(ByteView body);

/// Verifies a whole pack without a key: header and name. Errors: Corrupt.
Result<PackHeader> verify_pack_name(const PackName& name, const RepositoryId& repository, ByteView pack);
/// Verifies a whole pack and opens its trailer: name, header, body hash. Errors: Corrupt.
Result<PackTrailer> open_pack(const MetaKey& meta, const PackName& name, const RepositoryId& repository,
                              ByteView pack);

}  // namespace firn::format
