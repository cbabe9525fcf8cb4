#include "repo/format/tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>

#include "repo/format/blobs.h"
#include "tests/repo/format/samples.h"

namespace firn::format::test {
namespace {

constexpr std::uint64_t kSeed = 4711;

Result<Entry> through_bytes(const Entry& entry) {
  Bytes record;
  FIRN_TRY(encode_entry(entry, record));
  base::Reader in(record);
  EntryView view;
  if (!parse_entry(in, view) || !in.finished()) {
    return fail(ErrorCode::Corrupt, "does not parse");
  }
  EXPECT_TRUE(equal(view.encoded, record));
  return to_entry(view);
}

TEST(Entries, OfEveryTypeComeBackWhole) {
  for (const ListedEntry& each : entries()) {
    const auto back = through_bytes(each.entry);
    ASSERT_TRUE(back.has_value()) << each.entry.name << ": " << back.error().message;
    EXPECT_TRUE(*back == each.entry) << each.entry.name;
  }
}

TEST(Entries, AtTheEndsOfTheirRangesComeBackWhole) {
  Entry e = regular_entry(std::string(255, '\xFF'), "x");
  e.mode = 07777;
  e.uid = e.gid = e.device = e.nlink = e.inode_flags = e.project_id = UINT32_MAX;
  e.inode = UINT64_MAX;
  e.mtime = {INT64_MIN, 0};
  e.ctime = {INT64_MAX, 999'999'999};
  e.atime = Timestamp{0, 0};
  const auto back = through_bytes(e);
  ASSERT_TRUE(back.has_value());
  EXPECT_TRUE(*back == e);

  Entry sparse = regular_entry("all holes", "");
  sparse.size_bytes = INT64_MAX;
  HoleWriter(sparse.holes.inline_bytes).add({0, INT64_MAX});
  sparse.holes.form = BlobForm::Inline;
  const auto sparse_back = through_bytes(sparse);
  ASSERT_TRUE(sparse_back.has_value());
  EXPECT_TRUE(*sparse_back == sparse);
}

TEST(Entries, AsLargeAsTheyCanBeStayBelowTheirLimit) {
  Entry e = regular_entry(std::string(255, 'n'), "");
  const auto longest = [](Blob& blob) {
    blob.form = BlobForm::Slices;
    blob.slices.assign(kEntrySlicesMax, {ChunkSecret{}, kPlainBytesMax / 2, kPlainBytesMax / 2});
  };
  longest(e.content);
  longest(e.holes);
  e.xattrs.form = BlobForm::Slices;
  e.xattrs.slices.assign(kEntrySlicesMax, {ChunkSecret{}, kPlainBytesMax / 2, kPlainBytesMax / 32});
  e.size_bytes = INT64_MAX;
  e.digest = ContentDigest{};
  e.atime = e.mtime = e.ctime = {INT64_MIN, 1};
  Bytes record;
  const auto encoded = encode_entry(e, record);
  ASSERT_TRUE(encoded.has_value());
  EXPECT_LE(record.size(), kEntryBytesMax);
  EXPECT_TRUE(through_bytes(e).has_value());
}

TEST(Entries, ThatTheFormatCannotHoldAreInvalid) {
  struct Case {
    const char* what;
    std::function<void(Entry&)> spoil;
  };
  const auto slices = [](Blob& blob, std::size_t count, std::uint32_t length) {
    blob.form = BlobForm::Slices;
    blob.slices.assign(count, {ChunkSecret{}, 0, length});
  };
  const Case cases[] = {
      {"name with a slash", [](Entry& e) { e.name = "a/b"; }},
      {"name with NUL", [](Entry& e) { e.name = std::string("a\0b", 3); }},
      {"dot", [](Entry& e) { e.name = "."; }},
      {"dot dot", [](Entry& e) { e.name = ".."; }},
      {"long name", [](Entry& e) { e.name = std::string(256, 'a'); }},
      {"unknown type", [](Entry& e) { e.type = FileType::Unknown; }},
      {"mode", [](Entry& e) { e.mode = 010000; }},
      {"nanoseconds", [](Entry& e) { e.mtime.nanoseconds = 1'000'000'000; }},
      {"size without content", [](Entry& e) { e.size_bytes += 1; }},
      {"content without size", [](Entry& e) { e.size_bytes -= 1; }},
      {"long inline content",
       [](Entry& e) {
         e.content.inline_bytes = Bytes(257);
         e.size_bytes = 257;
       }},
      {"too many slices",
       [&](Entry& e) {
         slices(e.content, 33, 1);
         e.size_bytes = 33;
       }},
      {"no slices",
       [&](Entry& e) {
         slices(e.content, 0, 1);
         e.size_bytes = 0;
       }},
      {"empty slice",
       [&](Entry& e) {
         slices(e.content, 1, 0);
         e.size_bytes = 0;
       }},
      {"slice beyond a chunk",
       [&](Entry& e) {
         slices(e.content, 1, kPlainBytesMax);
         e.content.slices[0].offset = 1;
         e.size_bytes = kPlainBytesMax;
       }},
      {"target of a file", [](Entry& e) { e.target = "t"; }},
      {"link without target",
       [](Entry& e) {
         e.type = FileType::Symlink;
         e.content = {};
         e.size_bytes = 0;
       }},
      {"content of a directory", [](Entry& e) { e.type = FileType::Directory; }},
      {"device of a file", [](Entry& e) { e.rdev = 1; }},
      {"changed fifo",
       [](Entry& e) {
         e = regular_entry("f", "");
         e.type = FileType::Fifo;
         e.changed_while_read = true;
       }},
      {"xattrs that are none",
       [](Entry& e) {
         e.xattrs.form = BlobForm::Inline;
         e.xattrs.inline_bytes = Bytes(3);
       }},
      {"hole map that does not fit",
       [](Entry& e) {
         e.holes.form = BlobForm::Inline;
         HoleWriter(e.holes.inline_bytes).add({0, 10});
       }},
  };
  for (const auto& [what, spoil] : cases) {
    Entry entry = regular_entry("good", "content");
    Bytes record;
    ASSERT_TRUE(encode_entry(entry, record).has_value());
    spoil(entry);
    const auto encoded = encode_entry(entry, record);
    ASSERT_FALSE(encoded.has_value()) << what;
    EXPECT_EQ(encoded.error().code, ErrorCode::Invalid);
  }
}

TEST(Directories, ArePathsOfValidNames) {
  for (const std::string_view good : {"", "a", "a/b", "\xFF/\n", "..."}) {
    EXPECT_TRUE(directory_is_valid(good)) << good;
  }
  const std::string too_long(kDirectoryBytesMax + 1, 'a');
  for (const std::string_view bad :
       {std::string_view("/"), std::string_view("/a"), std::string_view("a/"), std::string_view("a//b"),
        std::string_view("a/../b"), std::string_view("."), std::string_view("a\0", 2),
        std::string_view(too_long)}) {
    EXPECT_FALSE(directory_is_valid(bad)) << bad;
  }
}

// A file tree in memory: what a walker that sorts each directory meets.
struct Folder {
  std::map<std::string, Folder> children;
};

void grow(Folder& folder, int depth, std::mt19937_64& random) {
  // Bytes around '/' (0x2F), controls, high bytes: where orders go wrong.
  const std::string alphabet("\x01-./0aAz\xFF", 9);
  const int count = static_cast<int>(random() % 6);
  for (int i = 0; i < count; ++i) {
    std::string name;
    for (std::size_t size = 1 + random() % 3; size > 0; --size) {
      name.push_back(alphabet[random() % alphabet.size()]);
    }
    if (name_is_valid(name)) {
      Folder& child = folder.children[name];
      if (depth > 0 && random() % 2 == 0) {
        grow(child, depth - 1, random);
      }
    }
  }
}

void walk(const Folder& folder, const std::string& path,
          std::vector<std::pair<std::string, std::string>>& met) {
  // std::map orders std::string bytewise, as a walker that sorts by memcmp does.
  for (const auto& [name, child] : folder.children) {
    met.emplace_back(path, name);
  }
  for (const auto& [name, child] : folder.children) {
    walk(child, path.empty() ? name : path + "/" + name, met);
  }
}

TEST(Keys, OrderAsAWalkerThatSortsEachDirectoryMeetsThem) {
  std::mt19937_64 random(kSeed);
  for (int tree = 0; tree < 200; ++tree) {
    SCOPED_TRACE("seed 4711, tree " + std::to_string(tree));
    Folder root;
    grow(root, 4, random);
    std::vector<std::pair<std::string, std::string>> met{{"", ""}};
    walk(root, "", met);
    for (std::size_t i = 1; i < met.size(); ++i) {
      const Key before{met[i - 1].first, met[i - 1].second};
      const Key after{met[i].first, met[i].second};
      ASSERT_TRUE(compare_keys(before, after) < 0) << path_of(before) << " and " << path_of(after);
      ASSERT_TRUE(compare_keys(after, before) > 0);
      ASSERT_TRUE(compare_keys(after, after) == 0);
    }
  }
}

TEST(SortKeys, OrderAsKeysDo) {
  std::mt19937_64 random(kSeed);
  for (int tree = 0; tree < 20; ++tree) {
    Folder root;
    grow(root, 4, random);
    std::vector<std::pair<std::string, std::string>> met{{"", ""}};
    walk(root, "", met);
    for (const auto& a : met) {
      for (const auto& b : met) {
        const Key key_a{a.first, a.second};
        const Key key_b{b.first, b.second};
        const Bytes sort_a = sort_key(key_a);
        const Bytes sort_b = sort_key(key_b);
        ASSERT_TRUE((as_text(sort_a) <=> as_text(sort_b)) == compare_keys(key_a, key_b));
      }
    }
  }
}

TEST(Paths, AreTakenApartAsTheyWereJoined) {
  for (const auto& [directory, name] : {std::pair{"", ""}, {"", "a"}, {"a", "b"}, {"a/b", "c"}}) {
    const std::string path = path_of({directory, name});
    EXPECT_EQ(key_of(path).directory, directory);
    EXPECT_EQ(key_of(path).name, name);
  }
}

TEST(Xattrs, AreSortedAndUnique) {
  const std::vector<ExtendedAttribute> unsorted{
      {"user.b", Bytes(3)}, {"security.a", {}}, {"user.a", Bytes(65536)}};
  const auto blob = encode_xattrs(unsorted);
  ASSERT_TRUE(blob.has_value());
  const auto parsed = parse_xattrs(*blob);
  ASSERT_TRUE(parsed.has_value());
  ASSERT_EQ(parsed->size(), 3U);
  EXPECT_EQ((*parsed)[0].name, "security.a");
  EXPECT_EQ((*parsed)[2], unsorted[0]);
  EXPECT_FALSE(encode_xattrs({{"user.a", {}}, {"user.a", {}}}).has_value());
  EXPECT_FALSE(encode_xattrs({{"", {}}}).has_value());
  EXPECT_FALSE(encode_xattrs({{std::string(256, 'n'), {}}}).has_value());
  EXPECT_FALSE(encode_xattrs({{"user.a", Bytes(65537)}}).has_value());
  EXPECT_TRUE(encode_xattrs({})->empty());
}

TEST(Holes, AreReadFromPiecesOfAnySize) {
  std::mt19937_64 random(kSeed);
  Bytes blob;
  HoleWriter writer(blob);
  std::vector<Hole> holes;
  std::uint64_t at = 0;
  for (int i = 0; i < 300; ++i) {
    const Hole hole{at + (i > 0 ? 1 : 0) + random() % (1U << (random() % 30)),
                    1 + random() % (1U << (random() % 30))};
    writer.add(hole);
    holes.push_back(hole);
    at = hole.offset + hole.length;
  }
  for (const std::size_t piece_bytes : {std::size_t{1}, std::size_t{2}, std::size_t{19}, blob.size()}) {
    HoleReader reader;
    std::vector<Hole> read;
    for (std::size_t begin = 0; begin < blob.size(); begin += piece_bytes) {
      ASSERT_TRUE(reader.feed(ByteView(blob).subspan(begin, std::min(piece_bytes, blob.size() - begin)), read)
                      .has_value());
    }
    EXPECT_TRUE(reader.finish(at + 5, at + 5 - writer.hole_bytes()).has_value());
    EXPECT_FALSE(reader.finish(at - 1, at - 1 - writer.hole_bytes()).has_value());
    EXPECT_FALSE(reader.finish(at + 5, at + 4 - writer.hole_bytes()).has_value());
    EXPECT_EQ(read, holes);
  }
}

TEST(Holes, ThatTouchOverlapOrOverflowAreRefused) {
  const auto blob_of = [](std::initializer_list<std::uint64_t> numbers) {
    Bytes blob;
    base::Writer writer(blob);
    for (const std::uint64_t number : numbers) {
      writer.varint(number);
    }
    return blob;
  };
  EXPECT_TRUE(parse_holes(blob_of({0, 5, 1, 5}), 11, 1).has_value());
  for (const Bytes& bad :
       {blob_of({0, 5, 0, 5}), blob_of({0, 0}), blob_of({5}), blob_of({}), blob_of({INT64_MAX, 1}),
        blob_of({0, INT64_MAX, 1, INT64_MAX}), blob_of({0, UINT64_MAX})}) {
    EXPECT_FALSE(parse_holes(bad, INT64_MAX, 0).has_value() || parse_holes(bad, 11, 1).has_value())
        << to_hex(bad);
  }
}

}  // namespace
}  // namespace firn::format::test
