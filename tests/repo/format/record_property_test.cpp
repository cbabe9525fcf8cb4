// What is true of every record: it has one encoding, and nothing else is accepted.
#include <gtest/gtest.h>

#include <set>

#include "tests/repo/format/reencode.h"
#include "tests/repo/format/samples.h"

namespace firn::format::test {
namespace {

TEST(EveryRecord, HasASample) {
  std::set<std::string, std::less<>> sampled;
  for (const Sample& sample : samples()) {
    sampled.insert(sample.record);
  }
  for (const Reencoder& reencoder : reencoders()) {
    EXPECT_TRUE(sampled.contains(reencoder.record)) << reencoder.record;
  }
}

TEST(EveryRecord, EncodesBackToTheSameBytes) {
  for (const Sample& sample : samples()) {
    SCOPED_TRACE(sample.record + " " + sample.name);
    const auto again = reencode(sample.record, sample.bytes);
    ASSERT_TRUE(again.has_value()) << again.error().message;
    EXPECT_EQ(to_hex(*again), to_hex(sample.bytes));
  }
}

// Blobs and pages are read to their end, and some names begin others: there a shorter one may be whole.
bool ends_anywhere(const std::string& record) {
  const std::set<std::string> open_ended{"key_file",  "object_name", "xattrs",     "holes",
                                         "leaf_page", "inner_page",  "slice_page", "slice_inner_page"};
  return open_ended.contains(record);
}

TEST(EveryRecord, IsRefusedWhenCutShort) {
  for (const Sample& sample : samples()) {
    SCOPED_TRACE(sample.record + " " + sample.name);
    for (std::size_t size = 0; size < sample.bytes.size(); ++size) {
      const ByteView cut = ByteView(sample.bytes).first(size);
      const auto again = reencode(sample.record, cut);
      if (ends_anywhere(sample.record)) {
        EXPECT_TRUE(!again || equal(*again, cut)) << size;
      } else {
        EXPECT_FALSE(again.has_value()) << size;
      }
    }
  }
}

TEST(EveryRecord, IsRefusedWithAByteTooMany) {
  for (const Sample& sample : samples()) {
    for (const std::byte extra : {std::byte{0}, std::byte{1}, std::byte{0xFF}}) {
      SCOPED_TRACE(sample.record + " " + sample.name);
      Bytes longer = sample.bytes;
      longer.push_back(extra);
      EXPECT_FALSE(reencode(sample.record, longer).has_value());
    }
  }
}

TEST(EveryRecord, WithOneByteChangedIsRefusedOrHasThatEncoding) {
  for (const Sample& sample : samples()) {
    SCOPED_TRACE(sample.record + " " + sample.name);
    for (std::size_t at = 0; at < sample.bytes.size(); ++at) {
      for (const unsigned change : {0x01U, 0x80U, 0xFFU}) {
        Bytes changed = sample.bytes;
        changed[at] ^= static_cast<std::byte>(change);
        const auto again = reencode(sample.record, changed);
        ASSERT_TRUE(!again || *again == changed) << "byte " << at << " ^ " << change;
      }
    }
  }
}

}  // namespace
}  // namespace firn::format::test
