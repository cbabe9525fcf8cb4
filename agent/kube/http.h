// HTTP for the Kubernetes API: one request at a time on a kept connection, whole or streamed, with libcurl.
//
// Promise: memory is bounded by what the caller allows a body to be; a request ends soon after stop, after
// its time limit, and when the other side is silent for too long. Not here: what a status means, retries,
// credentials (client.h, config.h). Threads: a Connection belongs to one thread at a time.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "repo/base/result.h"
#include "repo/base/stop.h"

namespace firn::kube {

/// Whom to trust and who we are, as PEM text.
struct Tls {
  std::string authorities;  // empty: those of the system
  std::string certificate;  // of the client; empty: none
  std::string key;
  bool insecure = false;  // trust anybody
};

struct HttpRequest {
  std::shared_ptr<const Tls> tls;  // null: what the system trusts
  std::string method = "GET";
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
  /// Of the whole request; zero: none, as for a watch.
  std::chrono::milliseconds time_limit{30000};
  /// The other side may be silent so long.
  std::chrono::seconds silence_max{150};
  std::size_t body_bytes_max = 16U << 20;
};

struct HttpResponse {
  long status = 0;
  std::string body;
  std::optional<std::chrono::seconds> retry_after;
};

class Connection {
 public:
  explicit Connection(const base::StopFlag& stop);
  ~Connection();
  Connection(Connection&&) noexcept;

  /// Errors: Cancelled (stop), Unavailable (no answer; nobody knows what became of the request), Denied (TLS:
  /// they are not who they should be), Exhausted (the body is larger than allowed).
  Result<HttpResponse> send(const HttpRequest& request);
  /// Hands a successful body over as it comes; its error ends the request. A body with another status than
  /// 200 is in the response.
  Result<HttpResponse> stream(const HttpRequest& request,
                              const std::function<Result<>(std::string_view bytes)>& visit);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// `text` with everything escaped but letters, digits and "-._~".
std::string url_escaped(std::string_view text);

}  // namespace firn::kube
