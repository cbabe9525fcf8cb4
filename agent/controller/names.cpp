#include "agent/controller/names.h"

namespace firn::controller {
namespace {

// Of a tag, as the schema of requests has it.
constexpr std::size_t kTagBytesMax = 256;

}  // namespace

std::string policy_tag(const std::string& policy) { return ("policy=" + policy).substr(0, kTagBytesMax); }

std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 14695981039346656037ULL;
  for (const char c : text) {
    value = (value ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  return value;
}

std::string short_hash(std::string_view text) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::uint64_t value = hash(text);
  std::string out(10, '0');
  for (char& digit : out) {
    digit = kDigits[value & 15];
    value >>= 4;
  }
  return out;
}

}  // namespace firn::controller
