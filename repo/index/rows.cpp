#include "repo/index/rows.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "crypto/digest.h"
#include "repo/base/check.h"

namespace firn::index {
namespace {

constexpr std::uint32_t kRowsVersion = 1;
constexpr std::size_t kMetaBytes = 4 + 16 + 4 + 8 + 8;
constexpr std::size_t kPackRowBytes = kPackKeyBytes + 16 + 4 + 4 + 8 + 4 + 1;
constexpr std::uint8_t kFlagComplete = 1;
constexpr std::uint8_t kFlagCondemned = 2;
constexpr std::uint8_t kFlagGone = 4;

template <class T>
void store_big(std::byte* out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out[i] = static_cast<std::byte>(value >> (8 * (sizeof(T) - 1 - i)));
  }
}

template <class T>
T load_big(const std::byte* in) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(static_cast<T>(value << 8) | static_cast<T>(in[i]));
  }
  return value;
}

/// Writes fields one after the other into a record of known size.
class Fields {
 public:
  explicit Fields(MutableBytes out) : out_(out) {}
  template <class T>
  Fields& number(T value) {
    store_big(take(sizeof(T)), value);
    return *this;
  }
  Fields& bytes(ByteView value) {
    std::memcpy(take(value.size()), value.data(), value.size());
    return *this;
  }

 private:
  std::byte* take(std::size_t count) {
    FIRN_CHECK(count <= out_.size());
    std::byte* at = out_.data();
    out_ = out_.subspan(count);
    return at;
  }
  MutableBytes out_;
};

/// Reads fields of a record whose size was checked.
class FieldsView {
 public:
  explicit FieldsView(ByteView in) : in_(in) {}
  template <class T>
  T number() {
    return load_big<T>(take(sizeof(T)));
  }
  template <std::size_t N>
  std::array<std::byte, N> bytes() {
    std::array<std::byte, N> out;
    std::memcpy(out.data(), take(N), N);
    return out;
  }
  ByteView view(std::size_t count) { return {take(count), count}; }

 private:
  const std::byte* take(std::size_t count) {
    FIRN_CHECK(count <= in_.size());
    const std::byte* at = in_.data();
    in_ = in_.subspan(count);
    return at;
  }
  ByteView in_;
};

}  // namespace

std::uint64_t row_hash(Table table, ByteView key, ByteView payload) {
  const std::uint64_t seed =
      ::XXH3_64bits_withSeed(key.data(), key.size(), static_cast<std::uint64_t>(table));
  return ::XXH3_64bits_withSeed(payload.data(), payload.size(), seed);
}

void append_check(Bytes& payload, std::uint64_t hash) {
  std::array<std::byte, kCheckBytes> check;
  store_big(check.data(), static_cast<std::uint32_t>(hash));
  append(payload, check);
}

std::optional<CheckedRow> check_row(Table table, ByteView key, ByteView value) {
  if (value.size() < kCheckBytes) {
    return std::nullopt;
  }
  const ByteView payload = value.first(value.size() - kCheckBytes);
  const std::uint64_t hash = row_hash(table, key, payload);
  if (load_big<std::uint32_t>(value.data() + payload.size()) != static_cast<std::uint32_t>(hash)) {
    return std::nullopt;
  }
  return CheckedRow{payload, hash};
}

ByteView meta_key() { return as_bytes("meta"); }

Bytes encode(const MetaRow& row) {
  Bytes out(kMetaBytes);
  Fields(out)
      .number(kRowsVersion)
      .bytes(row.repository.bytes)
      .number(row.listings_used)
      .number(row.sum)
      .number(row.commits);
  return out;
}

std::optional<MetaRow> parse_meta(ByteView payload) {
  if (payload.size() != kMetaBytes) {
    return std::nullopt;
  }
  FieldsView in(payload);
  if (in.number<std::uint32_t>() != kRowsVersion) {
    return std::nullopt;
  }
  MetaRow row;
  row.repository.bytes = in.bytes<16>();
  row.listings_used = in.number<std::uint32_t>();
  row.sum = in.number<std::uint64_t>();
  row.commits = in.number<std::uint64_t>();
  if (row.listings_used > kListingsMax) {
    return std::nullopt;
  }
  return row;
}

std::array<std::byte, kObjectKeyBytes> object_key(const format::IndexName& name) {
  std::array<std::byte, kObjectKeyBytes> key;
  Fields(key).number(name.level).bytes(name.session.bytes).number(name.n);
  return key;
}

std::optional<format::IndexName> parse_object_key(ByteView key) {
  if (key.size() != kObjectKeyBytes) {
    return std::nullopt;
  }
  FieldsView in(key);
  format::IndexName name;
  name.level = in.number<std::uint16_t>();
  name.session.bytes = in.bytes<16>();
  name.n = in.number<std::uint32_t>();
  return name;
}

Bytes encode(std::span<const ListingNumber> listings) {
  Bytes out(listings.size() * sizeof(std::uint32_t));
  Fields fields(out);
  for (const ListingNumber listing : listings) {
    fields.number(listing.value);
  }
  return out;
}

std::optional<std::vector<ListingNumber>> parse_listings(ByteView payload) {
  if (payload.size() % sizeof(std::uint32_t) != 0) {
    return std::nullopt;
  }
  std::vector<ListingNumber> listings;
  listings.reserve(payload.size() / sizeof(std::uint32_t));
  FieldsView in(payload);
  for (std::size_t i = 0; i < payload.size() / sizeof(std::uint32_t); ++i) {
    const ListingNumber listing{in.number<std::uint32_t>()};
    if (listing.value >= kListingsMax || (!listings.empty() && listing <= listings.back())) {
      return std::nullopt;
    }
    listings.push_back(listing);
  }
  return listings;
}

PackKey pack_key(const format::PackName& pack) {
  PackKey key;
  Fields(key).number(static_cast<std::uint8_t>(pack.kind)).bytes(pack.id.bytes);
  return key;
}

std::optional<format::PackName> parse_pack_key(ByteView key) {
  if (key.size() != kPackKeyBytes) {
    return std::nullopt;
  }
  FieldsView in(key);
  format::PackName pack;
  pack.kind = static_cast<format::PackKind>(in.number<std::uint8_t>());
  pack.id.bytes = in.bytes<32>();
  if (pack.kind != format::PackKind::Data && pack.kind != format::PackKind::Meta) {
    return std::nullopt;
  }
  return pack;
}

ListingKey listing_key(const format::PackName& pack, const ListingDigest& digest) {
  ListingKey key;
  Fields(key).bytes(pack_key(pack)).bytes(digest);
  return key;
}

ListingDigest listing_digest(const format::IndexedPack& pack) {
  crypto::Sha256 hash;
  std::array<std::byte, kPackKeyBytes + 4> head;
  Fields(head).bytes(pack_key(pack.name)).number(pack.size_bytes);
  hash.update(head);
  for (const format::PackEntry& entry : pack.entries) {
    const EntryRecord record = encode(ListingNumber{}, entry);
    hash.update(record.key);
    hash.update(record.payload);
  }
  const crypto::Digest digest = hash.finish();
  ListingDigest out;
  std::memcpy(out.data(), digest.data(), out.size());
  return out;
}

std::array<std::byte, 4> number_key(ListingNumber listing) {
  std::array<std::byte, 4> key;
  store_big(key.data(), listing.value);
  return key;
}

std::optional<ListingNumber> parse_number(ByteView bytes) {
  if (bytes.size() != sizeof(std::uint32_t)) {
    return std::nullopt;
  }
  const ListingNumber listing{load_big<std::uint32_t>(bytes.data())};
  return listing.value < kListingsMax ? std::optional(listing) : std::nullopt;
}

std::uint8_t encode(const PackFlags& flags) {
  return static_cast<std::uint8_t>((flags.complete ? kFlagComplete : 0) |
                                   (flags.condemned ? kFlagCondemned : 0) | (flags.gone ? kFlagGone : 0));
}

std::optional<PackFlags> parse_flags(std::uint8_t bits) {
  if ((bits & ~(kFlagComplete | kFlagCondemned | kFlagGone)) != 0) {
    return std::nullopt;
  }
  return PackFlags{(bits & kFlagComplete) != 0, (bits & kFlagCondemned) != 0, (bits & kFlagGone) != 0};
}

Bytes encode(const PackRow& row) {
  Bytes out(kPackRowBytes);
  Fields(out)
      .bytes(pack_key(row.pack))
      .bytes(row.digest)
      .number(row.size_bytes)
      .number(row.entries)
      .number(row.stored_bytes)
      .number(row.uses)
      .number(encode(row.flags));
  return out;
}

std::optional<PackRow> parse_pack(ByteView payload) {
  if (payload.size() != kPackRowBytes) {
    return std::nullopt;
  }
  FieldsView in(payload);
  const auto pack = parse_pack_key(in.view(kPackKeyBytes));
  if (!pack) {
    return std::nullopt;
  }
  PackRow row;
  row.pack = *pack;
  row.digest = in.bytes<16>();
  row.size_bytes = in.number<std::uint32_t>();
  row.entries = in.number<std::uint32_t>();
  row.stored_bytes = in.number<std::uint64_t>();
  row.uses = in.number<std::uint32_t>();
  const auto flags = parse_flags(in.number<std::uint8_t>());
  if (!flags) {
    return std::nullopt;
  }
  row.flags = *flags;
  return row;
}

EntryRecord EntryRecord::from(ByteView bytes) {
  FIRN_CHECK(bytes.size() == sizeof(EntryRecord));
  EntryRecord record;
  std::memcpy(&record, bytes.data(), sizeof(record));
  return record;
}

EntryRecord encode(ListingNumber listing, const format::PackEntry& entry) {
  EntryRecord record;
  Fields(record.key).bytes(entry.id.bytes).number(listing.value).number(entry.offset);
  Fields(record.payload)
      .number(entry.shape.stored)
      .number(entry.shape.plain)
      .number(static_cast<std::uint8_t>(entry.shape.type))
      .number(static_cast<std::uint8_t>(entry.shape.codec));
  return record;
}

std::optional<EntryRow> parse_entry(ByteView key, ByteView payload) {
  if (key.size() != EntryRecord::kKeyBytes || payload.size() != EntryRecord::kPayloadBytes) {
    return std::nullopt;
  }
  FieldsView key_in(key);
  EntryRow row;
  row.entry.id.bytes = key_in.bytes<32>();
  row.listing.value = key_in.number<std::uint32_t>();
  row.entry.offset = key_in.number<std::uint32_t>();
  FieldsView in(payload);
  row.entry.shape.stored = in.number<std::uint32_t>();
  row.entry.shape.plain = in.number<std::uint32_t>();
  row.entry.shape.type = static_cast<format::ChunkType>(in.number<std::uint8_t>());
  row.entry.shape.codec = static_cast<format::Codec>(in.number<std::uint8_t>());
  if (row.listing.value >= kListingsMax || !format::shape_is_valid(row.entry.shape)) {
    return std::nullopt;
  }
  return row;
}

}  // namespace firn::index
