#include "repo/store/s3/place.h"

#include <algorithm>
#include <charconv>

#include "repo/store/s3/percent.h"

namespace firn::store::s3 {
namespace {

constexpr std::size_t kHostBytesMax = 255;
constexpr std::size_t kBucketBytesMax = 255;
constexpr std::size_t kPrefixBytesMax = 512;
constexpr std::string_view kAwsSuffix = ".amazonaws.com";

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

Failure invalid(std::string_view text, const std::string& why) {
  // Whatever stands before an @ may be a password.
  const auto at = text.rfind('@');
  return fail(ErrorCode::Invalid,
              "s3:" + std::string(at == std::string_view::npos ? text : text.substr(at + 1)) + ": " + why +
                  "; write s3://bucket/prefix or s3:http[s]://host[:port]/bucket/prefix");
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

bool is_host(std::string_view host) {
  if (host.starts_with('[')) {
    const std::string_view address = host.substr(1, host.size() - 2);
    return host.ends_with(']') && !address.empty() && std::all_of(address.begin(), address.end(), [](char c) {
             return is_alphanumeric(c) || c == ':' || c == '.';
           });
  }
  return !host.empty() && host.size() <= kHostBytesMax && is_alphanumeric(host.front()) &&
         std::all_of(host.begin(), host.end(),
                     [](char c) { return is_alphanumeric(c) || c == '-' || c == '.' || c == '_'; });
}

/// Host and port, with the port left out where it is the scheme's own. Empty when it is neither.
std::string authority_from(std::string_view text, bool tls) {
  std::string_view host = text;
  std::string_view port;
  const auto colon = text.rfind(':');
  if (colon != std::string_view::npos && text.find(']', colon) == std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    unsigned number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc() || end != port.data() + port.size() || number == 0 || number > 65535) {
      return {};
    }
    port = number == (tls ? 443U : 80U) ? std::string_view() : port;
  }
  if (!is_host(host)) {
    return {};
  }
  return lower(host) + (port.empty() ? "" : ":" + std::string(port));
}

bool is_bucket(std::string_view bucket) {
  return !bucket.empty() && bucket.size() <= kBucketBytesMax && is_alphanumeric(bucket.front()) &&
         std::all_of(bucket.begin(), bucket.end(),
                     [](char c) { return is_alphanumeric(c) || c == '-' || c == '.' || c == '_'; });
}

/// Nothing for an empty part, "." or "..", which servers treat each in their way, and control characters.
bool is_prefix(std::string_view prefix) {
  if (prefix.size() > kPrefixBytesMax || std::any_of(prefix.begin(), prefix.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
      })) {
    return false;
  }
  while (true) {
    const auto slash = prefix.find('/');
    const std::string_view part = prefix.substr(0, slash);
    if (part.empty() || part == "." || part == "..") {
      return false;
    }
    if (slash == std::string_view::npos) {
      return true;
    }
    prefix.remove_prefix(slash + 1);
  }
}

/// "us-west-2" of "s3.us-west-2.amazonaws.com", if it says one.
std::string region_of_host(std::string_view authority) {
  if (!authority.starts_with("s3.") || !authority.ends_with(kAwsSuffix) ||
      authority.size() <= kAwsSuffix.size() + 3) {
    return {};
  }
  std::string_view region = authority.substr(3, authority.size() - 3 - kAwsSuffix.size());
  if (region.starts_with("dualstack.")) {
    region.remove_prefix(10);
  }
  return is_region(region) ? std::string(region) : std::string();
}

std::string aws_host(std::string_view region, bool dual_stack) {
  std::string host = dual_stack ? "s3.dualstack." : "s3.";
  host.append(region).append(kAwsSuffix);
  return region.starts_with("cn-") ? host + ".cn" : host;
}

}  // namespace

bool is_region(std::string_view text) {
  return !text.empty() && text.size() <= 63 && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
         });
}

Result<Place> parse_place(std::string_view text) {
  Place place;
  place.describe = "s3:" + std::string(text);
  std::string_view rest = text;
  if (rest.find_first_of("@?#\\") != std::string_view::npos) {
    return invalid(text, "a repository's URL holds no user, query or fragment");
  }
  if (rest.starts_with("//")) {
    rest.remove_prefix(2);
  } else {
    if (rest.starts_with("http://")) {
      place.tls = false;
      rest.remove_prefix(7);
    } else if (rest.starts_with("https://")) {
      rest.remove_prefix(8);
    }
    const auto slash = rest.find('/');
    place.authority = authority_from(rest.substr(0, slash), place.tls);
    if (place.authority.empty()) {
      return invalid(text, "no host, or a port that is none");
    }
    place.region = region_of_host(place.authority);
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  }
  while (rest.ends_with('/')) {
    rest.remove_suffix(1);
  }
  const auto slash = rest.find('/');
  place.bucket = std::string(rest.substr(0, slash));
  if (!is_bucket(place.bucket)) {
    return invalid(text, place.bucket.empty() ? "no bucket" : "not the name of a bucket");
  }
  if (slash != std::string_view::npos) {
    place.prefix = std::string(rest.substr(slash + 1));
    if (!is_prefix(place.prefix)) {
      return invalid(text, "not a prefix: no empty parts, no . and .., no control characters");
    }
    place.prefix += '/';
  }
  return place;
}

Result<> set_endpoint(Place& place, std::string_view url) {
  std::string_view rest = url;
  const bool tls = !rest.starts_with("http://");
  if (rest.starts_with("http://") || rest.starts_with("https://")) {
    rest.remove_prefix(tls ? 8 : 7);
    while (rest.ends_with('/')) {
      rest.remove_suffix(1);
    }
    place.authority = authority_from(rest, tls);
    place.tls = tls;
  }
  if (place.authority.empty()) {
    return fail(ErrorCode::Invalid, "AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL: write http[s]://host[:port]");
  }
  return {};
}

Address address_of(const Place& place, std::string_view region, Style style, bool dual_stack,
                   std::string_view key) {
  Address address;
  address.host = place.is_aws() ? aws_host(region, dual_stack) : place.authority;
  address.path = "/" + percent_encode(key, Slash::Keep);
  if (style == Style::VirtualHost) {
    address.host.insert(0, place.bucket + ".");
  } else {
    address.path.insert(0, "/" + place.bucket);
    // The bucket itself is asked for without a slash behind it.
    address.path.resize(address.path.size() - (key.empty() ? 1 : 0));
  }
  address.url = (place.tls ? "https://" : "http://") + address.host + address.path;
  return address;
}

}  // namespace firn::store::s3
