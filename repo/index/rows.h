// The rows of the local index: keys and values as they lie in the key-value store. Pure functions.
//
//   table     key                                    value
//   Meta      "meta"                                 version, repository, listings used, sum, commits
//   Objects   level u16, session 16, n u32           the listings that the object names
//   Listings  pack kind u8, pack id 32, digest 16    listing u32
//   Packs     listing u32                            pack, size, digest, entries, stored bytes, uses, flags
//   Marks     pack kind u8, pack id 32               flags
//   Chunks    chunk id 32, listing u32, offset u32   stored u32, plain u32, type u8, codec u8
//
// A listing is one way to list a pack: its name and a digest of the entries. Two index objects that list a
// pack alike share a listing; one that lists it differently has its own, so that no object changes what
// another says. Integers are big-endian, so that keys order as numbers do. Each value ends with 4 bytes of
// the row's hash (XXH3 of the payload, seeded with XXH3 of the key, seeded with the table); the sum of the
// hashes of all rows but the meta row stands in the meta row, so that no row can get lost or come back
// unseen. Parsers take any bytes and give nothing for what these functions would not have written.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "repo/base/bytes.h"
#include "repo/format/chunk.h"
#include "repo/format/ids.h"
#include "repo/format/index_object.h"
#include "repo/format/names.h"
#include "repo/kv/local_kv.h"

namespace firn::index {

enum class Table : std::uint8_t { Meta = 0, Objects = 1, Listings = 2, Packs = 3, Marks = 4, Chunks = 5 };
inline constexpr std::array kRowTables = {Table::Objects, Table::Listings, Table::Packs, Table::Marks,
                                          Table::Chunks};
constexpr kv::TableId table_id(Table table) { return static_cast<kv::TableId>(table); }

struct ListingNumber {
  std::uint32_t value = 0;
  auto operator<=>(const ListingNumber&) const = default;
};
/// Numbers are not used again before the index is rebuilt, and a bit for each must fit into memory.
inline constexpr std::uint32_t kListingsMax = 1U << 26;

using ListingDigest = std::array<std::byte, 16>;

/// The hash of a row whose value is `payload` and the check.
std::uint64_t row_hash(Table table, ByteView key, ByteView payload);
inline constexpr std::size_t kCheckBytes = 4;
/// Appends the check to a payload: the value.
void append_check(Bytes& payload, std::uint64_t hash);

struct CheckedRow {
  ByteView payload;
  std::uint64_t hash = 0;
};
/// Takes a value apart; nothing when its check is wrong.
std::optional<CheckedRow> check_row(Table table, ByteView key, ByteView value);

struct MetaRow {
  format::RepositoryId repository;
  std::uint32_t listings_used = 0;  // numbers below it may be in use
  std::uint64_t sum = 0;
  std::uint64_t commits = 0;
  bool operator==(const MetaRow&) const = default;
};
ByteView meta_key();
Bytes encode(const MetaRow& row);
std::optional<MetaRow> parse_meta(ByteView payload);

inline constexpr std::size_t kObjectKeyBytes = 22;
std::array<std::byte, kObjectKeyBytes> object_key(const format::IndexName& name);
std::optional<format::IndexName> parse_object_key(ByteView key);
/// Rising and unique.
Bytes encode(std::span<const ListingNumber> listings);
std::optional<std::vector<ListingNumber>> parse_listings(ByteView payload);

inline constexpr std::size_t kPackKeyBytes = 33;
using PackKey = std::array<std::byte, kPackKeyBytes>;
PackKey pack_key(const format::PackName& pack);
std::optional<format::PackName> parse_pack_key(ByteView key);

inline constexpr std::size_t kListingKeyBytes = kPackKeyBytes + 16;
using ListingKey = std::array<std::byte, kListingKeyBytes>;
ListingKey listing_key(const format::PackName& pack, const ListingDigest& digest);
/// First half of the SHA-256 of pack name, size and entries.
ListingDigest listing_digest(const format::IndexedPack& pack);

std::array<std::byte, 4> number_key(ListingNumber listing);
std::optional<ListingNumber> parse_number(ByteView bytes);

struct PackFlags {
  bool complete = false;  // all entries are in Chunks
  bool condemned = false;
  bool gone = false;
  bool operator==(const PackFlags&) const = default;
};
std::uint8_t encode(const PackFlags& flags);
std::optional<PackFlags> parse_flags(std::uint8_t bits);

struct PackRow {
  format::PackName pack;
  ListingDigest digest{};
  std::uint32_t size_bytes = 0;
  std::uint32_t entries = 0;
  std::uint64_t stored_bytes = 0;
  std::uint32_t uses = 0;  // by applied objects
  PackFlags flags;

  /// Do look-ups see its entries?
  bool visible() const { return uses > 0 && flags.complete && !flags.gone; }
  bool operator==(const PackRow&) const = default;
};
Bytes encode(const PackRow& row);
std::optional<PackRow> parse_pack(ByteView payload);

/// A row of Chunks without its check, as it is sorted: bytewise by key.
struct EntryRecord {
  static constexpr std::size_t kKeyBytes = 40;
  static constexpr std::size_t kPayloadBytes = 10;
  std::array<std::byte, kKeyBytes> key{};
  std::array<std::byte, kPayloadBytes> payload{};
  ByteView bytes() const { return std::as_bytes(std::span(this, 1)); }
  /// `bytes` has the size of a record.
  static EntryRecord from(ByteView bytes);
  bool operator==(const EntryRecord&) const = default;
  friend bool operator<(const EntryRecord& a, const EntryRecord& b) {
    return std::memcmp(&a, &b, sizeof(EntryRecord)) < 0;
  }
};
static_assert(sizeof(EntryRecord) == EntryRecord::kKeyBytes + EntryRecord::kPayloadBytes);

EntryRecord encode(ListingNumber listing, const format::PackEntry& entry);

struct EntryRow {
  ListingNumber listing;
  format::PackEntry entry;
  bool operator==(const EntryRow&) const = default;
};
std::optional<EntryRow> parse_entry(ByteView key, ByteView payload);

}  // namespace firn::index
