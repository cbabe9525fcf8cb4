#include "repo/base/codec.h"

namespace firn::base {

std::uint64_t Reader::varint_long() {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < kVarintBytesMax && at_ != end_; ++i) {
    const auto byte = std::to_integer<std::uint64_t>(*at_++);
    // The tenth byte carries the one bit that is left of 64.
    if (i == kVarintBytesMax - 1 && byte > 1) {
      break;
    }
    value |= (byte & 0x7F) << (7 * i);
    if ((byte & 0x80) == 0) {
      if (byte == 0 && i > 0) {
        break;  // a shorter form exists
      }
      return value;
    }
  }
  fail();
  return 0;
}

}  // namespace firn::base
