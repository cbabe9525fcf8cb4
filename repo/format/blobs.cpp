#include "repo/format/blobs.h"

#include <algorithm>

#include "repo/base/check.h"
#include "repo/format/limits.h"

namespace firn::format {
namespace {

Failure bad_holes() { return fail(ErrorCode::Corrupt, "hole map is not well formed"); }

bool xattr_name_is_valid(std::string_view name) {
  return !name.empty() && name.size() <= kXattrNameBytesMax && name.find('\0') == std::string_view::npos;
}

/// Visits each attribute; false as soon as the blob is not what encode_xattrs would have written.
template <class Visit>
bool walk_xattrs(ByteView blob, Visit visit) {
  base::Reader in(blob);
  in.require(blob.size() <= kXattrsBytesMax);
  std::string_view previous;
  while (in.ok() && !in.at_end()) {
    const std::string_view name = in.text(in.u8());
    in.require(xattr_name_is_valid(name) && name > previous);
    previous = name;
    const ByteView value = in.bytes(in.varint_up_to(kXattrValueBytesMax));
    if (in.ok()) {
      visit(name, value);
    }
  }
  return in.ok();
}

}  // namespace

Result<Bytes> encode_xattrs(std::vector<ExtendedAttribute> attributes) {
  std::sort(attributes.begin(), attributes.end(),
            [](const ExtendedAttribute& a, const ExtendedAttribute& b) { return a.name < b.name; });
  Bytes out;
  base::Writer writer(out);
  const std::string* previous = nullptr;
  for (const ExtendedAttribute& attribute : attributes) {
    if (!xattr_name_is_valid(attribute.name) || attribute.value.size() > kXattrValueBytesMax ||
        (previous != nullptr && *previous == attribute.name)) {
      return fail(ErrorCode::Invalid, "the format cannot hold the extended attribute " + attribute.name);
    }
    previous = &attribute.name;
    writer.u8(static_cast<std::uint8_t>(attribute.name.size()));
    writer.text(attribute.name);
    writer.varint(attribute.value.size());
    writer.bytes(attribute.value);
  }
  if (out.size() > kXattrsBytesMax) {
    return fail(ErrorCode::Invalid, "the extended attributes of one file exceed what the format holds");
  }
  return out;
}

Result<std::vector<ExtendedAttribute>> parse_xattrs(ByteView blob) {
  std::vector<ExtendedAttribute> attributes;
  const bool whole = walk_xattrs(blob, [&attributes](std::string_view name, ByteView value) {
    attributes.push_back({std::string(name), to_bytes(value)});
  });
  if (!whole) {
    return fail(ErrorCode::Corrupt, "extended attributes are not well formed");
  }
  return attributes;
}

bool xattrs_are_valid(ByteView blob) {
  return walk_xattrs(blob, [](std::string_view, ByteView) {});
}

void HoleWriter::add(const Hole& hole) {
  FIRN_CHECK(hole.length >= 1 && (first_ || hole.offset > end_));
  out_.varint(hole.offset - end_);
  out_.varint(hole.length);
  end_ = hole.offset + hole.length;
  hole_bytes_ += hole.length;
  first_ = false;
}

Result<> HoleReader::feed(ByteView piece, std::vector<Hole>& out) {
  append(carry_, piece);
  base::Reader in(carry_);
  while (true) {
    // A pair may be cut by the end of the piece: it is read only once it is surely whole, or when what is
    // there could not be longer.
    const std::size_t before = in.remaining();
    base::Reader ahead = in;
    const std::uint64_t gap = ahead.varint_up_to(kFileBytesMax);
    const std::uint64_t length = ahead.varint_up_to(kFileBytesMax);
    if (!ahead.ok()) {
      if (before >= 2 * base::kVarintBytesMax) {
        return bad_holes();
      }
      carry_.erase(carry_.begin(), carry_.end() - static_cast<std::ptrdiff_t>(before));
      return {};
    }
    if (length == 0 || (gap == 0 && !first_) || gap > kFileBytesMax - end_ ||
        length > kFileBytesMax - end_ - gap) {
      return bad_holes();
    }
    out.push_back({end_ + gap, length});
    end_ += gap + length;
    hole_bytes_ += length;
    first_ = false;
    in = ahead;
  }
}

Result<> HoleReader::finish(std::uint64_t size_bytes, std::uint64_t content_bytes) const {
  if (!carry_.empty() || first_ || end_ > size_bytes || size_bytes - hole_bytes_ != content_bytes) {
    return bad_holes();
  }
  return {};
}

Result<std::vector<Hole>> parse_holes(ByteView blob, std::uint64_t size_bytes, std::uint64_t content_bytes) {
  HoleReader reader;
  std::vector<Hole> holes;
  FIRN_TRY(reader.feed(blob, holes));
  FIRN_TRY(reader.finish(size_bytes, content_bytes));
  return holes;
}

}  // namespace firn::format
