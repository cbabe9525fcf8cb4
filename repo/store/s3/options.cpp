#include "repo/store/s3/options.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "repo/store/s3/place.h"

namespace firn::store::s3 {
namespace {

constexpr std::string_view kScope = "s3.";
constexpr unsigned kConnectionsMax = 64;
constexpr unsigned kLockDaysMax = 36500;

Failure invalid(std::string_view name, const std::string& wanted) {
  return fail(ErrorCode::Invalid, "-o " + std::string(name) + ": " + wanted);
}

Result<bool> parse_bool(std::string_view name, std::string_view value) {
  if (value != "true" && value != "false") {
    return invalid(name, "write true or false");
  }
  return value == "true";
}

Result<unsigned> parse_number(std::string_view name, std::string_view value, unsigned max) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < 1 || number > max) {
    return invalid(name, "write a number from 1 to " + std::to_string(max));
  }
  return number;
}

/// A value that becomes one of a request's headers.
Result<std::string> parse_header(std::string_view name, std::string_view value) {
  if (value.empty() ||
      !std::all_of(value.begin(), value.end(), [](char c) { return c > 0x20 && c < 0x7F; })) {
    return invalid(name, "not a name");
  }
  return std::string(value);
}

Result<> parse_option(Options& options, std::string_view name, std::string_view value) {
  const std::string_view key = name.substr(kScope.size());
  if (key == "region") {
    options.region = value;
    return is_region(value) ? Result<>() : invalid(name, "not the name of a region");
  }
  if (key == "path-style") {
    FIRN_LET(options.path_style, parse_bool(name, value));
    return {};
  }
  if (key == "dual-stack") {
    FIRN_LET(options.dual_stack, parse_bool(name, value));
    return {};
  }
  if (key == "connections") {
    FIRN_LET(options.connections, parse_number(name, value, kConnectionsMax));
    return {};
  }
  if (key == "storage-class") {
    FIRN_LET(options.storage_class, parse_header(name, value));
    return {};
  }
  if (key == "sse") {
    options.sse = value;
    return value == "AES256" || value == "aws:kms" ? Result<>() : invalid(name, "write AES256 or aws:kms");
  }
  if (key == "sse-kms-key-id") {
    FIRN_LET(options.sse_kms_key_id, parse_header(name, value));
    return {};
  }
  if (key == "object-lock-mode") {
    options.object_lock_mode = value;
    return value == "GOVERNANCE" || value == "COMPLIANCE" ? Result<>()
                                                          : invalid(name, "write GOVERNANCE or COMPLIANCE");
  }
  if (key == "object-lock-days") {
    FIRN_LET(const unsigned days, parse_number(name, value, kLockDaysMax));
    options.object_lock_time = std::chrono::hours(24) * days;
    return {};
  }
  if (key == "profile") {
    options.profile = value;
    return value.empty() ? invalid(name, "write a profile's name") : Result<>();
  }
  if (key == "instance-metadata") {
    FIRN_LET(options.instance_metadata, parse_bool(name, value));
    return {};
  }
  return invalid(
      name,
      "unknown; known are s3.region, s3.path-style, s3.dual-stack, s3.connections, "
      "s3.storage-class, s3.sse, s3.sse-kms-key-id, s3.object-lock-mode, s3.object-lock-days, s3.profile and "
      "s3.instance-metadata");
}

}  // namespace

Result<Options> parse_options(const OptionTexts& texts) {
  Options options;
  for (const auto& [name, value] : texts) {
    if (name.starts_with(kScope)) {
      FIRN_TRY(parse_option(options, name, value));
    }
  }
  if (!options.sse_kms_key_id.empty() && options.sse != "aws:kms") {
    return invalid("s3.sse-kms-key-id", "goes with s3.sse=aws:kms");
  }
  if (options.object_lock_mode.empty() != (options.object_lock_time.count() == 0)) {
    return invalid("s3.object-lock-mode", "goes together with s3.object-lock-days");
  }
  return options;
}

}  // namespace firn::store::s3
