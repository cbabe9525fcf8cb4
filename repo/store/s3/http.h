// HTTP requests over libcurl: many in flight on one thread of the client's own.
//
// Promise: connections are kept and shared (HTTP/2 where a TLS server offers it); a body is sent from where
// the caller keeps it; no wait is without an end: connecting, a body that trickles, an answer that does not
// come, a request to stop. Redirects are never followed, answers never decoded. Not here: what an answer
// means (s3_store.h), trying again (retry_store.h).
//
// This is the door to the real network: the event thread is spawned by the Executor and callers wait through
// it, but the thread itself waits in curl_multi_poll(), which a seeded executor cannot interrupt. Simulations
// use MemoryStore.
// Threads: any; the client must outlive its requests.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/bytes.h"
#include "repo/base/executor.h"
#include "repo/base/result.h"
#include "repo/base/stop.h"

namespace firn::store::s3 {

struct HttpHeader {
  std::string name;  // of an answer: in lower case
  std::string value;
};

struct HttpResponse {
  int status = 0;
  std::vector<HttpHeader> headers;
  Bytes body;  // empty when a sink took it
  /// A kept connection had died under the request, and libcurl sent it again on another: the server may have
  /// carried out the first one too.
  bool resent = false;
  /// The first header of that lower-case name; empty when there is none.
  std::string_view header(std::string_view name) const;
};

/// Takes the body of a successful (2xx) answer as it comes in, on the client's thread.
class BodySink {
 public:
  virtual ~BodySink() = default;
  /// `head` has status and headers. May be called more than once. An error ends the exchange with it.
  virtual Result<> take(const HttpResponse& head, ByteView bytes) = 0;
};

struct HttpRequest {
  std::string method = "GET";
  std::string url = {};  // http:// or https://, percent-encoded
  std::vector<HttpHeader> headers = {};
  ByteView body = {};  // borrowed until the exchange is over
  /// Of a successful (2xx) answer without a sink: a longer body is Corrupt. Of any other answer the first
  /// 64 KiB are kept.
  std::size_t answer_bytes_max = 1 << 20;
  BodySink* sink = nullptr;
  /// The whole exchange; 0 = as long as it moves.
  std::chrono::milliseconds time_max{0};
};

/// An exchange that ended without an answer.
struct HttpFailure {
  Error error;
  bool maybe_sent = true;  // false: the server has surely seen nothing of the request
  bool stuck = false;      // it did not move for too long
};
using HttpResult = tl::expected<HttpResponse, HttpFailure>;

struct HttpOptions {
  std::string ca_file = {};                         // PEM; empty = the system's
  std::string client_certificate = {};              // PEM file with certificate and key; empty = none
  bool insecure_tls = false;                        // any certificate will do
  bool use_proxy = true;                            // http_proxy, https_proxy, no_proxy of the environment
  std::uint64_t upload_bytes_per_second_max = 0;    // 0 = no limit
  std::uint64_t download_bytes_per_second_max = 0;  // 0 = no limit
  std::chrono::milliseconds connect_timeout{std::chrono::seconds{30}};
  /// How long an answer may take to begin.
  std::chrono::milliseconds stuck_timeout{std::chrono::minutes{5}};
  /// A body that moves less than 1 KiB a second for so long (or for stuck_timeout, if that is shorter) is
  /// stuck.
  std::chrono::milliseconds trickle_timeout{std::chrono::seconds{60}};
  /// How long requests may still take when somebody has asked to stop.
  std::chrono::milliseconds stop_grace{std::chrono::seconds{10}};
};

class HttpClient {
 public:
  /// `executor` and `stop` (may be null) must outlive the client. Errors: Exhausted, Invalid (a certificate
  /// file that cannot be read).
  static Result<std::unique_ptr<HttpClient>> open(base::Executor& executor, const base::StopFlag* stop,
                                                  HttpOptions options);
  virtual ~HttpClient() = default;

  /// Waits for the answer, whatever its status is. Errors: Unavailable; Denied (a certificate that is not
  /// trusted), Invalid (no TLS where TLS was asked for, a bad URL), Corrupt (a longer body than allowed),
  /// Cancelled, and those of the sink.
  virtual HttpResult exchange(const HttpRequest& request) = 0;

  /// The same for callers to whom it is one whether the request was seen.
  Result<HttpResponse> perform(const HttpRequest& request);
};

/// "host", "host:port" or "[address]:port" of a URL, for messages.
std::string_view authority_of(std::string_view url);

}  // namespace firn::store::s3
