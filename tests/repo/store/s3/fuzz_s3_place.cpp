// Locations as people, scripts and front ends write them: what is taken gives URLs of the host that it names.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "repo/store/location.h"
#include "repo/store/s3/http.h"
#include "repo/store/s3/place.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace firn::store;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto location = parse_location(text);
  if (!location || location->kind != Location::Kind::S3) {
    return 0;
  }
  const auto place = s3::parse_place(location->text);
  if (!place) {
    return 0;
  }
  for (const auto style : {s3::Style::Path, s3::Style::VirtualHost}) {
    const s3::Address address =
        s3::address_of(*place, "us-east-1", style, false, place->prefix + "data/ab/x");
    const std::string_view after_host =
        std::string_view(address.url).substr((place->tls ? 8 : 7) + address.host.size());
    if (s3::authority_of(address.url) != address.host || after_host != address.path ||
        address.path.find_first_of(" ?#\\\r\n") != std::string::npos || !address.path.starts_with('/')) {
      std::abort();
    }
  }
  return 0;
}
