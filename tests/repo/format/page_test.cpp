#include "repo/format/page.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "repo/format/cut.h"
#include "repo/format/refs.h"
#include "repo/format/slice_page.h"
#include "tests/repo/format/samples.h"

namespace firn::format::test {
namespace {

constexpr std::uint64_t kSeed = 99;
using Added = LeafPageWriter::Added;

/// A sorted list of `count` files in nested directories.
std::vector<ListedEntry> many_entries(std::size_t count, std::uint64_t seed = kSeed) {
  std::mt19937_64 random(seed);
  std::set<std::pair<std::string, std::string>> paths;
  while (paths.size() < count) {
    std::string directory = "d" + std::to_string(random() % 40);
    if (random() % 2 == 0) {
      directory += "/sub" + std::to_string(random() % 10);
    }
    paths.emplace(directory, "file-" + std::to_string(random() % 100000));
  }
  std::vector<ListedEntry> list;
  for (const auto& [directory, name] : paths) {
    Entry entry = regular_entry(name, "");
    entry.inode = random();
    entry.size_bytes = 1000;
    entry.content.form = BlobForm::Slices;
    entry.content.slices = {{ChunkSecret{counting<32>(static_cast<unsigned>(random() % 50))}, 0, 1000}};
    list.push_back({directory, std::move(entry)});
  }
  std::sort(list.begin(), list.end(), [](const ListedEntry& a, const ListedEntry& b) {
    return compare_keys({a.directory, a.entry.name}, {b.directory, b.entry.name}) < 0;
  });
  return list;
}

std::vector<LeafPage> pages_of(const std::vector<ListedEntry>& list, std::uint64_t seed = kSeed) {
  std::vector<LeafPage> pages;
  LeafPageWriter writer(seed);
  for (const ListedEntry& each : list) {
    auto added = writer.add(each.directory, each.entry);
    EXPECT_TRUE(added.has_value());
    if (*added == Added::No) {
      pages.push_back(writer.take());
      added = writer.add(each.directory, each.entry);
      EXPECT_NE(*added, Added::No);
    }
    if (*added == Added::Full) {
      pages.push_back(writer.take());
    }
  }
  if (!writer.empty()) {
    pages.push_back(writer.take());
  }
  return pages;
}

std::vector<ListedEntry> entries_of(ByteView page) {
  std::vector<ListedEntry> list;
  auto reader = LeafPageReader::open(page);
  EXPECT_TRUE(reader.has_value());
  while (true) {
    const auto any = reader->next();
    EXPECT_TRUE(any.has_value());
    if (!any || !*any) {
      return list;
    }
    list.push_back({std::string(reader->directory()), to_entry(reader->entry())});
  }
}

TEST(LeafPages, GiveBackTheListInOrder) {
  const auto list = many_entries(5000);
  std::size_t at = 0;
  for (const LeafPage& page : pages_of(list)) {
    EXPECT_LE(page.bytes.size(), kPageBytesMax);
    const auto part = entries_of(page.bytes);
    EXPECT_EQ(page.first_key, sort_key({part.front().directory, part.front().entry.name}));
    EXPECT_EQ(page.last_key, sort_key({part.back().directory, part.back().entry.name}));
    for (const ListedEntry& each : part) {
      ASSERT_EQ(each.directory, list[at].directory);
      ASSERT_TRUE(each.entry == list[at].entry);
      ++at;
    }
  }
  EXPECT_EQ(at, list.size());
}

TEST(LeafPages, AreTheSameAgainAwayFromAChange) {
  auto list = many_entries(20000);
  const auto before = pages_of(list);
  ASSERT_GT(before.size(), 20U);
  list.erase(list.begin() + 10000);
  const auto after = pages_of(list);
  std::set<Bytes> known;
  for (const LeafPage& page : before) {
    known.insert(page.bytes);
  }
  const auto fresh = std::count_if(after.begin(), after.end(),
                                   [&known](const LeafPage& page) { return !known.contains(page.bytes); });
  EXPECT_LE(fresh, 3);
}

TEST(LeafPages, HaveAboutTheAverageSizeAndAnotherCutForAnotherSeed) {
  const auto list = many_entries(20000);
  const auto pages = pages_of(list);
  std::size_t total = 0;
  for (std::size_t i = 0; i + 1 < pages.size(); ++i) {
    EXPECT_GE(pages[i].bytes.size(), kPageBytesMin);
    total += pages[i].bytes.size();
  }
  const std::size_t average = total / (pages.size() - 1);
  EXPECT_GT(average, 40000U);
  EXPECT_LT(average, 120000U);
  EXPECT_NE(pages_of(list, kSeed + 1).front().bytes, pages.front().bytes);
}

TEST(LeafPages, CopyEncodedEntriesAsTheyAre) {
  LeafPageWriter encodes(kSeed);
  for (const ListedEntry& each : entries()) {
    ASSERT_TRUE(encodes.add(each.directory, each.entry).has_value());
  }
  const Bytes page = encodes.take().bytes;
  LeafPageWriter copies(kSeed);
  auto reader = LeafPageReader::open(page);
  ASSERT_TRUE(reader.has_value());
  for (auto any = reader->next(); any && *any; any = reader->next()) {
    ASSERT_TRUE(copies.add(reader->directory(), reader->entry()).has_value());
  }
  EXPECT_EQ(copies.take().bytes, page);
}

TEST(LeafPages, EndBeforeTheyGetTooLong) {
  LeafPageWriter writer(kSeed);
  const std::string component(255, 'd');
  std::string directory = component;
  while (directory.size() + 256 <= kDirectoryBytesMax) {
    directory += "/" + component;
  }
  std::size_t pages = 0;
  for (int i = 0; i < 40; ++i) {
    // Every directory differs from the one before in its first byte, so that no prefix is shared.
    directory[0] = static_cast<char>('0' + i);
    const Entry entry = regular_entry("f", "");
    auto added = writer.add(directory, entry);
    ASSERT_TRUE(added.has_value());
    if (*added == Added::No) {
      const Bytes page = writer.take().bytes;
      EXPECT_LE(page.size(), kPageBytesMax);
      EXPECT_GT(page.size(), kPageBytesMax - 33000);
      EXPECT_FALSE(entries_of(page).empty());
      ++pages;
      added = writer.add(directory, entry);
    }
    if (*added == Added::Full) {
      writer.take();
    }
  }
  EXPECT_GE(pages, 1U);
}

TEST(LeafPages, RefuseEntriesInTheWrongPlace) {
  LeafPageWriter writer(kSeed);
  EXPECT_FALSE(writer.add("/a", regular_entry("f", "")).has_value());
  EXPECT_FALSE(writer.add("a/", regular_entry("f", "")).has_value());
  EXPECT_FALSE(writer.add("a/..", regular_entry("f", "")).has_value());
  Entry nameless = regular_entry("", "");
  EXPECT_FALSE(writer.add("a", nameless).has_value());
}

// Hand-made pages, each with one fault.
class PageBytes {
 public:
  PageBytes& level(std::uint8_t number) { return byte(number); }
  PageBytes& byte(std::uint8_t value) {
    bytes_.push_back(static_cast<std::byte>(value));
    return *this;
  }
  PageBytes& directory(std::uint64_t shared, std::string_view rest) {
    base::Writer out(bytes_);
    out.u8(1);
    out.varint(shared);
    out.varint(rest.size());
    out.text(rest);
    return *this;
  }
  PageBytes& entry(const std::string& name) {
    EXPECT_TRUE(encode_entry(regular_entry(name, ""), bytes_).has_value());
    return *this;
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

bool is_whole(ByteView page) {
  auto reader = LeafPageReader::open(page);
  if (!reader) {
    return false;
  }
  while (true) {
    const auto any = reader->next();
    if (!any || !*any) {
      return any.has_value();
    }
  }
}

TEST(LeafPages, ThatAreHostileAreRefused) {
  struct Case {
    const char* what;
    PageBytes page;
    bool whole;
  };
  const Case cases[] = {
      {"good", PageBytes().level(0).directory(0, "a").entry("x").directory(1, "/b").entry("x"), true},
      {"good top", PageBytes().level(0).directory(0, "").entry("").entry("x"), true},
      {"nothing", PageBytes(), false},
      {"level alone", PageBytes().level(0), false},
      {"not a leaf", PageBytes().level(1).directory(0, "a").entry("x"), false},
      {"no directory first", PageBytes().level(0).entry("x"), false},
      {"directory without entry", PageBytes().level(0).directory(0, "a"), false},
      {"directory after directory", PageBytes().level(0).directory(0, "a").directory(0, "b").entry("x"),
       false},
      {"directory at the end", PageBytes().level(0).directory(0, "a").entry("x").directory(0, "b"), false},
      {"first directory shares", PageBytes().level(0).directory(1, "a").entry("x"), false},
      {"shares more than there is",
       PageBytes().level(0).directory(0, "a").entry("x").directory(2, "b").entry("x"), false},
      {"shares less than it could",
       PageBytes().level(0).directory(0, "a").entry("x").directory(0, "a/b").entry("x"), false},
      {"same directory again", PageBytes().level(0).directory(0, "a").entry("x").directory(1, "").entry("y"),
       false},
      {"directories backwards",
       PageBytes().level(0).directory(0, "b").entry("x").directory(0, "a").entry("x"), false},
      {"bad directory", PageBytes().level(0).directory(0, "a//b").entry("x"), false},
      {"dot dot", PageBytes().level(0).directory(0, "..").entry("x"), false},
      {"names backwards", PageBytes().level(0).directory(0, "a").entry("y").entry("x"), false},
      {"name twice", PageBytes().level(0).directory(0, "a").entry("x").entry("x"), false},
      {"nameless below", PageBytes().level(0).directory(0, "a").entry("").entry("x"), false},
      {"nameless twice", PageBytes().level(0).directory(0, "").entry("").entry(""), false},
      {"unknown record", PageBytes().level(0).directory(0, "a").entry("x").byte(3), false},
  };
  for (const auto& [what, page, whole] : cases) {
    EXPECT_EQ(is_whole(page.bytes()), whole) << what;
  }
  Bytes too_long(kPageBytesMax + 1);
  EXPECT_FALSE(LeafPageReader::open(too_long).has_value());
}

TEST(Separators, AreTheShortestBetweenTheirNeighbours) {
  const auto pages = pages_of(many_entries(20000));
  for (std::size_t i = 1; i < pages.size(); ++i) {
    const Bytes separator = shortest_separator(pages[i - 1].last_key, pages[i].first_key);
    EXPECT_LT(as_text(pages[i - 1].last_key), as_text(separator));
    EXPECT_LE(as_text(separator), as_text(pages[i].first_key));
    const ByteView shorter = ByteView(separator).first(separator.size() - 1);
    EXPECT_GE(as_text(pages[i - 1].last_key), as_text(shorter));
  }
}

TEST(InnerPages, GiveBackTheirChildrenAndTheirSeparator) {
  const auto leaves = pages_of(many_entries(20000));
  InnerPageWriter writer(kSeed, 3);
  std::vector<ChildPage> children;
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    ChildPage child;
    child.separator = i == 0 ? Bytes{} : shortest_separator(leaves[i - 1].last_key, leaves[i].first_key);
    child.page = ChunkSecret{counting<32>(static_cast<unsigned>(i))};
    child.refs = ChunkId{counting<32>(static_cast<unsigned>(i + 1))};
    ASSERT_NE(writer.add(child), Added::No);
    children.push_back(child);
  }
  const auto page = writer.take();
  EXPECT_EQ(page.children, children.size());
  EXPECT_TRUE(page.separator.empty());
  auto reader = InnerPageReader::open(page.bytes);
  ASSERT_TRUE(reader.has_value());
  EXPECT_EQ(reader->level(), 3);
  for (const ChildPage& child : children) {
    const auto any = reader->next();
    ASSERT_TRUE(any.has_value() && *any);
    EXPECT_EQ(reader->child(), child);
  }
  EXPECT_FALSE(reader->next().value_or(true));
}

TEST(SlicePages, GiveBackTheirSlicesAndLengths) {
  SlicePageWriter writer(kSeed);
  std::uint64_t length = 0;
  for (std::uint32_t i = 1; i < 200; ++i) {
    ASSERT_EQ(writer.add({ChunkSecret{counting<32>(i)}, i, i * 100}), Added::Open) << i;
    length += i * 100;
  }
  const SlicePage page = writer.take();
  EXPECT_EQ(page.length, length);
  auto reader = SlicePageReader::open(page.bytes);
  ASSERT_TRUE(reader.has_value());
  Slice slice;
  for (std::uint32_t i = 1; i < 200; ++i) {
    ASSERT_TRUE(reader->next(slice).value_or(false));
    EXPECT_EQ(slice, (Slice{ChunkSecret{counting<32>(i)}, i, i * 100}));
  }
  EXPECT_FALSE(reader->next(slice).value_or(true));
  EXPECT_EQ(reader->length(), length);
}

TEST(SlicePages, WhoseLengthsOverflowAreRefused) {
  Bytes page{std::byte{1}};
  base::Writer out(page);
  for (int i = 0; i < 2; ++i) {
    out.varint(INT64_MAX);
    out.zeros(64);
  }
  auto reader = SliceInnerReader::open(page);
  ASSERT_TRUE(reader.has_value());
  SlicePages child;
  EXPECT_TRUE(reader->next(child).has_value());
  EXPECT_FALSE(reader->next(child).has_value());
}

TEST(RefsPages, NameEverythingThatAPageNames) {
  LeafPageWriter writer(kSeed);
  std::set<ChunkId> chunks;
  std::set<ChunkId> children;
  const auto note = [&](const Blob& blob) {
    for (const Slice& slice : blob.slices) {
      chunks.insert(chunk_id(slice.chunk));
    }
    if (blob.form == BlobForm::Pages) {
      chunks.insert(chunk_id(blob.pages.root));
      children.insert(blob.pages.refs);
    }
  };
  for (const ListedEntry& each : entries()) {
    ASSERT_TRUE(writer.add(each.directory, each.entry).has_value());
    note(each.entry.content);
    note(each.entry.holes);
    note(each.entry.xattrs);
  }
  const auto refs = refs_of_page(ChunkType::TreePage, writer.take().bytes);
  ASSERT_TRUE(refs.has_value());
  EXPECT_EQ(refs->chunks, std::vector(chunks.begin(), chunks.end()));
  EXPECT_EQ(refs->children, std::vector(children.begin(), children.end()));
  EXPECT_EQ(chunks.size(), 3U);
}

TEST(RefsPages, OfInnerPagesNameTheirChildrenTwice) {
  InnerPageWriter writer(kSeed, 1);
  const ChildPage child{{}, ChunkSecret{counting<32>(1)}, ChunkId{counting<32>(2)}};
  writer.add(child);
  const auto refs = refs_of_page(ChunkType::TreePage, writer.take().bytes);
  ASSERT_TRUE(refs.has_value());
  EXPECT_EQ(refs->chunks, std::vector{chunk_id(child.page)});
  EXPECT_EQ(refs->children, std::vector{child.refs});
}

TEST(Bundles, EndAfterAFileOfTheirSizeAndNeverReachTwice) {
  EXPECT_TRUE(bundle_ends_after(kSeed, "any", 524288, 524288));
  EXPECT_FALSE(bundle_ends_after(kSeed, "any", 0, 524288));
  EXPECT_TRUE(bundle_takes(0, 1048575, 524288));
  EXPECT_FALSE(bundle_takes(1, 1048575, 524288));
  int ended = 0;
  for (int i = 0; i < 10000; ++i) {
    ended += bundle_ends_after(kSeed, "file " + std::to_string(i), 52429, 524288) ? 1 : 0;
  }
  EXPECT_NEAR(ended, 1000, 150);
}

}  // namespace
}  // namespace firn::format::test
