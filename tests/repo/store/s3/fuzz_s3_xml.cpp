// XML that a server, or anybody in between, sends: it is a listing in order and within bounds, an error, or
// refused.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "repo/store/s3/xml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace firn::store::s3;
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto listing = parse_listing(bytes)) {
    if (listing->keys.size() > 1000 || (listing->truncated && listing->keys.empty())) {
      std::abort();
    }
    for (std::size_t i = 0; i < listing->keys.size(); ++i) {
      if (listing->keys[i].key.empty() || (i > 0 && listing->keys[i - 1].key >= listing->keys[i].key)) {
        std::abort();
      }
    }
  }
  if (const auto error = parse_error(bytes); error && (error->code.empty() || error->message.size() > 300)) {
    std::abort();
  }
  return 0;
}
