#include "repo/store/s3/http_errors.h"

#include <string>

#include "repo/store/s3/http.h"

namespace firn::store::s3 {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// A handshake that failed because no TLS came back.
bool met_no_tls(std::string_view detail) {
  return contains(detail, "wrong version number") || contains(detail, "packet length too long") ||
         contains(detail, "unknown protocol") || contains(detail, "http request");
}

Error untrusted(std::string_view detail, const std::string& host) {
  if (contains(detail, "does not match") || contains(detail, "no alternative certificate subject")) {
    return {ErrorCode::Denied, "the certificate of " + host +
                                   " is for another name: use the name that it is for (" +
                                   std::string(detail) + ")"};
  }
  if (contains(detail, "expired") || contains(detail, "not yet valid")) {
    return {ErrorCode::Denied, "the certificate of " + host +
                                   " is not valid now: renew it, or set this machine's clock (" +
                                   std::string(detail) + ")"};
  }
  if (contains(detail, "self-signed") || contains(detail, "self signed")) {
    return {ErrorCode::Denied,
            "the certificate of " + host + " is signed by itself: give it, or its authority, with --cacert"};
  }
  return {ErrorCode::Denied, "the certificate of " + host +
                                 " is not trusted: give its authority with --cacert (" + std::string(detail) +
                                 ")"};
}

}  // namespace

Error error_of_curl(CURLcode code, std::string_view detail, std::string_view url) {
  const std::string host(authority_of(url));
  const std::string told(detail.empty() ? curl_easy_strerror(code) : detail);
  const bool is_tls = url.starts_with("https:");
  // TLS 1.3 tells it only with the answer, as an error of receiving.
  if (contains(detail, "alert certificate required") || contains(detail, "alert handshake failure") ||
      contains(detail, "alert bad certificate") || contains(detail, "alert unknown ca")) {
    return {ErrorCode::Denied,
            host +
                " refuses the TLS connection: give it a certificate that it knows with --tls-client-cert (" +
                told + ")"};
  }
  switch (code) {
    case CURLE_URL_MALFORMAT:
      return {ErrorCode::Invalid, "not a URL: " + std::string(url.substr(0, url.find('?')))};
    case CURLE_COULDNT_RESOLVE_HOST:
      return {ErrorCode::Unavailable,
              "the name " + host + " has no address: check the repository's URL and the name service"};
    case CURLE_COULDNT_RESOLVE_PROXY:
      return {ErrorCode::Unavailable,
              "the proxy's name has no address: check http_proxy and https_proxy (" + told + ")"};
    case CURLE_COULDNT_CONNECT:
      return {ErrorCode::Unavailable, host + " cannot be reached: " + told};
    case CURLE_OPERATION_TIMEDOUT:
      return {ErrorCode::Unavailable, host + " does not answer: " + told};
    case CURLE_SSL_CONNECT_ERROR:
      if (met_no_tls(detail)) {
        return {ErrorCode::Invalid, host + " does not speak TLS: write http:// in the repository's URL"};
      }
      return {ErrorCode::Unavailable, "no TLS connection with " + host + ": " + told};
    case CURLE_PEER_FAILED_VERIFICATION:
      return untrusted(detail, host);
    case CURLE_SSL_CACERT_BADFILE:
      return {ErrorCode::Invalid, "--cacert: " + told};
    case CURLE_SSL_CERTPROBLEM:
      return {ErrorCode::Invalid, "--tls-client-cert: " + told};
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
      if (!is_tls && contains(detail, "HTTP/0.9")) {
        return {ErrorCode::Invalid,
                host + " does not answer in HTTP: if it speaks TLS, write https:// in the repository's URL"};
      }
      return {ErrorCode::Unavailable, host + " does not answer in HTTP: " + told};
    case CURLE_GOT_NOTHING:
      return {ErrorCode::Unavailable,
              host + " closed the connection without an answer" +
                  (is_tls ? "" : " (if it speaks TLS, write https:// in the repository's URL)")};
    case CURLE_PARTIAL_FILE:
      return {ErrorCode::Unavailable, "the answer of " + host + " ended early: " + told};
    case CURLE_OUT_OF_MEMORY:
      return {ErrorCode::Exhausted, "libcurl is out of memory"};
    default:
      return {ErrorCode::Unavailable, "the connection with " + host + " failed: " + told};
  }
}

}  // namespace firn::store::s3
