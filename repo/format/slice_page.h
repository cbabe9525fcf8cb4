// Slice pages: the content of a file that more than 32 slices make, as a tree of pages.
//
// A page is the plaintext of one chunk of type SlicePage; its first byte is its level. A leaf lists slices,
// an inner page lists (bytes below, page, refs page). Positions are sums of lengths, never stored, so that
// equal runs of a file are equal pages wherever they lie. Readers check as they go. Threads: one caller at a
// time.
#pragma once

#include <cstdint>

#include "repo/base/codec.h"
#include "repo/base/result.h"
#include "repo/format/page.h"
#include "repo/format/tree.h"

namespace firn::format {

class SlicePageReader {
 public:
  /// A leaf. Errors: Corrupt.
  static Result<SlicePageReader> open(ByteView page);
  /// The next slice into `slice`; false after the last. Errors: Corrupt.
  Result<bool> next(Slice& slice);
  /// Bytes of content in the slices so far.
  std::uint64_t length() const { return length_; }

 private:
  explicit SlicePageReader(ByteView records) : in_(records) {}
  base::Reader in_;
  std::uint64_t length_ = 0;
};

class SliceInnerReader {
 public:
  static Result<SliceInnerReader> open(ByteView page);
  std::uint8_t level() const { return level_; }
  Result<bool> next(SlicePages& child);
  std::uint64_t length() const { return length_; }

 private:
  SliceInnerReader(std::uint8_t level, ByteView records) : in_(records), level_(level) {}
  base::Reader in_;
  std::uint8_t level_;
  std::uint64_t length_ = 0;
};

struct SlicePage {
  Bytes bytes;
  std::uint64_t length = 0;  // of content below
  std::uint32_t records = 0;
};

/// Builds leaf slice pages. Use as LeafPageWriter; its answers mean the same.
class SlicePageWriter {
 public:
  explicit SlicePageWriter(std::uint64_t seed);
  bool empty() const { return page_.records == 0; }
  LeafPageWriter::Added add(const Slice& slice);
  SlicePage take();

 private:
  std::uint64_t seed_;
  SlicePage page_;
};

class SliceInnerWriter {
 public:
  SliceInnerWriter(std::uint64_t seed, std::uint8_t level);
  bool empty() const { return page_.records == 0; }
  LeafPageWriter::Added add(const SlicePages& child);
  SlicePage take();

 private:
  std::uint64_t seed_;
  std::uint8_t level_;
  SlicePage page_;
};

}  // namespace firn::format
