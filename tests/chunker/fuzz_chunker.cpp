// Fuzz: on any data, key and split, the stream form and the block form cut like the oracle.
//
// Input: a key byte, a piece size byte, a repetition byte, then the file, which is repeated that many times
// so that short inputs reach periodic data and the maximum size.
#include <cstdlib>

#include "chunker/chunker.h"
#include "chunker/cut_selector.h"
#include "tests/chunker/data.h"
#include "tests/chunker/oracle.h"

namespace {

using namespace firn::chunker;

constexpr CutRules kRules{
    .min_bytes = 64, .normal_bytes = 128, .max_bytes = 512, .strict_bits = 6, .loose_bits = 5};
constexpr std::size_t kFileBytesMax = 4u << 10;

void compare(const GearTable& table, std::span<const std::byte> file, std::size_t piece_bytes) {
  std::vector<std::uint64_t> streamed;
  std::vector<std::uint64_t> selected;
  std::vector<Candidate> found;
  ChunkerView chunker(table, kRules);
  CutSelector selector(kRules);
  for (std::size_t at = 0; at < file.size(); at += piece_bytes) {
    const auto piece = file.subspan(at, std::min(piece_bytes, file.size() - at));
    chunker.feed(piece, streamed);
    const std::size_t before = found.size();
    const std::size_t warmup_bytes = std::min(at, kWarmupBytes);
    find_candidates(table, kRules, file.subspan(at - warmup_bytes, warmup_bytes), piece, at, found);
    selector.add(std::span(found).subspan(before), at + piece.size(), selected);
  }
  chunker.finish(streamed);
  selector.finish(selected);
  if (found != oracle::candidates(table, kRules, file) || selected != oracle::cuts(table, kRules, file) ||
      streamed != selected) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  if (size < 4) {
    return 0;
  }
  const std::size_t repeats = 1u + input[2];
  const auto once = std::as_bytes(std::span(input, size)).subspan(3);
  data::Bytes file;
  for (std::size_t i = 0; i < repeats && file.size() + once.size() <= kFileBytesMax; ++i) {
    file.insert(file.end(), once.begin(), once.end());
  }
  compare(data::table(input[0]), file, 1u + input[1]);
  return 0;
}
