// Fuzz: on any data, key and split, every kernel of this machine finds what the scalar scan finds.
//
// Input: a key byte, a byte for the test's bits, two bytes that say where the file is split, then the file,
// which is repeated up to a size in which all lanes have lines.
#include <algorithm>
#include <cstdlib>

#include "chunker/detail/markers.h"
#include "tests/chunker/data.h"

namespace {

using namespace firn::chunker;

constexpr std::size_t kFileBytes = 20'000;

std::vector<Candidate> find(const detail::LineMarker* marker, const GearTable& table, const CutRules& rules,
                            std::span<const std::byte> file, std::size_t split) {
  std::vector<Candidate> found;
  detail::find_candidates_with(marker, table, rules, {}, file.first(split), 0, found);
  detail::find_candidates_with(marker, table, rules, file.first(split), file.subspan(split), split, found);
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  if (size < 5) {
    return 0;
  }
  const GearTable table = data::table(input[0]);
  const std::uint32_t loose_bits = 5u + input[1] % 12u;
  const CutRules rules{.min_bytes = 64,
                       .normal_bytes = 128,
                       .max_bytes = 512,
                       .strict_bits = loose_bits + 2,
                       .loose_bits = loose_bits};
  const std::size_t split = (256u * input[2] + input[3]) % kFileBytes;
  const auto once = std::as_bytes(std::span(input, size)).subspan(4);
  data::Bytes file(kFileBytes);
  for (std::size_t i = 0; i < file.size(); ++i) {
    file[i] = once[i % once.size()];
  }
  const auto expected = find(nullptr, table, rules, file, split);
  for (const detail::LineMarker& marker : detail::line_markers()) {
    if (find(&marker, table, rules, file, split) != expected) {
      std::abort();
    }
  }
  return 0;
}
