// Hex for the crypto tests' tables.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/types.h"

namespace firn::crypto::test {

inline std::byte from_hex_digit(char digit) {
  return std::byte(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/// The bytes of well-formed lower-case hex.
inline std::vector<std::byte> bytes_of(std::string_view hex) {
  std::vector<std::byte> bytes(hex.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = from_hex_digit(hex[2 * i]) << 4 | from_hex_digit(hex[2 * i + 1]);
  }
  return bytes;
}

/// Exactly N bytes, the rest of shorter hex zeros.
template <std::size_t N>
std::array<std::byte, N> array_of(std::string_view hex) {
  const auto bytes = bytes_of(hex);
  std::array<std::byte, N> array{};
  std::copy_n(bytes.begin(), std::min(N, bytes.size()), array.begin());
  return array;
}

inline std::string hex_of(ByteView bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const std::byte byte : bytes) {
    hex += kDigits[std::to_integer<unsigned>(byte) >> 4];
    hex += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return hex;
}

}  // namespace firn::crypto::test
