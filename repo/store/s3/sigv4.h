// AWS Signature Version 4, in the Authorization header.
//
// Pure functions; tested against the examples that AWS publishes. Not here: presigned URLs, chunked payloads.
// Threads: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "repo/base/clock.h"
#include "repo/store/s3/credentials.h"
#include "repo/store/s3/http.h"

namespace firn::store::s3 {

/// What stands for the hash of a payload that only TLS protects.
inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";

struct SigningScope {
  std::string_view region;
  std::string_view service;  // "s3", "sts"
};

struct SigningInput {
  std::string_view method;
  std::string_view host;   // as the Host header has it: with the port, unless it is the scheme's own
  std::string_view path;   // percent-encoded, as it is sent
  std::string_view query;  // of canonical_query()
  /// All of them are signed, and the host. Names may be in any case and order.
  std::vector<HttpHeader> headers;
  std::string payload_hash;  // hex SHA-256 of the body, or kUnsignedPayload
};

/// The value of the Authorization header. `timestamp` is that of x-amz-date.
std::string authorization(const SigningInput& input, const SigningScope& scope, std::string_view timestamp,
                          const Credentials& credentials);

/// `input.headers` with x-amz-date, x-amz-content-sha256, the session token and Authorization.
std::vector<HttpHeader> signed_headers(SigningInput input, const SigningScope& scope, base::WallTime now,
                                       const Credentials& credentials);

/// Hex SHA-256 of `payload`.
std::string payload_hash(ByteView payload);

}  // namespace firn::store::s3
