#include "repo/base/bytes.h"

namespace firn {
namespace {
constexpr std::string_view kDigits = "0123456789abcdef";
}

std::string to_hex(ByteView bytes) {
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    hex.push_back(kDigits[std::to_integer<unsigned>(byte) >> 4]);
    hex.push_back(kDigits[std::to_integer<unsigned>(byte) & 15U]);
  }
  return hex;
}

bool from_hex(std::string_view hex, MutableBytes out) {
  if (hex.size() != out.size() * 2) {
    return false;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto high = kDigits.find(hex[2 * i]);
    const auto low = kDigits.find(hex[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) {
      return false;
    }
    out[i] = static_cast<std::byte>(high << 4 | low);
  }
  return true;
}

}  // namespace firn
