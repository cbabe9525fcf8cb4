#include "repo/store/s3/refusal.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "repo/store/s3/place.h"
#include "repo/store/s3/times.h"

namespace firn::store::s3 {
namespace {

using std::chrono::seconds;
using Kind = Refusal::Kind;

constexpr seconds kRetryAfterMax{120};
// AWS allows a quarter of an hour; a refusal with a clock this far off is the clock's doing.
constexpr std::int64_t kSkewSeconds = 5 * 60;

template <std::size_t N>
bool is_one_of(std::string_view code, const std::array<std::string_view, N>& codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

constexpr std::array<std::string_view, 7> kThrottled = {"SlowDown",
                                                        "SlowDownRead",
                                                        "SlowDownWrite",
                                                        "RequestLimitExceeded",
                                                        "ThrottlingException",
                                                        "Throttling",
                                                        "RequestThrottledException"};
constexpr std::array<std::string_view, 6> kExpired = {"ExpiredToken",         "ExpiredTokenException",
                                                      "TokenRefreshRequired", "InvalidToken",
                                                      "InvalidSecurity",      "RequestExpired"};
constexpr std::array<std::string_view, 6> kFull = {"QuotaExceeded",       "QuotaExceededException",
                                                   "InsufficientStorage", "XMinioStorageFull",
                                                   "StorageFull",         "XMinioAdminBucketQuotaExceeded"};
// The request came damaged or not in time, and was not carried out.
constexpr std::array<std::string_view, 9> kAgain = {"RequestTimeout",
                                                    "IncompleteBody",
                                                    "BadDigest",
                                                    "XAmzContentSHA256Mismatch",
                                                    "XAmzContentChecksumMismatch",
                                                    "ConditionalRequestConflict",
                                                    "OperationAborted",
                                                    "ServerBusy",
                                                    "TooManyRequests"};
constexpr std::array<std::string_view, 4> kElsewhere = {"PermanentRedirect", "TemporaryRedirect",
                                                        "AuthorizationHeaderMalformed",
                                                        "IllegalLocationConstraintException"};

/// Positive: this machine's clock is ahead of the server's.
std::optional<std::int64_t> clock_ahead_seconds(const HttpResponse& response, base::WallTime now) {
  const auto date = parse_http_date(response.header("date"));
  if (!date) {
    return std::nullopt;
  }
  return (now.nanoseconds - date->nanoseconds) / 1'000'000'000;
}

std::chrono::milliseconds retry_after(const HttpResponse& response) {
  const std::string_view text = response.header("retry-after");
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return std::chrono::milliseconds{0};
  }
  return std::min(kRetryAfterMax, seconds(value));
}

Refusal denied(std::string sentence) { return {.error = {ErrorCode::Denied, std::move(sentence)}}; }

Refusal skewed(const Asked& asked, std::optional<std::int64_t> ahead) {
  const std::string by = ahead ? " is " + std::to_string(std::abs(*ahead)) + " s " +
                                     (*ahead > 0 ? "ahead of" : "behind") + " that of "
                               : " differs too much from that of ";
  return denied("this machine's clock" + by + asked.host + ": set it (the key is not what is wrong)");
}

Refusal elsewhere(const HttpResponse& response, const ServerError& server, const Asked& asked) {
  Refusal refusal;
  const std::string hint(response.header("x-amz-bucket-region"));
  refusal.region = is_region(hint) ? hint : is_region(server.region) ? server.region : std::string();
  refusal.error = {ErrorCode::Invalid,
                   refusal.region.empty()
                       ? "the bucket " + asked.bucket + " is not in region " + asked.region + " of " +
                             asked.host + ": name its region with -o s3.region=REGION" +
                             (server.message.empty() ? "" : " (" + server.message + ")")
                       : "the bucket " + asked.bucket + " is in region " + refusal.region + ", not in " +
                             asked.region + ": give -o s3.region=" + refusal.region};
  return refusal;
}

/// The codes that say the same whatever status comes with them.
std::optional<Refusal> refusal_of_code(const HttpResponse& response, const ServerError& server,
                                       const Asked& asked) {
  const std::string& code = server.code;
  const auto ahead = clock_ahead_seconds(response, asked.now);
  if (code == "NoSuchKey") {
    return Refusal{.error = {ErrorCode::NotFound, "no such object"}, .kind = Kind::NoSuchKey};
  }
  if (code == "NoSuchBucket") {
    return Refusal{.error = {ErrorCode::Denied, "there is no bucket " + asked.bucket + " at " + asked.host +
                                                    ": make it first, or check the repository's URL"},
                   .kind = Kind::NoSuchBucket};
  }
  if (code == "PreconditionFailed") {
    return Refusal{.error = {ErrorCode::Exists, "an object has this name"}, .kind = Kind::Exists};
  }
  if (code == "InvalidRange") {
    return Refusal{.error = {ErrorCode::Corrupt, "the object ends before"}, .kind = Kind::RangeEnds};
  }
  if (code == "RequestTimeTooSkewed" || code == "RequestInTheFuture") {
    return skewed(asked, ahead);
  }
  if (is_one_of(code, kExpired)) {
    Refusal refusal = denied("the token of access key " + asked.access_key_id + " (from " + asked.key_from +
                             ") has expired or is not valid: get new temporary credentials");
    refusal.credentials_refused = true;
    return refusal;
  }
  if (code == "InvalidAccessKeyId" || code == "InvalidClientTokenId" || code == "XAdminUserNotFound") {
    Refusal refusal = denied(asked.host + " does not know the access key " + asked.access_key_id + " (from " +
                             asked.key_from + "): check it, and that it is a key of this server");
    refusal.credentials_refused = true;
    return refusal;
  }
  if (code == "SignatureDoesNotMatch") {
    if (ahead && std::abs(*ahead) > kSkewSeconds) {
      return skewed(asked, ahead);
    }
    Refusal refusal = denied("the secret key does not belong to the access key " + asked.access_key_id +
                             " (from " + asked.key_from + "): check both");
    refusal.credentials_refused = true;
    return refusal;
  }
  if (is_one_of(code, kElsewhere)) {
    return elsewhere(response, server, asked);
  }
  if (is_one_of(code, kFull)) {
    return Refusal{.error = {ErrorCode::Exhausted, "the bucket " + asked.bucket + " at " + asked.host +
                                                       " is full (" + code +
                                                       "): raise its quota, or forget and prune"}};
  }
  if (code == "InvalidObjectState") {
    return denied("the object is archived in a class that cannot be read at once: restore it in the bucket " +
                  asked.bucket + " to a readable class (S3 RestoreObject), then try again");
  }
  if (is_one_of(code, kAgain)) {
    return Refusal{
        .error = {ErrorCode::Unavailable, asked.host + " did not take the request (" + code + ")"}};
  }
  return std::nullopt;
}

/// What the body of an answer that is no S3 error shows of a port that wants TLS.
bool wants_tls(const HttpResponse& response) {
  return response.status == 400 && as_text(response.body).find("HTTPS") != std::string_view::npos;
}

Refusal refusal_of_status(const HttpResponse& response, const std::optional<ServerError>& server,
                          const Asked& asked) {
  const int status = response.status;
  const std::string told =
      server ? server->code + (server->message.empty() ? "" : ": " + server->message) : "no reason given";
  const std::string says = asked.host + " answers " + std::to_string(status) + " (" + told + ")";
  if (status == 429 || (status == 503 && server)) {
    return {.error = {ErrorCode::Unavailable, says}, .throttled = true, .leave_alone = retry_after(response)};
  }
  if (status >= 500 && status != 501 && status != 507) {
    // Whoever stands before the server answers so too when the server's own answer was lost.
    return {.error = {ErrorCode::Unavailable, says},
            .maybe_done = true,
            .throttled = status == 503,
            .leave_alone = retry_after(response)};
  }
  if (status == 507) {
    return {.error = {ErrorCode::Exhausted, asked.host + " is full: " + told}};
  }
  if (status == 501) {
    return {.error = {ErrorCode::Unsupported, says}};
  }
  if (status == 412) {
    return {.error = {ErrorCode::Exists, "an object has this name"}, .kind = Kind::Exists};
  }
  if (status == 416) {
    return {.error = {ErrorCode::Corrupt, "the object ends before"}, .kind = Kind::RangeEnds};
  }
  if (status == 408 || status == 409 || status == 425) {
    return {.error = {ErrorCode::Unavailable, says}};
  }
  if (status >= 300 && status < 400) {
    return elsewhere(response, server.value_or(ServerError{}), asked);
  }
  if (status == 401 || status == 403) {
    const auto ahead = clock_ahead_seconds(response, asked.now);
    if (ahead && std::abs(*ahead) > 3 * kSkewSeconds) {
      return skewed(asked, ahead);
    }
    return denied(says + " to the access key " + asked.access_key_id + " (from " + asked.key_from +
                  "): it may not do this");
  }
  if (wants_tls(response)) {
    return {
        .error = {ErrorCode::Invalid, asked.host + " speaks TLS: write https:// in the repository's URL"}};
  }
  if (!server) {
    // Not an S3 server's word: a 404 of a proxy says nothing about an object.
    return {.error = {ErrorCode::Unavailable, says + ": is it an S3 server?"}};
  }
  return {.error = {ErrorCode::Invalid, says}};
}

}  // namespace

Refusal refusal_of(const HttpResponse& response, const Asked& asked) {
  const auto server = parse_error(response.body);
  if (server && response.status < 500) {
    if (auto refusal = refusal_of_code(response, *server, asked)) {
      return *std::move(refusal);
    }
  }
  if (server && is_one_of(server->code, kThrottled)) {
    return {.error = {ErrorCode::Unavailable, asked.host + " asks to slow down (" + server->code + ")"},
            .throttled = true,
            .leave_alone = retry_after(response)};
  }
  if (server && is_one_of(server->code, kFull)) {
    return *refusal_of_code(response, *server, asked);
  }
  return refusal_of_status(response, server, asked);
}

}  // namespace firn::store::s3
