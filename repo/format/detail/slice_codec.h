// How a slice is encoded, in entries and slice pages alike. Internal to repo/format.
#pragma once

#include "repo/base/codec.h"
#include "repo/format/limits.h"
#include "repo/format/tree.h"

namespace firn::format::detail {

inline bool slice_is_valid(const Slice& slice) {
  return slice.length >= 1 && std::uint64_t{slice.offset} + slice.length <= kPlainBytesMax;
}

inline void write_slice(base::Writer& out, const Slice& slice) {
  out.bytes(slice.chunk.bytes);
  out.varint(slice.offset);
  out.varint(slice.length);
}

inline void read_slice(base::Reader& in, Slice& slice) {
  in.into(slice.chunk.bytes);
  slice.offset = static_cast<std::uint32_t>(in.varint_up_to(kPlainBytesMax));
  slice.length = static_cast<std::uint32_t>(in.varint_up_to(kPlainBytesMax));
  in.require(slice_is_valid(slice));
}

}  // namespace firn::format::detail
