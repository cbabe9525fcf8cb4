#include "repo/store/location.h"

#include <algorithm>
#include <array>

#include "repo/store/local_store.h"

namespace firn::store {
namespace {

/// "rest:http://host" has a scheme; "./a:b", "/a:b" and "a:b/c" with an upper-case or dotted word do not.
std::string_view scheme_of(std::string_view url) {
  const auto colon = url.find(':');
  if (colon == std::string_view::npos || colon == 0) {
    return {};
  }
  const std::string_view word = url.substr(0, colon);
  const bool is_scheme = std::all_of(word.begin(), word.end(),
                                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
  return is_scheme ? word : std::string_view();
}

Failure s3_unsupported(const Location& location) {
  return fail(ErrorCode::Unsupported, "open " + location.describe() + ": S3 comes with a later version");
}

}  // namespace

std::string Location::describe() const { return kind == Kind::Local ? text : "s3:" + text; }

Result<Location> parse_location(std::string_view url) {
  const std::string_view scheme = scheme_of(url);
  const std::string_view rest = scheme.empty() ? url : url.substr(scheme.size() + 1);
  if (rest.empty()) {
    return fail(ErrorCode::Invalid, "the location of the repository is empty");
  }
  if (rest.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::Invalid, "the location of the repository holds a NUL byte");
  }
  if (scheme.empty() || scheme == "local") {
    return Location{Location::Kind::Local, std::string(rest)};
  }
  if (scheme == "s3") {
    return Location{Location::Kind::S3, std::string(rest)};
  }
  return fail(ErrorCode::Invalid, "open " + std::string(url) + ": unknown kind of repository \"" +
                                      std::string(scheme) +
                                      "\" (known: a path, local:, s3:; a path with a colon" +
                                      " is written ./" + std::string(url) + ")");
}

Result<std::unique_ptr<ObjectStore>> open_store(std::string_view url, const StoreOptions&,
                                                const StoreSeams& seams) {
  FIRN_LET(const Location location, parse_location(url));
  if (location.kind == Location::Kind::S3) {
    return s3_unsupported(location);
  }
  return LocalStore::open(location.text, seams.rng, seams.executor.clock());
}

Result<std::unique_ptr<ObjectStore>> init_store(std::string_view url, const StoreOptions& options,
                                                const StoreSeams& seams) {
  FIRN_LET(const Location location, parse_location(url));
  if (location.kind == Location::Kind::S3) {
    return s3_unsupported(location);
  }
  FIRN_TRY(LocalStore::init(location.text));
  return open_store(url, options, seams);
}

}  // namespace firn::store
