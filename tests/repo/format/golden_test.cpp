// The worked examples: this program writes exactly these bytes, reads them, and docs/FORMAT.md shows them.
//
// After a deliberate change of the format: FIRN_UPDATE_GOLDEN=1 build/dev/tests/repo/format/test_format
// --gtest_filter='Golden.*', then tests/repo/format/update_format_md.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "repo/format/sealed.h"
#include "tests/repo/format/reencode.h"
#include "tests/repo/format/samples.h"

namespace firn::format::test {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(FIRN_TEST_SOURCE_DIR) / "repo/format";

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void write_bytes(const std::filesystem::path& path, ByteView bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary);
  out << as_text(bytes);
}

bool updating() { return std::getenv("FIRN_UPDATE_GOLDEN") != nullptr; }

TEST(Golden, FilesAreWhatTheSamplesEncodeTo) {
  for (const Golden& golden : goldens()) {
    SCOPED_TRACE(golden.file);
    if (updating()) {
      write_bytes(kFolder / "golden" / golden.file, golden.bytes);
    }
    EXPECT_EQ(to_hex(as_bytes(read_text(kFolder / "golden" / golden.file))), to_hex(golden.bytes));
  }
}

TEST(Golden, SeedCorporaHoldTheSamples) {
  for (const Sample& sample : samples()) {
    // zstd's bytes are its own business.
    if (updating()) {
      write_bytes(kFolder / "corpus" / sample.record / sample.name, sample.bytes);
    }
    const auto seed = read_text(kFolder / "corpus" / sample.record / sample.name);
    EXPECT_TRUE(reencode(sample.record, as_bytes(seed)).has_value()) << sample.record << " " << sample.name;
  }
}

TEST(Golden, SealedObjectsOpenToTheirBodiesWithGoodSignatures) {
  std::map<std::string, Bytes> by_file;
  for (const Golden& golden : goldens()) {
    by_file[golden.file] = golden.bytes;
  }
  for (const Golden& golden : goldens()) {
    const std::string body_file = golden.file.substr(0, golden.file.size() - 4) + ".body.bin";
    if (!by_file.contains(body_file)) {
      continue;
    }
    SCOPED_TRACE(golden.file);
    const auto opened = open_object(meta_key(), golden.object_name, golden.bytes);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    EXPECT_EQ(opened->signed_body.body, by_file[body_file]);
    EXPECT_EQ(opened->signed_body.signer, kid());
    EXPECT_TRUE(signature_is_valid(golden.object_name, opened->signed_body, sign_pair().public_key()));
  }
}

TEST(Golden, ClearObjectsParseWithGoodSignatures) {
  int seen = 0;
  for (const Golden& golden : goldens()) {
    const auto kind = kind_of(golden.object_name);
    if (!kind || !is_clear(*kind)) {
      continue;
    }
    SCOPED_TRACE(golden.file);
    ++seen;
    const auto parsed = parse_clear_object(golden.object_name, golden.bytes);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
    const auto key = parsed->signer.is_zero() ? admin_pair().public_key() : sign_pair().public_key();
    EXPECT_TRUE(signature_is_valid(golden.object_name, *parsed, key));
  }
  EXPECT_EQ(seen, 6);
}

TEST(Golden, PackVerifiesOpensAndGivesItsChunks) {
  const FinishedPack pack = data_pack();
  const auto trailer = open_pack(meta_key(), pack.name, repository(), pack.bytes);
  ASSERT_TRUE(trailer.has_value()) << trailer.error().message;
  ASSERT_EQ(trailer->entries.size(), 2U);
  Decompressor decompressor;
  Bytes plain;
  const PackEntry& entry = trailer->entries[1];
  const ByteView stored = ByteView(pack.bytes).subspan(entry.offset, entry.shape.stored);
  ASSERT_TRUE(
      open_chunk(content_key(), bundle_capability(), repository(), entry.shape, stored, decompressor, plain)
          .has_value());
  EXPECT_EQ(as_text(plain), bundle_text());
}

TEST(Golden, FormatMdShowsTheValues) {
  if (updating()) {
    write_bytes(kFolder / "golden/values.txt", as_bytes(golden_values()));
  }
  EXPECT_EQ(read_text(kFolder / "golden/values.txt"), golden_values());
  const std::string text = read_text(kFolder / "../../../docs/FORMAT.md");
  EXPECT_NE(text.find("<!-- values -->\n```\n" + golden_values() + "```"), std::string::npos);
}

// Each block of hex in FORMAT.md follows a comment <!-- golden: FILE --> or <!-- golden: FILE FIRST COUNT
// -->.
TEST(Golden, FormatMdShowsTheFiles) {
  const std::string text = read_text(kFolder / "../../../docs/FORMAT.md");
  const std::regex block(R"(<!-- golden: (\S+?)(?: (\d+) (\d+))? -->\n```\n([0-9a-f\n]*)```)");
  std::map<std::string, int> shown;
  for (auto it = std::sregex_iterator(text.begin(), text.end(), block); it != std::sregex_iterator(); ++it) {
    const std::smatch& match = *it;
    SCOPED_TRACE(match[1].str());
    ++shown[match[1].str()];
    std::string bytes = read_text(kFolder / "golden" / match[1].str());
    ASSERT_FALSE(bytes.empty());
    if (match[2].matched) {
      bytes = bytes.substr(std::stoul(match[2].str()), std::stoul(match[3].str()));
    }
    std::string hex = match[4].str();
    std::erase(hex, '\n');
    EXPECT_EQ(hex, to_hex(as_bytes(bytes)));
  }
  for (const Golden& golden : goldens()) {
    EXPECT_TRUE(shown.contains(golden.file)) << golden.file << " is not shown in docs/FORMAT.md";
  }
}

}  // namespace
}  // namespace firn::format::test
