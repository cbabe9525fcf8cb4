#include "repo/kv/local_kv.h"

#include <algorithm>

namespace firn::kv {

bool is_kv_name(std::string_view name) {
  constexpr std::size_t kNameSizeBytesMax = 64;
  return !name.empty() && name.size() <= kNameSizeBytesMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

}  // namespace firn::kv
