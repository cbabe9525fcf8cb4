#include "repo/tree/slice_list.h"

#include "memory_page_store.h"
#include "model.h"
#include "repo/format/slice_page.h"

#include <gtest/gtest.h>

namespace firn::tree {
namespace {

std::vector<format::Slice> random_slices(std::uint64_t seed, std::size_t count) {
  std::mt19937_64 random(seed);
  std::vector<format::Slice> slices(count);
  for (format::Slice& slice : slices) {
    const std::uint64_t value = random();
    std::memcpy(slice.chunk.bytes.data(), &value, sizeof(value));
    slice.length = static_cast<std::uint32_t>(1 + random() % 1'000'000);
  }
  return slices;
}

format::Blob write(MemoryPageStore& store, const std::vector<format::Slice>& slices) {
  SliceListWriter writer(store, kSeeds);
  for (const format::Slice& slice : slices) {
    EXPECT_TRUE(writer.add(slice));
  }
  return writer.finish().value();
}

std::vector<PlacedSlice> read_all(SliceListReader reader) {
  std::vector<PlacedSlice> read;
  while (const auto placed = reader.next().value()) {
    read.push_back(*placed);
  }
  return read;
}

ErrorCode first_error(SliceListReader reader) {
  for (;;) {
    const auto placed = reader.next();
    if (!placed) {
      return placed.error().code;
    }
    if (!*placed) {
      ADD_FAILURE() << "the list was accepted";
      return ErrorCode::Invalid;
    }
  }
}

TEST(SliceList, GivesBackWhatWasWrittenWithItsPositions) {
  for (const std::size_t count : {0U, 1U, 31U, 32U, 33U, 400U, 5000U, 200'000U}) {
    SCOPED_TRACE(std::to_string(count));
    MemoryPageStore store;
    const auto slices = random_slices(count, count);
    const format::Blob blob = write(store, slices);
    EXPECT_EQ(blob.form, count == 0    ? format::BlobForm::Empty
                         : count <= 32 ? format::BlobForm::Slices
                                       : format::BlobForm::Pages);
    const auto read = read_all({store, blob});
    ASSERT_EQ(read.size(), count);
    std::uint64_t position = 0;
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(read[i].slice, slices[i]);
      ASSERT_EQ(read[i].position, position);
      position += slices[i].length;
    }
    EXPECT_EQ(blob.length(), position);
  }
}

TEST(SliceList, StartsWithTheSliceThatHoldsAnOffset) {
  MemoryPageStore store;
  for (const std::size_t count : {20U, 20'000U}) {
    const format::Blob blob = write(store, random_slices(1, count));
    const auto all = read_all({store, blob});
    std::mt19937_64 random(2);
    for (int i = 0; i < 50; ++i) {
      const PlacedSlice& expected = all[random() % all.size()];
      for (const std::uint64_t offset : {expected.position, expected.position + expected.slice.length / 2,
                                         expected.position + expected.slice.length - 1}) {
        SliceListReader reader(store, blob, offset);
        const auto first = reader.next().value();
        ASSERT_TRUE(first);
        EXPECT_EQ(first->position, expected.position);
        EXPECT_EQ(first->slice, expected.slice);
      }
    }
    EXPECT_TRUE(read_all({store, blob, blob.length()}).empty());
    EXPECT_TRUE(read_all({store, blob, UINT64_MAX}).empty());
  }
}

TEST(SliceList, AnOffsetIsReachedThroughOnePageForEachLevel) {
  MemoryPageStore store;
  const format::Blob blob = write(store, random_slices(3, 200'000));
  const auto level =
      format::page_level(store.pages.at({format::ChunkType::SlicePage, blob.pages.root})).value();
  ASSERT_GE(level, 1);
  store.page_reads = 0;
  SliceListReader reader(store, blob, blob.length() / 2);
  ASSERT_TRUE(reader.next().value());
  EXPECT_EQ(store.page_reads, level + 1U);
}

TEST(SliceList, AnInsertionInTheMiddleMakesFewNewPages) {
  MemoryPageStore store;
  auto slices = random_slices(4, 100'000);
  (void)write(store, slices);
  store.new_pages = 0;
  const auto inserted = random_slices(5, 3);
  slices.insert(slices.begin() + 50'000, inserted.begin(), inserted.end());
  (void)write(store, slices);
  EXPECT_LE(store.new_pages, 6U);
}

TEST(SliceList, GivesEveryPageTheTwinThatItsBytesSay) {
  MemoryPageStore store;
  const format::Blob blob = write(store, random_slices(6, 50'000));
  for (const auto& [named, plain] : store.pages) {
    EXPECT_TRUE(store.refs_pages.contains(store.refs_of(named.first, plain)));
  }
  EXPECT_EQ(blob.pages.refs, store.refs_of(format::ChunkType::SlicePage,
                                           store.pages.at({format::ChunkType::SlicePage, blob.pages.root})));
}

TEST(SliceList, AWriterIsUsedForOneListAfterTheOther) {
  MemoryPageStore store;
  SliceListWriter writer(store, kSeeds);
  for (const std::size_t count : {1000U, 5U, 0U, 1000U}) {
    const auto slices = random_slices(count, count);
    for (const auto& slice : slices) {
      ASSERT_TRUE(writer.add(slice));
    }
    EXPECT_EQ(writer.finish().value(), write(store, slices));
    EXPECT_EQ(writer.length(), 0U);
  }
}

TEST(SliceList, RefusesALengthThatThePagesDoNotHave) {
  MemoryPageStore store;
  const format::Blob blob = write(store, random_slices(7, 50'000));
  for (const std::uint64_t wrong : {blob.pages.length - 1, blob.pages.length + 1, std::uint64_t{1},
                                    static_cast<std::uint64_t>(INT64_MAX)}) {
    format::Blob damaged = blob;
    damaged.pages.length = wrong;
    EXPECT_EQ(first_error({store, damaged}), ErrorCode::Corrupt) << wrong;
  }
}

TEST(SliceList, RefusesAPageThatNamesItself) {
  MemoryPageStore store;
  format::SlicePages self;
  self.root.bytes[0] = std::byte{1};
  self.length = 10;
  format::SliceInnerWriter writer(kSeeds.page, 3);
  (void)writer.add(self);
  store.pages[{format::ChunkType::SlicePage, self.root}] = writer.take().bytes;
  format::Blob blob;
  blob.form = format::BlobForm::Pages;
  blob.pages = self;
  EXPECT_EQ(first_error({store, blob}), ErrorCode::Corrupt);
}

TEST(SliceList, AMissingPageIsAnErrorAndNotAnEnd) {
  MemoryPageStore store;
  const format::Blob blob = write(store, random_slices(8, 50'000));
  const auto leaf = std::find_if(store.pages.begin(), store.pages.end(), [](const auto& page) {
    return format::page_level(page.second).value() == 0;
  });
  store.pages.erase(leaf);
  EXPECT_EQ(first_error({store, blob}), ErrorCode::NotFound);
}

TEST(SliceList, FlippedBitsAreRefusedOrReadWithoutHarm) {
  MemoryPageStore store;
  const format::Blob blob = write(store, random_slices(9, 2000));
  std::mt19937_64 random(10);
  for (int i = 0; i < 2000; ++i) {
    auto page = std::next(store.pages.begin(), static_cast<std::ptrdiff_t>(random() % store.pages.size()));
    const std::size_t at = random() % page->second.size();
    const auto bit = std::byte{1} << (random() % 8);
    page->second[at] ^= bit;
    SliceListReader reader(store, blob);
    std::uint64_t end = 0;
    for (;;) {
      const auto placed = reader.next();
      if (!placed) {
        EXPECT_TRUE(placed.error().code == ErrorCode::Corrupt || placed.error().code == ErrorCode::NotFound);
        break;
      }
      if (!*placed) {
        EXPECT_EQ(end, blob.length());
        break;
      }
      ASSERT_EQ((*placed)->position, end);
      end += (*placed)->slice.length;
    }
    page->second[at] ^= bit;
  }
}

}  // namespace
}  // namespace firn::tree
