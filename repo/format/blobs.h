// What xattr and hole-map blobs hold. Where the bytes lie (inline, slices, pages) is tree.h's Blob.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "repo/base/codec.h"
#include "repo/base/result.h"

namespace firn::format {

struct ExtendedAttribute {
  std::string name;  // with its namespace: "user.x", "system.posix_acl_access"; 1 to 255 bytes, no NUL
  Bytes value;       // 0 to kXattrValueBytesMax bytes
  bool operator==(const ExtendedAttribute&) const = default;
};
/// Sorts a copy by name, bytewise. Errors: Invalid (limits, two of one name). Nothing encodes to nothing.
Result<Bytes> encode_xattrs(std::vector<ExtendedAttribute> attributes);
/// Errors: Corrupt.
Result<std::vector<ExtendedAttribute>> parse_xattrs(ByteView blob);
/// Whether parse_xattrs would succeed, without building anything.
bool xattrs_are_valid(ByteView blob);

/// A range of a file that reads as zeros and has no storage.
struct Hole {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;  // at least 1
  bool operator==(const Hole&) const = default;
};

/// Encodes holes in ascending order, at least one byte of data between two.
class HoleWriter {
 public:
  explicit HoleWriter(Bytes& out) : out_(out) {}
  void add(const Hole& hole);
  std::uint64_t hole_bytes() const { return hole_bytes_; }

 private:
  base::Writer out_;
  std::uint64_t end_ = 0;
  std::uint64_t hole_bytes_ = 0;
  bool first_ = true;
};

/// Reads a hole map from pieces in order, so that a huge one need not be held.
class HoleReader {
 public:
  /// Appends the holes whose encoding ends in `piece` (and what was left of the one before). Errors: Corrupt.
  Result<> feed(ByteView piece, std::vector<Hole>& out);
  /// After the last piece: the map must be whole, end at or before `size_bytes`, and leave `content_bytes` of
  /// data. Errors: Corrupt.
  Result<> finish(std::uint64_t size_bytes, std::uint64_t content_bytes) const;

 private:
  Bytes carry_;
  std::uint64_t end_ = 0;
  std::uint64_t hole_bytes_ = 0;
  bool first_ = true;
};

/// A whole map at once. Errors: Corrupt.
Result<std::vector<Hole>> parse_holes(ByteView blob, std::uint64_t size_bytes, std::uint64_t content_bytes);

}  // namespace firn::format
