// A list of sparse bundles is refused, or encodes back to the same bytes.
#include <cstddef>
#include <cstdint>

#include "agent/state/sparse_bundles.h"
#include "repo/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const firn::ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  if (const auto list = firn::state::parse_sparse_bundles(bytes)) {
    FIRN_CHECK(firn::equal(firn::state::encode(*list), bytes));
  }
  return 0;
}
