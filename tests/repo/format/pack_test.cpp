#include "repo/format/pack.h"

#include <gtest/gtest.h>

#include "repo/format/padme.h"
#include "tests/repo/format/samples.h"

namespace firn::format::test {
namespace {

constexpr std::uint32_t kPackSize = 1U << 20;

ChunkId id_of(std::uint32_t number) {
  ChunkId id;
  base::store_little(id.bytes.data(), number);
  return id;
}

ChunkShape raw_shape(ChunkType type, std::uint32_t stored_bytes) {
  return {type, Codec::Raw, stored_bytes - kChunkOverheadBytes, stored_bytes};
}

PackBuilder builder(PackKind kind = PackKind::Data) { return {kind, repository(), session(), kPackSize}; }

void add(PackBuilder& pack, std::uint32_t number, std::uint32_t stored_bytes,
         ChunkType type = ChunkType::Data) {
  const Bytes stored(stored_bytes, static_cast<std::byte>(number));
  pack.append(id_of(number), raw_shape(type, stored_bytes), stored);
}

FinishedPack finish(PackBuilder&& pack, PackBuilder::Padding padding) {
  return std::move(pack).finish(padding, meta_key(), {counting<32>(1), counting<32>(2)});
}

TEST(Packs, OpenToWhatWasPutIn) {
  PackBuilder pack = builder();
  for (std::uint32_t i = 0; i < 500; ++i) {
    ASSERT_TRUE(pack.fits(100 + i));
    add(pack, i, 100 + i);
  }
  const FinishedPack finished = finish(std::move(pack), PackBuilder::Padding::Last);
  const auto trailer = open_pack(meta_key(), finished.name, repository(), finished.bytes);
  ASSERT_TRUE(trailer.has_value()) << trailer.error().message;
  EXPECT_EQ(*trailer, finished.trailer);
  ASSERT_EQ(trailer->entries.size(), 500U);
  for (std::uint32_t i = 0; i < 500; ++i) {
    const PackEntry& entry = trailer->entries[i];
    EXPECT_EQ(entry.id, id_of(i));
    const ByteView stored = ByteView(finished.bytes).subspan(entry.offset, entry.shape.stored);
    EXPECT_EQ(to_bytes(stored), Bytes(100 + i, static_cast<std::byte>(i)));
  }
}

TEST(Packs, AreTheSameWhetherChunksAreCopiedOrSealedInPlace) {
  PackBuilder copied = builder();
  PackBuilder in_place = builder();
  for (std::uint32_t i = 1; i < 5; ++i) {
    add(copied, i, 20000);
    const MutableBytes room = in_place.append_in_place(id_of(i), raw_shape(ChunkType::Data, 20000));
    std::fill(room.begin(), room.end(), static_cast<std::byte>(i));
  }
  EXPECT_EQ(finish(std::move(copied), PackBuilder::Padding::Last).name,
            finish(std::move(in_place), PackBuilder::Padding::Last).name);
}

TEST(Packs, ThatAreFullHaveExactlyTheirSize) {
  PackBuilder pack = builder();
  std::uint32_t number = 0;
  while (pack.fits(50000)) {
    add(pack, number++, 50000);
  }
  EXPECT_EQ(number, 20U);
  const FinishedPack finished = finish(std::move(pack), PackBuilder::Padding::Full);
  EXPECT_EQ(finished.bytes.size(), kPackSize);
  EXPECT_TRUE(open_pack(meta_key(), finished.name, repository(), finished.bytes).has_value());
}

TEST(Packs, TakeAChunkThatFillsThemToTheLastByte) {
  PackBuilder pack = builder();
  add(pack, 1, 1000);
  const auto room = static_cast<std::uint32_t>(kPackSize - pack.size_bytes());
  EXPECT_FALSE(pack.fits(room + 1));
  ASSERT_TRUE(pack.fits(room));
  add(pack, 2, room);
  EXPECT_EQ(pack.size_bytes(), kPackSize);
  EXPECT_EQ(finish(std::move(pack), PackBuilder::Padding::Full).bytes.size(), kPackSize);
}

TEST(Packs, ThatAreLastArePaddedByPadmeButNotBeyondTheirSize) {
  for (const std::uint32_t stored_bytes : {100U, 30000U, 500000U, 1040000U}) {
    PackBuilder pack = builder();
    add(pack, 1, stored_bytes);
    const std::uint64_t exact = pack.size_bytes();
    const FinishedPack finished = finish(std::move(pack), PackBuilder::Padding::Last);
    EXPECT_EQ(finished.bytes.size(), std::min<std::uint64_t>(padme(exact), kPackSize)) << stored_bytes;
  }
}

TEST(Packs, TakeOneChunkThatIsLargerThanThemselves) {
  PackBuilder pack = builder();
  ASSERT_TRUE(pack.fits(kStoredBytesMax));
  add(pack, 1, kStoredBytesMax);
  EXPECT_FALSE(pack.fits(29));
  const FinishedPack finished = finish(std::move(pack), PackBuilder::Padding::Full);
  EXPECT_EQ(finished.bytes.size(), padme(finished.bytes.size()));
  EXPECT_TRUE(open_pack(meta_key(), finished.name, repository(), finished.bytes).has_value());
}

TEST(Packs, WithAnyByteChangedDoNotHaveTheirName) {
  const FinishedPack pack = data_pack();
  for (std::size_t at = 0; at < pack.bytes.size(); at += 7) {
    Bytes changed = pack.bytes;
    changed[at] ^= std::byte{0x10};
    EXPECT_FALSE(verify_pack_name(pack.name, repository(), changed).has_value()) << at;
  }
}

// Whoever can write to the bucket can name a pack after any bytes: then the trailer has to tell.
TEST(Packs, WithAnyByteChangedAndNamedAnewDoNotOpen) {
  const FinishedPack pack = data_pack();
  for (std::size_t at = 0; at < pack.bytes.size(); at += 7) {
    Bytes changed = pack.bytes;
    changed[at] ^= std::byte{0x10};
    const PackName name{PackKind::Data, pack_id(changed)};
    EXPECT_FALSE(open_pack(meta_key(), name, repository(), changed).has_value()) << at;
  }
}

TEST(Packs, CutAnywhereDoNotOpen) {
  const FinishedPack pack = data_pack();
  for (std::size_t size = 0; size < pack.bytes.size(); size += 13) {
    const ByteView cut = ByteView(pack.bytes).first(size);
    const PackName name{PackKind::Data, pack_id(cut)};
    EXPECT_FALSE(open_pack(meta_key(), name, repository(), cut).has_value()) << size;
  }
}

TEST(Packs, OpenOnlyInTheirRepositoryAndUnderTheirKind) {
  const FinishedPack pack = data_pack();
  EXPECT_FALSE(verify_pack_name(pack.name, RepositoryId{}, pack.bytes).has_value());
  EXPECT_FALSE(verify_pack_name({PackKind::Meta, pack.name.id}, repository(), pack.bytes).has_value());
  EXPECT_FALSE(open_pack(MetaKey::copy_of(counting<32>(3)), pack.name, repository(), pack.bytes).has_value());
}

TEST(PackTrailers, OpenFromTheEndOfAPackAlone) {
  const FinishedPack pack = data_pack();
  const auto needed = pack_end_bytes(ByteView(pack.bytes).last(kPackFooterBytes), pack.bytes.size());
  ASSERT_TRUE(needed.has_value());
  const PackHeader header{PackKind::Data, repository()};
  for (const std::size_t size : {std::size_t{*needed}, std::size_t{*needed} + 100, pack.bytes.size()}) {
    const auto opened =
        open_pack_trailer(meta_key(), header, pack.bytes.size(), ByteView(pack.bytes).last(size));
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    EXPECT_EQ(opened->trailer, pack.trailer);
    EXPECT_EQ(opened->body_hash, pack_body_hash(ByteView(pack.bytes).first(opened->body_bytes)));
  }
  EXPECT_FALSE(
      open_pack_trailer(meta_key(), header, pack.bytes.size(), ByteView(pack.bytes).last(*needed - 1))
          .has_value());
}

TEST(PackTrailers, WithALyingLengthAreRefused) {
  const FinishedPack pack = data_pack();
  for (const std::uint32_t length : {0U, 1U, 4000U, 4209U, 1U << 26, UINT32_MAX}) {
    Bytes footer;
    base::Writer writer(footer);
    writer.u32(length);
    writer.text("NRIF");
    const auto needed = pack_end_bytes(footer, pack.bytes.size());
    if (needed) {
      Bytes end = to_bytes(ByteView(pack.bytes).first(pack.bytes.size() - kPackFooterBytes));
      append(end, footer);
      EXPECT_FALSE(
          open_pack_trailer(meta_key(), {PackKind::Data, repository()}, end.size(), end).has_value());
    }
  }
}

TEST(PackTrailers, HoldOnlyPossibleEntries) {
  const PackTrailer good = data_pack().trailer;
  ASSERT_TRUE(encode_pack_trailer(good).has_value());
  PackTrailer gap = good;
  gap.entries[1].offset += 1;
  EXPECT_FALSE(encode_pack_trailer(gap).has_value());
  PackTrailer twice = good;
  twice.entries[1].id = twice.entries[0].id;
  EXPECT_FALSE(encode_pack_trailer(twice).has_value());
  PackTrailer none = good;
  none.entries.clear();
  EXPECT_FALSE(encode_pack_trailer(none).has_value());
}

TEST(PackEntries, AreInOrderInsideThePackAndOfItsKind) {
  const auto entry = [](std::uint32_t offset, ChunkType type) {
    return PackEntry{id_of(offset), offset, raw_shape(type, 100)};
  };
  using enum ChunkType;
  EXPECT_TRUE(entries_are_valid(PackKind::Data, 224, std::vector{entry(24, Data), entry(124, Bundle)}));
  EXPECT_TRUE(entries_are_valid(PackKind::Data, 500, std::vector{entry(30, Bundle), entry(300, Data)}));
  EXPECT_FALSE(entries_are_valid(PackKind::Data, 223, std::vector{entry(24, Data), entry(124, Bundle)}));
  EXPECT_FALSE(entries_are_valid(PackKind::Data, 500, std::vector{entry(24, Data), entry(123, Data)}));
  EXPECT_FALSE(entries_are_valid(PackKind::Data, 500, std::vector{entry(124, Data), entry(24, Data)}));
  EXPECT_FALSE(entries_are_valid(PackKind::Data, 500, std::vector{entry(23, Data)}));
  EXPECT_FALSE(entries_are_valid(PackKind::Data, 500, std::vector{entry(24, TreePage)}));
  EXPECT_FALSE(entries_are_valid(PackKind::Meta, 500, std::vector{entry(24, Data)}));
  EXPECT_TRUE(entries_are_valid(
      PackKind::Meta, 500,
      std::vector{entry(24, TreePage), entry(124, SlicePage), entry(224, TreePage), entry(324, RefsPage)}));
  EXPECT_FALSE(
      entries_are_valid(PackKind::Meta, 500, std::vector{entry(24, RefsPage), entry(124, TreePage)}));
}

TEST(Padme, RoundsAsPublishedAndOnlyOnce) {
  for (const auto& [length, padded] : {std::pair{0ULL, 0ULL},
                                       {1ULL, 1ULL},
                                       {2ULL, 2ULL},
                                       {8ULL, 8ULL},
                                       {9ULL, 10ULL},
                                       {100ULL, 104ULL},
                                       {1000ULL, 1024ULL},
                                       {100000ULL, 100352ULL},
                                       {1ULL << 40, 1ULL << 40}}) {
    EXPECT_EQ(padme(length), padded) << length;
  }
  for (std::uint64_t length = 1; length < 100000; length += 37) {
    const std::uint64_t padded = padme(length);
    EXPECT_GE(padded, length);
    EXPECT_LE(static_cast<double>(padded), static_cast<double>(length) * 1.13);
    EXPECT_EQ(padme(padded), padded);
  }
}

}  // namespace
}  // namespace firn::format::test
