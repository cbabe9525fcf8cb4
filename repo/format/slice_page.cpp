#include "repo/format/slice_page.h"

#include <utility>

#include "repo/base/check.h"
#include "repo/format/cut.h"
#include "repo/format/detail/slice_codec.h"

namespace firn::format {
namespace {

constexpr std::size_t kLevelBytes = 1;
using Added = LeafPageWriter::Added;

Failure bad_page() { return fail(ErrorCode::Corrupt, "slice page is not well formed"); }

/// Appends one record to a page under construction, or says that it must be taken first.
Added add_record(std::uint64_t seed, std::uint8_t level, ByteView key, ByteView record, std::uint64_t length,
                 SlicePage& page) {
  if (page.records > 0 && page.bytes.size() + record.size() > kPageBytesMax) {
    return Added::No;
  }
  if (page.records == 0) {
    page.bytes.push_back(static_cast<std::byte>(level));
  }
  append(page.bytes, record);
  page.length += length;
  ++page.records;
  return page_ends_after(seed, key, record.size(), page.bytes.size()) ? Added::Full : Added::Open;
}

}  // namespace

Result<SlicePageReader> SlicePageReader::open(ByteView page) {
  FIRN_LET(const std::uint8_t level, page_level(page));
  if (level != 0 || page.size() == kLevelBytes) {
    return bad_page();
  }
  return SlicePageReader(page.subspan(kLevelBytes));
}

Result<bool> SlicePageReader::next(Slice& slice) {
  if (in_.at_end()) {
    return in_.ok() ? Result<bool>(false) : bad_page();
  }
  detail::read_slice(in_, slice);
  if (!in_.ok()) {
    return bad_page();
  }
  length_ += slice.length;
  return true;
}

Result<SliceInnerReader> SliceInnerReader::open(ByteView page) {
  FIRN_LET(const std::uint8_t level, page_level(page));
  if (level == 0 || page.size() == kLevelBytes) {
    return bad_page();
  }
  return SliceInnerReader(level, page.subspan(kLevelBytes));
}

Result<bool> SliceInnerReader::next(SlicePages& child) {
  if (in_.at_end()) {
    return in_.ok() ? Result<bool>(false) : bad_page();
  }
  child.length = in_.varint_up_to(kFileBytesMax - length_);
  in_.require(child.length >= 1);
  in_.into(child.root.bytes);
  in_.into(child.refs.bytes);
  if (!in_.ok()) {
    return bad_page();
  }
  length_ += child.length;
  return true;
}

SlicePageWriter::SlicePageWriter(std::uint64_t seed) : seed_(seed) {}

LeafPageWriter::Added SlicePageWriter::add(const Slice& slice) {
  FIRN_CHECK(detail::slice_is_valid(slice));
  Bytes record;
  base::Writer out(record);
  detail::write_slice(out, slice);
  std::array<std::byte, 40> key{};
  std::copy(slice.chunk.bytes.begin(), slice.chunk.bytes.end(), key.begin());
  base::store_little(key.data() + 32, slice.offset);
  base::store_little(key.data() + 36, slice.length);
  return add_record(seed_, 0, key, record, slice.length, page_);
}

SlicePage SlicePageWriter::take() {
  FIRN_CHECK(!empty());
  return std::exchange(page_, SlicePage{});
}

SliceInnerWriter::SliceInnerWriter(std::uint64_t seed, std::uint8_t level) : seed_(seed), level_(level) {
  FIRN_CHECK(level >= 1 && level <= kPageLevelMax);
}

LeafPageWriter::Added SliceInnerWriter::add(const SlicePages& child) {
  FIRN_CHECK(child.length >= 1 && child.length <= kFileBytesMax - page_.length);
  Bytes record;
  base::Writer out(record);
  out.varint(child.length);
  out.bytes(child.root.bytes);
  out.bytes(child.refs.bytes);
  return add_record(seed_, level_, child.root.bytes, record, child.length, page_);
}

SlicePage SliceInnerWriter::take() {
  FIRN_CHECK(!empty());
  return std::exchange(page_, SlicePage{});
}

}  // namespace firn::format
