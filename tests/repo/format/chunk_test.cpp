#include "repo/format/chunk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "crypto/leaf_hash.h"
#include "tests/repo/format/samples.h"

namespace firn::format::test {
namespace {

constexpr std::uint64_t kSeed = 20260101;

Bytes random_bytes(std::size_t size, std::uint64_t seed = kSeed) {
  std::mt19937_64 random(seed);
  Bytes bytes(size);
  std::generate(bytes.begin(), bytes.end(), [&random] { return static_cast<std::byte>(random()); });
  return bytes;
}

Bytes text_bytes(std::size_t size) {
  Bytes bytes;
  for (std::size_t line = 0; bytes.size() < size; ++line) {
    append(bytes, as_bytes("line " + std::to_string(line) + " of a text that compresses\n"));
  }
  bytes.resize(size);
  return bytes;
}

struct Stored {
  ChunkSecret capability;
  ChunkShape shape;
  Bytes bytes;
};

Stored store(ChunkType type, ByteView plain) {
  Compressor compressor(3);
  const auto encoded = compressor.encode(plain);
  Stored stored;
  stored.capability = chunk_capability(content_key(), type, plain);
  stored.shape = {type, encoded.codec, static_cast<std::uint32_t>(plain.size()),
                  static_cast<std::uint32_t>(encoded.bytes.size() + kChunkOverheadBytes)};
  stored.bytes.resize(stored.shape.stored);
  seal_chunk(chunk_key(stored.capability).bytes(), repository(), chunk_id(stored.capability), stored.shape,
             counting<12>(7), encoded.bytes, stored.bytes);
  return stored;
}

Result<Bytes> open(const Stored& stored, const RepositoryId& in = repository()) {
  Decompressor decompressor;
  Bytes plain;
  FIRN_TRY(open_chunk(content_key(), stored.capability, in, stored.shape, stored.bytes, decompressor, plain));
  return plain;
}

TEST(Chunks, OpenToTheBytesThatWereSealed) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{31}, std::size_t{16384}, std::size_t{16385},
                                 std::size_t{300000}, std::size_t{kPlainBytesMax}}) {
    for (const Bytes& plain : {random_bytes(size), text_bytes(size)}) {
      SCOPED_TRACE(size);
      const auto opened = open(store(ChunkType::Data, plain));
      ASSERT_TRUE(opened.has_value()) << opened.error().message;
      EXPECT_TRUE(*opened == plain);
    }
  }
}

TEST(Chunks, AreCorruptAfterAnyChange) {
  const Stored good = store(ChunkType::Bundle, text_bytes(5000));
  ASSERT_EQ(good.shape.codec, Codec::Zstd);
  for (std::size_t at = 0; at < good.bytes.size(); ++at) {
    Stored bad = good;
    bad.bytes[at] ^= std::byte{1};
    const auto opened = open(bad);
    ASSERT_FALSE(opened.has_value()) << at;
    EXPECT_EQ(opened.error().code, ErrorCode::Corrupt);
  }
}

TEST(Chunks, OpenOnlyAsWhatTheyAre) {
  const Stored good = store(ChunkType::Data, random_bytes(1000));
  Stored other_type = good;
  other_type.shape.type = ChunkType::Bundle;
  EXPECT_FALSE(open(other_type).has_value());
  Stored other_length = good;
  other_length.shape.plain += 1;
  EXPECT_FALSE(open(other_length).has_value());
  Stored other_stored = good;
  other_stored.shape.stored += 1;
  EXPECT_FALSE(open(other_stored).has_value());
  Stored cut = good;
  cut.bytes.pop_back();
  EXPECT_FALSE(open(cut).has_value());
  EXPECT_FALSE(open(good, RepositoryId{}).has_value());
  Stored other_capability = good;
  other_capability.capability.bytes[0] ^= std::byte{1};
  EXPECT_FALSE(open(other_capability).has_value());
}

// Whoever knows t can make a sealed chunk that decrypts: only recomputing t tells it from the right one.
TEST(Chunks, WithOtherBytesUnderAKnownCapabilityAreCorrupt) {
  Stored forged = store(ChunkType::Data, random_bytes(1000));
  const Bytes other = random_bytes(1000, kSeed + 1);
  seal_chunk(chunk_key(forged.capability).bytes(), repository(), chunk_id(forged.capability), forged.shape,
             counting<12>(8), other, forged.bytes);
  const auto opened = open(forged);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::Corrupt);
}

TEST(Chunks, OfTheSameBytesAndAnotherTypeOrKeyHaveAnotherCapability) {
  const Bytes plain = random_bytes(100);
  const ChunkSecret data = chunk_capability(content_key(), ChunkType::Data, plain);
  EXPECT_NE(data, chunk_capability(content_key(), ChunkType::Bundle, plain));
  EXPECT_NE(data, chunk_capability(ContentKey::copy_of(counting<32>(9)), ChunkType::Data, plain));
}

TEST(Chunks, HaveTheSameCapabilityFromBytesAndFromLeaves) {
  for (const std::size_t size : {1U, 16384U, 16385U, 100000U}) {
    const Bytes plain = random_bytes(size);
    std::vector<crypto::Digest> leaves;
    crypto::leaf_digests(plain, leaves);
    EXPECT_EQ(chunk_capability(content_key(), ChunkType::Data, plain),
              chunk_capability(content_key(), ChunkType::Data, size, leaves));
  }
}

TEST(Chunks, OpenOnlyForTheirOwnCapability) {
  const ChunkSecret t = chunk_capability(content_key(), ChunkType::Data, random_bytes(10));
  EXPECT_TRUE(capability_opens(t, chunk_id(t)));
  EXPECT_FALSE(capability_opens(ChunkSecret{}, chunk_id(t)));
}

TEST(RefsPages, OpenWithoutAContentKeyAndOnlyAsThemselves) {
  const Bytes plain = random_bytes(72);
  const ChunkId id = refs_page_id(refs_key(), plain);
  const ChunkShape shape{ChunkType::RefsPage, Codec::Raw, 72, 72 + kChunkOverheadBytes};
  Bytes stored(shape.stored);
  seal_chunk(refs_page_key(refs_key(), id).bytes(), repository(), id, shape, counting<12>(1), plain, stored);
  Decompressor decompressor;
  Bytes opened;
  ASSERT_TRUE(open_refs_chunk(refs_key(), id, repository(), shape, stored, decompressor, opened).has_value());
  EXPECT_EQ(opened, plain);

  const Bytes other = random_bytes(72, kSeed + 1);
  seal_chunk(refs_page_key(refs_key(), id).bytes(), repository(), id, shape, counting<12>(1), other, stored);
  EXPECT_FALSE(
      open_refs_chunk(refs_key(), id, repository(), shape, stored, decompressor, opened).has_value());
}

TEST(ChunkShapes, AreValidOnlyWithinBoundsAndForTheirCodec) {
  struct Case {
    const char* what;
    ChunkShape shape;
    bool valid;
  };
  const Case cases[] = {
      {"raw", {ChunkType::Data, Codec::Raw, 100, 128}, true},
      {"raw, longer", {ChunkType::Data, Codec::Raw, 100, 129}, false},
      {"raw, shorter", {ChunkType::Data, Codec::Raw, 100, 127}, false},
      {"zstd", {ChunkType::Data, Codec::Zstd, 100, 127}, true},
      {"zstd that saves nothing", {ChunkType::Data, Codec::Zstd, 100, 128}, false},
      {"zstd of nothing", {ChunkType::Data, Codec::Zstd, 100, 28}, false},
      {"empty", {ChunkType::Data, Codec::Raw, 0, 28}, false},
      {"largest", {ChunkType::Data, Codec::Raw, kPlainBytesMax, kStoredBytesMax}, true},
      {"too large", {ChunkType::Data, Codec::Raw, kPlainBytesMax + 1, kStoredBytesMax + 1}, false},
      {"type 0", {static_cast<ChunkType>(0), Codec::Raw, 100, 128}, false},
      {"type 6", {static_cast<ChunkType>(6), Codec::Raw, 100, 128}, false},
      {"codec 2", {ChunkType::Data, static_cast<Codec>(2), 100, 127}, false},
  };
  for (const auto& [what, shape, valid] : cases) {
    EXPECT_EQ(shape_is_valid(shape), valid) << what;
  }
}

TEST(Codec, IsRawWhenZstdSavesLessThanAThirtySecond) {
  Compressor compressor(3);
  EXPECT_EQ(compressor.encode(random_bytes(100000)).codec, Codec::Raw);
  EXPECT_EQ(compressor.encode(text_bytes(100000)).codec, Codec::Zstd);
  // Mostly random, with a compressible tail that is just too short, and just long enough.
  for (const auto& [zeros, expected] : {std::pair{2000U, Codec::Raw}, std::pair{6000U, Codec::Zstd}}) {
    Bytes mixed = random_bytes(100000);
    std::fill(mixed.end() - zeros, mixed.end(), std::byte{0});
    const auto encoded = compressor.encode(mixed);
    EXPECT_EQ(encoded.codec, expected) << zeros;
    EXPECT_TRUE(encoded.codec == Codec::Raw || encoded.bytes.size() <= mixed.size() - mixed.size() / 32);
  }
}

TEST(Codec, DecodesToExactlyTheLengthAskedFor) {
  Compressor compressor(3);
  Decompressor decompressor;
  const Bytes plain = text_bytes(10000);
  const auto encoded = compressor.encode(plain);
  Bytes out(plain.size());
  EXPECT_TRUE(decompressor.decode(encoded.codec, encoded.bytes, out).has_value());
  EXPECT_EQ(out, plain);
  Bytes shorter(plain.size() - 1);
  EXPECT_FALSE(decompressor.decode(encoded.codec, encoded.bytes, shorter).has_value());
  Bytes longer(plain.size() + 1);
  EXPECT_FALSE(decompressor.decode(encoded.codec, encoded.bytes, longer).has_value());
}

TEST(Codec, RefusesAnythingButOneWholeFrame) {
  Compressor compressor(3);
  Decompressor decompressor;
  const Bytes plain = text_bytes(10000);
  const Bytes frame = to_bytes(compressor.encode(plain).bytes);
  Bytes out(plain.size());
  for (std::size_t size = 0; size < frame.size(); ++size) {
    EXPECT_FALSE(decompressor.decode(Codec::Zstd, ByteView(frame).first(size), out).has_value()) << size;
  }
  Bytes with_skippable = to_bytes(as_bytes(std::string_view("\x50\x2A\x4D\x18\0\0\0\0", 8)));
  append(with_skippable, frame);
  EXPECT_FALSE(decompressor.decode(Codec::Zstd, with_skippable, out).has_value());
  Bytes followed = frame;
  append(followed, as_bytes(std::string_view("\x50\x2A\x4D\x18\0\0\0\0", 8)));
  EXPECT_FALSE(decompressor.decode(Codec::Zstd, followed, out).has_value());
  Bytes twice = frame;
  append(twice, frame);
  Bytes twice_out(2 * plain.size());
  EXPECT_FALSE(decompressor.decode(Codec::Zstd, twice, twice_out).has_value());
}

}  // namespace
}  // namespace firn::format::test
