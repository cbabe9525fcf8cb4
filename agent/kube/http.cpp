#include "agent/kube/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>

namespace firn::kube {
namespace {

constexpr long kConnectSeconds = 10;

struct FreeEasy {
  void operator()(CURL* handle) const noexcept { curl_easy_cleanup(handle); }
};
struct FreeList {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};
using Headers = std::unique_ptr<curl_slist, FreeList>;

/// libcurl wants this once, before any handle.
void start_curl() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(started);
}

/// curl takes a pointer that is not const, and copies.
curl_blob blob_of(const std::string& text) {
  return {.data = const_cast<char*>(text.data()), .len = text.size(), .flags = CURL_BLOB_COPY};
}

bool same_letters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return (x | 0x20) == (y | 0x20); });
}

}  // namespace

struct Connection::State {
  explicit State(const base::StopFlag& stop_) : stop(stop_) {}

  const base::StopFlag& stop;
  std::unique_ptr<CURL, FreeEasy> easy;
  // Of the request that is going on.
  HttpResponse response;
  const std::function<Result<>(std::string_view)>* visit = nullptr;
  std::size_t body_bytes_max = 0;
  Result<> failure;

  static std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* self) {
    return static_cast<State*>(self)->body({bytes, size * count}) ? size * count : 0;
  }
  static std::size_t on_header(char* bytes, std::size_t size, std::size_t count, void* self) {
    static_cast<State*>(self)->header({bytes, size * count});
    return size * count;
  }
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<State*>(self)->stop.requested() ? 1 : 0;
  }

  bool body(std::string_view bytes) {
    long status = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
    if (visit != nullptr && status == 200) {
      failure = (*visit)(bytes);
      return failure.has_value();
    }
    if (response.body.size() + bytes.size() > body_bytes_max) {
      failure = fail(ErrorCode::Exhausted,
                     "the answer is longer than " + std::to_string(body_bytes_max) + " bytes");
      return false;
    }
    response.body.append(bytes);
    return true;
  }

  void header(std::string_view line) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || !same_letters(line.substr(0, colon), "retry-after")) {
      return;
    }
    const auto first = line.find_first_not_of(' ', colon + 1);
    long seconds = 0;
    if (first != std::string_view::npos &&
        std::from_chars(line.data() + first, line.data() + line.size(), seconds).ec == std::errc{}) {
      response.retry_after = std::chrono::seconds(std::clamp(seconds, 0L, 300L));
    }
  }

  /// Options that no curl refuses; a handle that could not be made fails in perform().
  void set_up(const HttpRequest& request, const Headers& headers) {
    CURL* curl = easy.get();
    curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    if (!request.body.empty() || request.method != "GET") {
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.c_str());
    }
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(request.time_limit.count()));
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.silence_max.count()));
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, 10L);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 64L << 10);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &State::on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &State::on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &State::on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, this);
    set_up_tls(curl, request.tls ? *request.tls : Tls{});
  }

  static void set_up_tls(CURL* curl, const Tls& tls) {
    const auto give = [&](CURLoption option, const std::string& text) {
      if (!text.empty()) {
        curl_blob blob = blob_of(text);
        curl_easy_setopt(curl, option, &blob);
      }
    };
    give(CURLOPT_CAINFO_BLOB, tls.authorities);
    give(CURLOPT_SSLCERT_BLOB, tls.certificate);
    give(CURLOPT_SSLKEY_BLOB, tls.key);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, tls.insecure ? 0L : 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, tls.insecure ? 0L : 2L);
  }

  Result<HttpResponse> perform(const HttpRequest& request) {
    start_curl();
    FIRN_TRY(stop.check());
    if (!easy) {
      easy.reset(curl_easy_init());
    }
    if (!easy) {
      return fail(ErrorCode::Exhausted, "no memory for a connection");
    }
    curl_easy_reset(easy.get());  // keeps the connection
    Headers headers;
    for (const std::string& line : request.headers) {
      headers.reset(curl_slist_append(headers.release(), line.c_str()));
    }
    response = {};
    failure = {};
    body_bytes_max = request.body_bytes_max;
    set_up(request, headers);
    const CURLcode code = curl_easy_perform(easy.get());
    if (!failure) {
      return Failure(std::move(failure).error());
    }
    FIRN_TRY(stop.check());
    if (code != CURLE_OK) {
      const bool untrusted = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM ||
                             code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CACERT_BADFILE;
      return fail(untrusted ? ErrorCode::Denied : ErrorCode::Unavailable,
                  request.method + " " + request.url.substr(0, request.url.find('?')) + ": " +
                      curl_easy_strerror(code));
    }
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &response.status);
    return std::move(response);
  }
};

Connection::Connection(const base::StopFlag& stop) : state_(std::make_unique<State>(stop)) {}
Connection::~Connection() = default;
Connection::Connection(Connection&&) noexcept = default;

Result<HttpResponse> Connection::send(const HttpRequest& request) {
  state_->visit = nullptr;
  return state_->perform(request);
}

Result<HttpResponse> Connection::stream(const HttpRequest& request,
                                        const std::function<Result<>(std::string_view bytes)>& visit) {
  state_->visit = &visit;
  return state_->perform(request);
}

std::string url_escaped(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    if (plain) {
      out.push_back(c);
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

}  // namespace firn::kube
