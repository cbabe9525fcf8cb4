// Rows of the local index: what is written is read back, and nothing else is accepted.
#include "repo/index/rows.h"

#include <gtest/gtest.h>

#include <functional>

#include "repo/base/rng.h"
#include "tests/repo/index/model.h"

namespace firn::index {
namespace {

PackRow sample_pack_row(base::SeededRng& rng) {
  PackRow row;
  row.pack = {format::PackKind::Meta, test::random_id<format::PackId>(rng)};
  rng.fill(row.digest);
  row.size_bytes = 123;
  row.entries = 7;
  row.stored_bytes = 1ull << 40;
  row.uses = 2;
  row.flags = {.complete = true, .condemned = true, .gone = false};
  return row;
}

TEST(Rows, ReadBackWhatTheyWrote) {
  base::SeededRng rng(1);
  const MetaRow meta{test::random_id<format::RepositoryId>(rng), 17, 1ull << 60, 5};
  EXPECT_EQ(parse_meta(encode(meta)), meta);
  const PackRow pack = sample_pack_row(rng);
  EXPECT_EQ(parse_pack(encode(pack)), pack);
  const format::IndexName name = test::random_name(rng);
  EXPECT_EQ(parse_object_key(object_key(name)), name);
  EXPECT_EQ(parse_pack_key(pack_key(pack.pack)), pack.pack);
  const std::vector<ListingNumber> listings = {{0}, {5}, {kListingsMax - 1}};
  EXPECT_EQ(parse_listings(encode(listings)), listings);
  EXPECT_EQ(parse_number(number_key({99})), ListingNumber{99});
  const format::PackEntry entry = test::random_pack(rng, 1).entries[0];
  const EntryRecord record = encode(ListingNumber{8}, entry);
  EXPECT_EQ(parse_entry(record.key, record.payload), (EntryRow{{8}, entry}));
}

TEST(Rows, OrderAsTheirNumbersDo) {
  EXPECT_LT(number_key({0xff}), number_key({0x100}));
  format::IndexName low{.level = 0xff, .session = {}, .n = 9};
  format::IndexName high{.level = 0x100, .session = {}, .n = 0};
  EXPECT_LT(object_key(low), object_key(high));
  format::PackEntry entry;
  entry.offset = 0xffff;
  const EntryRecord near = encode(ListingNumber{1}, entry);
  entry.offset = 0x10000;
  const EntryRecord far = encode(ListingNumber{1}, entry);
  EXPECT_LT(near, far);
}

TEST(Rows, NoticeEveryFlippedBit) {
  base::SeededRng rng(2);
  const format::PackEntry entry = test::random_pack(rng, 1).entries[0];
  const EntryRecord record = encode(ListingNumber{3}, entry);
  Bytes key(record.key.begin(), record.key.end());
  Bytes value(record.payload.begin(), record.payload.end());
  append_check(value, row_hash(Table::Chunks, key, value));
  ASSERT_TRUE(check_row(Table::Chunks, key, value));
  EXPECT_FALSE(check_row(Table::Packs, key, value));
  for (Bytes* bytes : {&key, &value}) {
    for (std::size_t bit = 0; bit < bytes->size() * 8; ++bit) {
      (*bytes)[bit / 8] ^= std::byte{1} << (bit % 8);
      EXPECT_FALSE(check_row(Table::Chunks, key, value)) << bit;
      (*bytes)[bit / 8] ^= std::byte{1} << (bit % 8);
    }
  }
  for (std::size_t size = 0; size < value.size(); ++size) {
    EXPECT_FALSE(check_row(Table::Chunks, key, ByteView(value).first(size))) << size;
  }
}

TEST(Rows, RefuseWhatTheyWouldNotHaveWritten) {
  base::SeededRng rng(3);
  struct Bad {
    const char* what;
    std::function<bool()> accepted;
  };
  const auto with = [](Bytes bytes, std::size_t at, std::uint8_t value) {
    bytes[at] = std::byte{value};
    return bytes;
  };
  const Bytes meta = encode(MetaRow{test::random_id<format::RepositoryId>(rng), 1, 2, 3});
  const Bytes pack = encode(sample_pack_row(rng));
  const EntryRecord entry = encode(ListingNumber{1}, test::random_pack(rng, 1).entries[0]);
  const Bytes payload = to_bytes(entry.payload);
  const Bytes key = to_bytes(entry.key);
  const std::vector<Bad> bad = {
      {"meta row of another version", [&] { return parse_meta(with(meta, 3, 2)).has_value(); }},
      {"meta row with too many listings", [&] { return parse_meta(with(meta, 20, 0xff)).has_value(); }},
      {"short meta row", [&] { return parse_meta(ByteView(meta).first(meta.size() - 1)).has_value(); }},
      {"pack of unknown kind", [&] { return parse_pack(with(pack, 0, 3)).has_value(); }},
      {"pack with unknown flags", [&] { return parse_pack(with(pack, pack.size() - 1, 8)).has_value(); }},
      {"short pack row", [&] { return parse_pack(ByteView(pack).first(40)).has_value(); }},
      {"listings out of order",
       [] {
         return parse_listings(encode(std::vector<ListingNumber>{{2}, {1}})).has_value();
       }},
      {"a listing twice",
       [] {
         return parse_listings(encode(std::vector<ListingNumber>{{2}, {2}})).has_value();
       }},
      {"a listing cut off", [] { return parse_listings(Bytes(5)).has_value(); }},
      {"a number out of range", [] { return parse_number(number_key({kListingsMax})).has_value(); }},
      {"an entry of type 0", [&] { return parse_entry(key, with(payload, 8, 0)).has_value(); }},
      {"an entry of unknown type", [&] { return parse_entry(key, with(payload, 8, 6)).has_value(); }},
      {"an entry of unknown codec", [&] { return parse_entry(key, with(payload, 9, 2)).has_value(); }},
      {"an entry of impossible size", [&] { return parse_entry(key, with(payload, 0, 0xff)).has_value(); }},
      {"an entry with a listing out of range",
       [&] { return parse_entry(with(key, 32, 0xff), payload).has_value(); }},
      {"an entry with a short key",
       [&] { return parse_entry(ByteView(key).first(39), payload).has_value(); }},
      {"an object key of another size", [] { return parse_object_key(Bytes(21)).has_value(); }},
  };
  for (const auto& [what, accepted] : bad) {
    EXPECT_FALSE(accepted()) << what;
  }
}

TEST(Rows, TellListingsApartByAnyDifference) {
  base::SeededRng rng(4);
  const format::IndexedPack pack = test::random_pack(rng, 3);
  const ListingDigest digest = listing_digest(pack);
  EXPECT_EQ(listing_digest(pack), digest);
  const std::vector<std::function<void(format::IndexedPack&)>> changes = {
      [](format::IndexedPack& p) { p.size_bytes += 1; },
      [](format::IndexedPack& p) { p.name.kind = format::PackKind::Meta; },
      [](format::IndexedPack& p) { p.entries.pop_back(); },
      [](format::IndexedPack& p) { p.entries[1].offset += 1; },
      [](format::IndexedPack& p) { p.entries[1].id.bytes[31] ^= std::byte{1}; },
      [](format::IndexedPack& p) { p.entries[1].shape.plain += 1; },
      [](format::IndexedPack& p) { p.entries[1].shape.stored += 1; },
      [](format::IndexedPack& p) { p.entries[1].shape.type = format::ChunkType::RefsPage; },
      [](format::IndexedPack& p) { p.entries[1].shape.codec = format::Codec::Zstd; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    format::IndexedPack changed = pack;
    changes[i](changed);
    EXPECT_NE(listing_digest(changed), digest) << i;
  }
}

}  // namespace
}  // namespace firn::index
