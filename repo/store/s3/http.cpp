#include "repo/store/s3/http.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include "repo/base/check.h"
#include "repo/base/monitor.h"
#include "repo/store/s3/http_errors.h"

namespace firn::store::s3 {
namespace {

using base::SteadyTime;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

// libcurl copies a body through buffers of its own, two for each request in flight.
constexpr long kBufferBytes = 256 << 10;
constexpr std::size_t kHeaderBytesMax = 64 << 10;
constexpr std::size_t kRefusalBytesMax = 64 << 10;
constexpr std::size_t kIdleHandlesMax = 16;
// One connection has one congestion window: requests over HTTP/2 are spread over several.
constexpr long kStreamsPerConnectionMax = 4;
constexpr long kConnectionsKeptMax = 64;
// How often stop, limits and stuck requests are looked at.
constexpr milliseconds kTick{200};
constexpr milliseconds kLimitTick{20};
// A body that moves slower is stuck.
constexpr std::uint64_t kTrickleBytesPerSecond = 1 << 10;

struct FreeEasy {
  void operator()(CURL* handle) const noexcept { curl_easy_cleanup(handle); }
};
using Easy = std::unique_ptr<CURL, FreeEasy>;
struct FreeMulti {
  void operator()(CURLM* handle) const noexcept { curl_multi_cleanup(handle); }
};
using Multi = std::unique_ptr<CURLM, FreeMulti>;
struct FreeShare {
  void operator()(CURLSH* handle) const noexcept { curl_share_cleanup(handle); }
};
using Share = std::unique_ptr<CURLSH, FreeShare>;
struct FreeList {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

/// A limit on bytes a second, for all requests together. May go into debt by one buffer.
class TokenBucket {
 public:
  explicit TokenBucket(std::uint64_t bytes_per_second) : rate_(static_cast<double>(bytes_per_second)) {}
  bool limited() const { return rate_ > 0; }
  bool open() const { return !limited() || tokens_ > 0; }
  void take(std::size_t bytes) { tokens_ -= limited() ? static_cast<double>(bytes) : 0; }
  void refill(SteadyTime now) {
    if (limited() && last_) {
      const double elapsed = std::chrono::duration<double>(now - *last_).count();
      tokens_ = std::min(tokens_ + elapsed * rate_, rate_ * kBurstSeconds);
    }
    last_ = now;
  }

 private:
  static constexpr double kBurstSeconds = 0.1;
  const double rate_;
  double tokens_ = 0;
  std::optional<SteadyTime> last_;
};

class Loop;

/// One request on its way. Lies on the caller's stack; the event thread owns it until `finished`.
struct Exchange {
  Exchange(base::Executor& executor, const HttpRequest& asked) : request(asked), finished(executor) {}

  const HttpRequest& request;
  Loop* loop = nullptr;
  Easy handle;
  HeaderList headers;
  std::array<char, CURL_ERROR_SIZE> error_text{};
  HttpResponse response;
  std::optional<Error> own_error;  // of the sink, or of a limit
  std::optional<HttpFailure> failure;
  int sends = 0;  // how often libcurl was about to send it
  std::size_t sent_bytes = 0;
  std::size_t header_bytes = 0;
  bool head_ended = false;  // libcurl takes a head that is cut off for a whole one
  bool paused = false;
  bool is_stuck = false;
  SteadyTime began;
  // What moved since the window began; a new phase begins a new one.
  enum class Phase { Sending, Waiting, Receiving };
  Phase phase = Phase::Sending;
  SteadyTime window_began;
  std::uint64_t window_bytes = 0;
  base::Monitor<bool> finished;

  bool ok() const { return response.status >= 200 && response.status < 300; }
};

/// The event thread's state: all that touches libcurl runs here.
class Loop {
 public:
  Loop(base::Executor& executor, const base::StopFlag* stop, HttpOptions options)
      : executor_(executor),
        stop_(stop),
        options_(std::move(options)),
        upload_(options_.upload_bytes_per_second_max),
        download_(options_.download_bytes_per_second_max) {}

  Result<> open() {
    static const CURLcode initialised = curl_global_init(CURL_GLOBAL_ALL);
    multi_.reset(curl_multi_init());
    share_.reset(curl_share_init());
    if (initialised != CURLE_OK || !multi_ || !share_) {
      return fail(ErrorCode::Exhausted, "libcurl does not start");
    }
    // Only the event thread uses what is shared, so that it needs no lock.
    curl_share_setopt(share_.get(), CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(multi_.get(), CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    curl_multi_setopt(multi_.get(), CURLMOPT_MAX_CONCURRENT_STREAMS, kStreamsPerConnectionMax);
    curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, kConnectionsKeptMax);
    return {};
  }

  void submit(Exchange& exchange) {
    incoming_.lock()->waiting.push_back(&exchange);
    curl_multi_wakeup(multi_.get());
  }
  void close() {
    incoming_.lock()->closed = true;
    curl_multi_wakeup(multi_.get());
  }

  void run() {
    block_sigpipe();
    while (take_incoming()) {
      int running = 0;
      curl_multi_perform(multi_.get(), &running);
      acknowledge_at_once();
      collect_finished();
      look_after();
      curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(next_look().count()), nullptr);
    }
  }

  // Called back by libcurl, on the event thread.
  curl_socket_t open_socket(const curl_sockaddr& address) {
    const int socket = ::socket(address.family, address.socktype | SOCK_CLOEXEC, address.protocol);
    if (socket >= 0) {
      sockets_.push_back(socket);
    }
    return socket;
  }
  int close_socket(curl_socket_t socket) {
    std::erase(sockets_, socket);
    return ::close(socket);
  }
  std::size_t on_read(Exchange& exchange, char* out, std::size_t room);
  std::size_t on_header(Exchange& exchange, std::string_view line);
  std::size_t on_body(Exchange& exchange, ByteView bytes);

 private:
  struct Incoming {
    std::vector<Exchange*> waiting;
    bool closed = false;
  };

  /// OpenSSL writes to sockets without MSG_NOSIGNAL.
  static void block_sigpipe() {
    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  }

  /// Servers that leave Nagle's algorithm on (Ceph RGW does) hold the second half of an answer back until the
  /// first is acknowledged, which this kernel would do 40 ms later. It has to be told anew after each
  /// request.
  void acknowledge_at_once() {
    const int yes = 1;
    for (const curl_socket_t socket : sockets_) {
      ::setsockopt(socket, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes);
    }
  }

  SteadyTime now() const { return executor_.clock().steady(); }

  /// False when the client is being closed.
  bool take_incoming() {
    std::vector<Exchange*> waiting;
    bool closed = false;
    {
      auto incoming = incoming_.lock();
      waiting.swap(incoming->waiting);
      closed = incoming->closed;
    }
    for (Exchange* exchange : waiting) {
      begin(*exchange);
    }
    FIRN_CHECK(!closed || running_.empty());
    return !closed;
  }

  void begin(Exchange& exchange);
  bool set_up(Exchange& exchange);
  void set_up_method(Exchange& exchange);
  void set_up_tls(CURL* handle);
  void collect_finished();
  void end(Exchange& exchange, CURLcode code);
  void finish(Exchange& exchange);
  void abort(Exchange& exchange, Error error);
  void look_after();
  void resume_paused(SteadyTime now);
  std::optional<Error> reason_to_abort(Exchange& exchange, SteadyTime now);
  std::optional<Error> stuck(Exchange& exchange, SteadyTime now);
  void enter(Exchange& exchange, Exchange::Phase phase);
  milliseconds next_look() const;

  base::Executor& executor_;
  const base::StopFlag* stop_;
  const HttpOptions options_;
  base::Guarded<Incoming> incoming_;
  // The event thread's own.
  TokenBucket upload_;
  TokenBucket download_;
  std::vector<curl_socket_t> sockets_;  // that libcurl has open; outlives its handles, which close them
  Share share_;
  Multi multi_;
  std::vector<Easy> idle_;
  std::vector<Exchange*> running_;
  std::optional<SteadyTime> stop_seen_;
};

extern "C" {
static curl_socket_t firn_http_open_socket(void* loop, curlsocktype, curl_sockaddr* address) {
  return static_cast<Loop*>(loop)->open_socket(*address);
}
static int firn_http_before_sending(void* exchange, char*, char*, int, int) {
  static_cast<Exchange*>(exchange)->sends += 1;
  return CURL_PREREQFUNC_OK;
}
static int firn_http_close_socket(void* loop, curl_socket_t socket) {
  return static_cast<Loop*>(loop)->close_socket(socket);
}
static std::size_t firn_http_read(char* out, std::size_t size, std::size_t count, void* exchange) {
  auto* const own = static_cast<Exchange*>(exchange);
  return own->loop->on_read(*own, out, size * count);
}
static int firn_http_seek(void* exchange, curl_off_t offset, int origin) {
  auto* const own = static_cast<Exchange*>(exchange);
  if (origin != SEEK_SET || offset < 0 || static_cast<std::size_t>(offset) > own->request.body.size()) {
    return CURL_SEEKFUNC_FAIL;
  }
  own->sent_bytes = static_cast<std::size_t>(offset);
  return CURL_SEEKFUNC_OK;
}
static std::size_t firn_http_header(char* line, std::size_t size, std::size_t count, void* exchange) {
  auto* const own = static_cast<Exchange*>(exchange);
  return own->loop->on_header(*own, {line, size * count});
}
static std::size_t firn_http_body(char* bytes, std::size_t size, std::size_t count, void* exchange) {
  auto* const own = static_cast<Exchange*>(exchange);
  return own->loop->on_body(*own, as_bytes({bytes, size * count}));
}
}

void Loop::begin(Exchange& exchange) {
  exchange.loop = this;
  exchange.began = now();
  enter(exchange, exchange.request.body.empty() ? Exchange::Phase::Waiting : Exchange::Phase::Sending);
  if (!idle_.empty()) {
    exchange.handle = std::move(idle_.back());
    idle_.pop_back();
  } else {
    exchange.handle.reset(curl_easy_init());
  }
  if (!exchange.handle || !set_up(exchange) ||
      curl_multi_add_handle(multi_.get(), exchange.handle.get()) != CURLM_OK) {
    exchange.failure = HttpFailure{{ErrorCode::Exhausted, "libcurl is out of memory"}, false, false};
    finish(exchange);
    return;
  }
  running_.push_back(&exchange);
}

bool Loop::set_up(Exchange& exchange) {
  CURL* const handle = exchange.handle.get();
  const HttpRequest& request = exchange.request;
  // Without this libcurl waits a second for leave to send a body.
  exchange.headers.reset(curl_slist_append(nullptr, "Expect:"));
  for (const HttpHeader& header : request.headers) {
    const std::string line =
        header.value.empty() ? header.name + ";" : std::string(header.name).append(": ").append(header.value);
    curl_slist* const longer = curl_slist_append(exchange.headers.get(), line.c_str());
    if (longer == nullptr) {
      return false;
    }
    static_cast<void>(exchange.headers.release());
    exchange.headers.reset(longer);
  }
  curl_easy_setopt(handle, CURLOPT_PRIVATE, &exchange);
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, exchange.error_text.data());
  curl_easy_setopt(handle, CURLOPT_SHARE, share_.get());
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  curl_easy_setopt(handle, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(handle, CURLOPT_TCP_KEEPIDLE, 30L);
  curl_easy_setopt(handle, CURLOPT_TCP_KEEPINTVL, 10L);
  curl_easy_setopt(handle, CURLOPT_BUFFERSIZE, kBufferBytes);
  curl_easy_setopt(handle, CURLOPT_UPLOAD_BUFFERSIZE, kBufferBytes);
  curl_easy_setopt(handle, CURLOPT_USERAGENT, "firn/" FIRN_VERSION);
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, exchange.headers.get());
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(request.time_max.count()));
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, &firn_http_header);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &firn_http_body);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(handle, CURLOPT_PREREQFUNCTION, &firn_http_before_sending);
  curl_easy_setopt(handle, CURLOPT_PREREQDATA, &exchange);
  curl_easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, &firn_http_open_socket);
  curl_easy_setopt(handle, CURLOPT_OPENSOCKETDATA, this);
  curl_easy_setopt(handle, CURLOPT_CLOSESOCKETFUNCTION, &firn_http_close_socket);
  curl_easy_setopt(handle, CURLOPT_CLOSESOCKETDATA, this);
  if (!options_.use_proxy) {
    curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");
  }
  set_up_method(exchange);
  set_up_tls(handle);
  return curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str()) == CURLE_OK;
}

void Loop::set_up_method(Exchange& exchange) {
  CURL* const handle = exchange.handle.get();
  const HttpRequest& request = exchange.request;
  const auto body_bytes = static_cast<curl_off_t>(request.body.size());
  if (request.method == "PUT") {
    curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(handle, CURLOPT_INFILESIZE_LARGE, body_bytes);
  } else if (request.method == "POST") {
    curl_easy_setopt(handle, CURLOPT_POST, 1L);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, body_bytes);
  } else if (request.method == "HEAD") {
    curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
  } else {
    FIRN_CHECK(request.body.empty());
    curl_easy_setopt(handle, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  curl_easy_setopt(handle, CURLOPT_READFUNCTION, &firn_http_read);
  curl_easy_setopt(handle, CURLOPT_READDATA, &exchange);
  curl_easy_setopt(handle, CURLOPT_SEEKFUNCTION, &firn_http_seek);
  curl_easy_setopt(handle, CURLOPT_SEEKDATA, &exchange);
}

void Loop::set_up_tls(CURL* handle) {
  if (!options_.ca_file.empty()) {
    curl_easy_setopt(handle, CURLOPT_CAINFO, options_.ca_file.c_str());
  }
  if (!options_.client_certificate.empty()) {
    curl_easy_setopt(handle, CURLOPT_SSLCERT, options_.client_certificate.c_str());
    curl_easy_setopt(handle, CURLOPT_SSLKEY, options_.client_certificate.c_str());
  }
  if (options_.insecure_tls) {
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 0L);
  }
}

void Loop::enter(Exchange& exchange, Exchange::Phase phase) {
  exchange.phase = phase;
  exchange.window_began = now();
  exchange.window_bytes = 0;
}

std::size_t Loop::on_read(Exchange& exchange, char* out, std::size_t room) {
  const ByteView rest = exchange.request.body.subspan(exchange.sent_bytes);
  if (rest.empty()) {
    return 0;
  }
  if (!upload_.open()) {
    exchange.paused = true;
    return CURL_READFUNC_PAUSE;
  }
  const std::size_t size = std::min(room, rest.size());
  std::memcpy(out, rest.data(), size);
  upload_.take(size);
  exchange.sent_bytes += size;
  exchange.window_bytes += size;
  if (size == rest.size()) {
    enter(exchange, Exchange::Phase::Waiting);
  }
  return size;
}

std::size_t Loop::on_header(Exchange& exchange, std::string_view line) {
  const std::size_t size = line.size();
  exchange.header_bytes += size;
  if (exchange.header_bytes > kHeaderBytesMax) {
    exchange.own_error = Error{ErrorCode::Unavailable, "the answer's headers do not end"};
    return 0;
  }
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n' || line.back() == ' ')) {
    line.remove_suffix(1);
  }
  if (line.starts_with("HTTP/")) {
    // Of several (100 Continue, a proxy's answer to CONNECT) the last one counts.
    exchange.response.headers.clear();
    exchange.head_ended = false;
    return size;
  }
  exchange.head_ended = exchange.head_ended || line.empty();
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) {
    return size;
  }
  HttpHeader header{std::string(line.substr(0, colon)), {}};
  std::transform(header.name.begin(), header.name.end(), header.name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  const auto start = line.find_first_not_of(" \t", colon + 1);
  header.value = start == std::string_view::npos ? std::string() : std::string(line.substr(start));
  exchange.response.headers.push_back(std::move(header));
  return size;
}

/// Room for what the answer says that it is going to be.
void reserve_body(HttpResponse& response, std::size_t bytes_max) {
  const std::string_view text = response.header("content-length");
  std::size_t length = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), length).ec == std::errc()) {
    response.body.reserve(std::min(length, bytes_max));
  }
}

std::size_t Loop::on_body(Exchange& exchange, ByteView bytes) {
  if (!download_.open()) {
    exchange.paused = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  download_.take(bytes.size());
  if (exchange.phase != Exchange::Phase::Receiving) {
    enter(exchange, Exchange::Phase::Receiving);
  }
  exchange.window_bytes += bytes.size();
  HttpResponse& response = exchange.response;
  if (response.status == 0) {
    long status = 0;
    curl_easy_getinfo(exchange.handle.get(), CURLINFO_RESPONSE_CODE, &status);
    response.status = static_cast<int>(status);
  }
  if (exchange.ok() && exchange.request.sink != nullptr) {
    if (auto taken = exchange.request.sink->take(response, bytes); !taken) {
      exchange.own_error = std::move(taken).error();
      return 0;
    }
    return bytes.size();
  }
  const std::size_t bytes_max = exchange.ok() ? exchange.request.answer_bytes_max : kRefusalBytesMax;
  const std::size_t room = bytes_max - response.body.size();
  if (exchange.ok() && bytes.size() > room) {
    exchange.own_error =
        Error{ErrorCode::Corrupt, "the answer is larger than " + std::to_string(bytes_max) + " bytes"};
    return 0;
  }
  if (response.body.empty()) {
    reserve_body(response, bytes_max);
  }
  append(response.body, bytes.first(std::min(room, bytes.size())));
  return bytes.size();
}

void Loop::collect_finished() {
  int left = 0;
  while (const CURLMsg* const message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg == CURLMSG_DONE) {
      const CURLcode code = message->data.result;
      char* exchange = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange);
      end(*reinterpret_cast<Exchange*>(exchange), code);
    }
  }
}

void Loop::end(Exchange& exchange, CURLcode code) {
  CURL* const handle = exchange.handle.get();
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  exchange.response.status = static_cast<int>(status);
  exchange.response.resent = exchange.sends > 1;
  if (code == CURLE_OK && !exchange.head_ended) {
    code = CURLE_PARTIAL_FILE;
  }
  if (code != CURLE_OK || exchange.own_error) {
    exchange.failure = HttpFailure{
        exchange.own_error ? *std::move(exchange.own_error)
                           : error_of_curl(code, exchange.error_text.data(), exchange.request.url),
        exchange.sends > 0, exchange.is_stuck || code == CURLE_OPERATION_TIMEDOUT};
  }
  finish(exchange);
}

void Loop::abort(Exchange& exchange, Error error) {
  exchange.own_error = std::move(error);
  end(exchange, CURLE_ABORTED_BY_CALLBACK);
}

/// Takes the exchange off libcurl and gives it back to its caller. It may be gone on return.
void Loop::finish(Exchange& exchange) {
  if (exchange.handle) {
    curl_multi_remove_handle(multi_.get(), exchange.handle.get());
    if (idle_.size() < kIdleHandlesMax) {
      curl_easy_reset(exchange.handle.get());
      idle_.push_back(std::move(exchange.handle));
    }
    exchange.handle.reset();
  }
  std::erase(running_, &exchange);
  auto finished = exchange.finished.lock();
  *finished = true;
  finished.notify();
}

void Loop::look_after() {
  const SteadyTime time = now();
  if (!stop_seen_ && stop_ != nullptr && stop_->requested()) {
    stop_seen_ = time;
  }
  resume_paused(time);
  std::vector<std::pair<Exchange*, Error>> aborted;
  for (Exchange* exchange : running_) {
    if (auto reason = reason_to_abort(*exchange, time)) {
      aborted.emplace_back(exchange, *std::move(reason));
    }
  }
  for (auto& [exchange, reason] : aborted) {
    abort(*exchange, std::move(reason));
  }
}

void Loop::resume_paused(SteadyTime time) {
  upload_.refill(time);
  download_.refill(time);
  for (Exchange* exchange : running_) {
    if (!exchange->paused || !upload_.open() || !download_.open()) {
      continue;
    }
    exchange->paused = false;
    // Waiting for leave to move is not being stuck.
    enter(*exchange, exchange->phase);
    curl_easy_pause(exchange->handle.get(), CURLPAUSE_CONT);
  }
}

std::optional<Error> Loop::reason_to_abort(Exchange& exchange, SteadyTime time) {
  if (stop_seen_ && time - std::max(*stop_seen_, exchange.began) > options_.stop_grace) {
    return Error{ErrorCode::Cancelled,
                 "interrupted while waiting for " + std::string(authority_of(exchange.request.url))};
  }
  return stuck(exchange, time);
}

std::optional<Error> Loop::stuck(Exchange& exchange, SteadyTime time) {
  const bool is_waiting = exchange.phase == Exchange::Phase::Waiting;
  const milliseconds window =
      is_waiting ? options_.stuck_timeout : std::min(options_.stuck_timeout, options_.trickle_timeout);
  if (exchange.paused || time - exchange.window_began < window) {
    return std::nullopt;
  }
  const auto needed =
      kTrickleBytesPerSecond * static_cast<std::uint64_t>(std::max<std::int64_t>(window.count(), 1)) / 1000;
  if (!is_waiting && exchange.window_bytes >= needed) {
    enter(exchange, exchange.phase);
    return std::nullopt;
  }
  exchange.is_stuck = true;
  const std::string host(authority_of(exchange.request.url));
  const std::string span = std::to_string(window.count() / 1000) + " s";
  return Error{ErrorCode::Unavailable, is_waiting
                                           ? host + " has not answered within " + span
                                           : "the request to " + host + " moved " +
                                                 std::to_string(exchange.window_bytes) + " bytes in " + span};
}

milliseconds Loop::next_look() const {
  if (running_.empty()) {
    return milliseconds(std::chrono::hours(1));
  }
  const bool any_paused =
      std::any_of(running_.begin(), running_.end(), [](const Exchange* e) { return e->paused; });
  return any_paused ? kLimitTick : kTick;
}

class CurlClient final : public HttpClient {
 public:
  CurlClient(base::Executor& executor, const base::StopFlag* stop, HttpOptions options)
      : executor_(executor), loop_(executor, stop, std::move(options)) {}
  ~CurlClient() override {
    loop_.close();
    thread_.reset();
  }
  CurlClient(const CurlClient&) = delete;
  CurlClient& operator=(const CurlClient&) = delete;

  Result<> start() {
    FIRN_TRY(loop_.open());
    thread_ = executor_.spawn("http", [this] { loop_.run(); });
    return {};
  }

  HttpResult exchange(const HttpRequest& request) override {
    Exchange exchange(executor_, request);
    loop_.submit(exchange);
    exchange.finished.lock().wait([](bool finished) { return finished; });
    if (exchange.failure) {
      return tl::unexpected<HttpFailure>(*std::move(exchange.failure));
    }
    return std::move(exchange.response);
  }

 private:
  base::Executor& executor_;
  Loop loop_;
  std::unique_ptr<base::Task> thread_;
};

}  // namespace

std::string_view HttpResponse::header(std::string_view name) const {
  for (const HttpHeader& header : headers) {
    if (header.name == name) {
      return header.value;
    }
  }
  return {};
}

Result<std::unique_ptr<HttpClient>> HttpClient::open(base::Executor& executor, const base::StopFlag* stop,
                                                     HttpOptions options) {
  auto client = std::make_unique<CurlClient>(executor, stop, std::move(options));
  FIRN_TRY(client->start());
  return client;
}

Result<HttpResponse> HttpClient::perform(const HttpRequest& request) {
  auto result = exchange(request);
  if (!result) {
    return Failure(std::move(result).error().error);
  }
  return *std::move(result);
}

std::string_view authority_of(std::string_view url) {
  const auto scheme = url.find("://");
  url = scheme == std::string_view::npos ? url : url.substr(scheme + 3);
  url = url.substr(0, url.find_first_of("/?#"));
  const auto user = url.rfind('@');
  return user == std::string_view::npos ? url : url.substr(user + 1);
}

}  // namespace firn::store::s3
