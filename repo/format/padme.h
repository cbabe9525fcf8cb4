// Padmé: lengths rounded up so that they tell at most log log of what they were, for at most 12 %.
#pragma once

#include <bit>
#include <cstdint>

namespace firn::format {

/// The padded length, at least `length`; padme(padme(x)) = padme(x).
constexpr std::uint64_t padme(std::uint64_t length) {
  if (length < 2) {
    return length;
  }
  const int exponent = static_cast<int>(std::bit_width(length)) - 1;
  const int kept_bits = static_cast<int>(std::bit_width(static_cast<unsigned>(exponent)));
  const int zero_bits = exponent - kept_bits;
  if (zero_bits <= 0) {
    return length;
  }
  const std::uint64_t mask = (std::uint64_t{1} << zero_bits) - 1;
  return (length + mask) & ~mask;
}

}  // namespace firn::format
