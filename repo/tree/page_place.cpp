#include "repo/tree/page_place.h"

#include "repo/format/chunk.h"

namespace firn::tree {

namespace {

constexpr std::size_t kShownBytesMax = 200;

/// A sort key as a path for people: parts joined by '/', what a terminal cannot show as \xHH.
std::string readable(ByteView separator) {
  std::string text;
  for (std::size_t i = 0; i < separator.size(); ++i) {
    if (text.size() >= kShownBytesMax) {
      return text + "…";
    }
    const auto value = std::to_integer<unsigned char>(separator[i]);
    if (value == 0) {
      text += '/';  // 00 00 and 00 01 both stand between two parts
      ++i;
    } else if (value < 0x20 || value >= 0x7f || value == '\\') {
      text += "\\x" + to_hex(separator.subspan(i, 1));
    } else {
      text += static_cast<char>(value);
    }
  }
  return text;
}

std::string named(const char* kind, const format::ChunkSecret& t, const std::string& from) {
  return std::string(kind) + " " + format::chunk_id(t).hex() + " (from " + from + ")";
}

}  // namespace

std::string tree_page_place(const format::ChunkSecret& t, ByteView separator) {
  return named("tree page", t, separator.empty() ? "the beginning" : readable(separator));
}

std::string slice_page_place(const format::ChunkSecret& t, std::uint64_t position) {
  return named("slice page", t, "byte " + std::to_string(position));
}

}  // namespace firn::tree
