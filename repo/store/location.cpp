#include "repo/store/location.h"

#include <algorithm>
#include <array>

#include "repo/store/local_store.h"
#include "repo/store/retry_store.h"
#include "repo/store/s3/credential_chain.h"
#include "repo/store/s3/s3_store.h"

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

Result<std::unique_ptr<ObjectStore>> open_s3(const Location& location, const StoreOptions& options,
                                             const StoreSeams& seams) {
  const s3::Variables variables =
      seams.variables ? seams.variables : [](const std::string&) { return std::optional<std::string>(); };
  s3::Settings settings;
  FIRN_LET(settings.place, s3::parse_place(location.text));
  FIRN_LET(settings.options, s3::parse_options(options.backend));
  for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
    if (const auto url = variables(name); url && !url->empty() && settings.place.is_aws()) {
      FIRN_TRY(s3::set_endpoint(settings.place, *url));
    }
  }
  const s3::ChainOptions who{.profile = settings.options.profile,
                             .instance_metadata = settings.options.instance_metadata,
                             .region = settings.options.region};
  const s3::ChainSeams chain{
      .variables = variables,
      .executor = seams.executor,
      .stop = seams.stop,
      .open_http = [options, &executor = seams.executor, stop = seams.stop](bool use_proxy) {
        return s3::HttpClient::open(executor, stop, {.ca_file = options.ca_file, .use_proxy = use_proxy});
      }};
  FIRN_LET(settings.first_region, s3::configured_region(who, chain));
  if (!settings.first_region.empty() && !s3::is_region(settings.first_region)) {
    return fail(ErrorCode::Invalid, "the region of the environment or the profile is not the name of one");
  }
  FIRN_LET(auto http,
           s3::HttpClient::open(seams.executor, seams.stop,
                                {.ca_file = options.ca_file,
                                 .client_certificate = options.client_certificate,
                                 .insecure_tls = options.insecure_tls,
                                 .upload_bytes_per_second_max = options.upload_bytes_per_second_max,
                                 .download_bytes_per_second_max = options.download_bytes_per_second_max,
                                 .stuck_timeout = options.stuck_request_timeout}));
  FIRN_LET(auto credentials, s3::credential_chain(who, chain));
  return std::make_unique<s3::S3Store>(std::move(settings), std::move(http), std::move(credentials),
                                       seams.executor, seams.stop);
}

Result<std::unique_ptr<ObjectStore>> open_place(const Location& location, const StoreOptions& options,
                                                const StoreSeams& seams) {
  if (location.kind == Location::Kind::S3) {
    return open_s3(location, options, seams);
  }
  return LocalStore::open(location.text, seams.rng, seams.executor.clock());
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

Result<std::unique_ptr<ObjectStore>> open_store(std::string_view url, const StoreOptions& options,
                                                const StoreSeams& seams) {
  FIRN_LET(const Location location, parse_location(url));
  FIRN_LET(auto store, open_place(location, options, seams));
  return std::make_unique<RetryStore>(std::move(store), seams.executor, seams.rng, seams.stop);
}

Result<std::unique_ptr<ObjectStore>> init_store(std::string_view url, const StoreOptions& options,
                                                const StoreSeams& seams) {
  FIRN_LET(const Location location, parse_location(url));
  if (location.kind == Location::Kind::Local) {
    FIRN_TRY(LocalStore::init(location.text));
  }
  return open_store(url, options, seams);
}

}  // namespace firn::store
