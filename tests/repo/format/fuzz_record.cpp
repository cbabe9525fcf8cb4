// Fuzz target of one parser, which the build names: whatever it accepts must encode back to the same bytes.
#include <cstdlib>

#include "tests/repo/format/reencode.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto again = firn::format::test::reencode(FIRN_FUZZ_RECORD, bytes);
  if (again && !firn::equal(*again, bytes)) {
    std::abort();
  }
  return 0;
}
