// Where an S3 repository is: server, bucket and prefix, and the host and path of a request there.
//
// Written `s3://bucket/prefix` (AWS), `s3:http[s]://host[:port]/bucket/prefix` (any server), or, as restic
// has it, `s3:host[:port]/bucket/prefix` (https). Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "repo/base/result.h"

namespace firn::store::s3 {

struct Place {
  bool tls = true;
  /// "host", "host:port" or "[address]:port" in lower case, without the scheme's own port; empty = AWS, whose
  /// hosts have the region in their names.
  std::string authority;
  std::string bucket;
  std::string prefix;         // "" or ends with a slash; not encoded
  std::string region = {};    // that the host's name tells, if it does
  std::string describe = {};  // as it was written, with "s3:"

  bool is_aws() const { return authority.empty(); }
};

/// `text` is what stands behind "s3:". Errors: Invalid, with the forms.
Result<Place> parse_place(std::string_view text);

/// A server that AWS_ENDPOINT_URL names: "https://host:port". Errors: Invalid.
Result<> set_endpoint(Place& place, std::string_view url);

/// Whether `text` can be a region's name: it becomes part of a host's name.
bool is_region(std::string_view text);

enum class Style { Path, VirtualHost };

struct Address {
  std::string url;   // all of it but the query
  std::string host;  // as the Host header has it
  std::string path;  // percent-encoded, as it is signed
};

/// Where `key` (the whole of it, with the prefix; empty = the bucket itself) is asked for.
Address address_of(const Place& place, std::string_view region, Style style, bool dual_stack,
                   std::string_view key);

}  // namespace firn::store::s3
