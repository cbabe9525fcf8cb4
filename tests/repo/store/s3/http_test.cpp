// HTTP over a loopback server that does what servers should not.
#include "repo/store/s3/http.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "repo/base/rng.h"
#include "repo/store/s3/http_errors.h"
#include "tests/repo/store/s3/loopback_server.h"

namespace firn::store::s3 {
namespace {

using std::chrono::milliseconds;

class HttpTest : public testing::Test {
 protected:
  std::unique_ptr<HttpClient> client(HttpOptions options = {}) {
    options.use_proxy = false;
    auto opened = HttpClient::open(executor_, &stop_, options);
    EXPECT_TRUE(opened.has_value());
    return *std::move(opened);
  }

  base::ThreadExecutor executor_{2};
  base::StopFlag stop_;
};

TEST_F(HttpTest, SendsMethodHeadersAndBody) {
  LoopbackServer server([](const ServedRequest&) { return reply(201, "made", "X-Thing: One \r\n"); });
  const auto http = client();
  Bytes body(3'000'000);
  base::SeededRng(1).fill(body);
  for (const char* method : {"PUT", "POST"}) {
    const auto response = http->perform(
        {.method = method, .url = server.url() + "/a/b?c=d", .headers = {{"X-Own", "1"}}, .body = body});
    ASSERT_TRUE(response.has_value()) << response.error().message;
    EXPECT_EQ(response->status, 201);
    EXPECT_EQ(response->header("x-thing"), "One");
    EXPECT_EQ(as_text(response->body), "made");
  }
  for (const ServedRequest& request : server.requests()) {
    EXPECT_TRUE(request.has(" /a/b?c=d HTTP/1.1\r\n")) << request.head;
    EXPECT_EQ(request.header("X-Own"), "1");
    EXPECT_EQ(request.header("Expect"), "");
    EXPECT_TRUE(request.body == as_text(body));
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(HttpTest, AsksWithoutABody) {
  LoopbackServer server([](const ServedRequest& request) {
    return request.has("HEAD ") ? Reply{.bytes = "HTTP/1.1 200 X\r\nContent-Length: 77\r\n\r\n"} : reply(204);
  });
  const auto http = client();
  for (const char* method : {"GET", "DELETE", "HEAD", "PUT"}) {
    const auto response = http->perform({.method = method, .url = server.url() + "/x"});
    ASSERT_TRUE(response.has_value()) << response.error().message;
    EXPECT_TRUE(server.requests().back().has(std::string(method) + " /x HTTP/1.1\r\n"));
  }
  EXPECT_EQ(server.requests().back().header("Content-Length"), "0");
}

TEST_F(HttpTest, BoundsWhatItKeeps) {
  LoopbackServer server([](const ServedRequest& request) {
    return request.has("/good") ? reply(200, std::string(2000, 'x')) : reply(500, std::string(70'000, 'x'));
  });
  const auto http = client();
  EXPECT_EQ(http->perform({.url = server.url() + "/good", .answer_bytes_max = 2000})->body.size(), 2000U);
  EXPECT_EQ(http->perform({.url = server.url() + "/good", .answer_bytes_max = 1999}).error().code,
            ErrorCode::Corrupt);
  EXPECT_EQ(http->perform({.url = server.url() + "/bad", .answer_bytes_max = 10})->body.size(), 65536U);
}

struct Collector final : BodySink {
  Result<> take(const HttpResponse& head, ByteView bytes) override {
    status = head.status;
    text += as_text(bytes);
    if (text.size() > 100) {
      return fail(ErrorCode::Changed, "enough");
    }
    return {};
  }
  int status = 0;
  std::string text;
};

TEST_F(HttpTest, GivesASinkTheBodiesOfGoodAnswersOnly) {
  LoopbackServer server([](const ServedRequest& request) {
    return request.has("/good") ? reply(206, "body")
                                : reply(request.has("/long") ? 200 : 404, std::string(200, 'x'));
  });
  const auto http = client();
  Collector good;
  EXPECT_TRUE(http->perform({.url = server.url() + "/good", .sink = &good})->body.empty());
  EXPECT_EQ(good.status, 206);
  EXPECT_EQ(good.text, "body");
  Collector bad;
  EXPECT_EQ(http->perform({.url = server.url() + "/bad", .sink = &bad})->body.size(), 200U);
  EXPECT_EQ(bad.text, "");
  Collector longer;
  EXPECT_EQ(http->perform({.url = server.url() + "/long", .sink = &longer}).error().code, ErrorCode::Changed);
}

TEST_F(HttpTest, TellsWhetherTheServerMayHaveSeenARequest) {
  struct Case {
    const char* what;
    Reply reply;
  };
  const Case cases[] = {
      {"closed without an answer", {.bytes = "", .close = true}},
      {"closed in its headers", {.bytes = "HTTP/1.1 200 X\r\nContent-", .close = true}},
      {"closed in its body", {.bytes = "HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\nabc", .close = true}},
      {"not HTTP", {.bytes = "\x15\x03\x01\x00\x02\x02\x46 garbage\r\n\r\n", .close = true}},
      {"endless headers", {.bytes = "HTTP/1.1 200 X\r\n" + std::string(80'000, 'x'), .close = true}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    LoopbackServer server([&](const ServedRequest&) { return c.reply; });
    const auto result = client()->exchange({.method = "PUT", .url = server.url(), .body = as_bytes("x")});
    ASSERT_FALSE(result.has_value());
    EXPECT_TRUE(result.error().maybe_sent);
    EXPECT_TRUE(result.error().error.message.find("127.0.0.1:") != std::string::npos ||
                result.error().error.message.find("headers") != std::string::npos)
        << result.error().error.message;
  }
  std::string url;
  {
    LoopbackServer gone([](const ServedRequest&) { return reply(200); });
    url = gone.url();
  }
  for (const std::string& unreachable : {url, std::string("http://no-such-host.invalid/")}) {
    const auto result = client()->exchange({.method = "PUT", .url = unreachable, .body = as_bytes("x")});
    ASSERT_FALSE(result.has_value());
    EXPECT_FALSE(result.error().maybe_sent);
    EXPECT_EQ(result.error().error.code, ErrorCode::Unavailable);
  }
}

TEST_F(HttpTest, EndsWhatDoesNotMove) {
  LoopbackServer server([](const ServedRequest& request) {
    return Reply{.bytes = request.has("/mute") ? "" : "HTTP/1.1 200 X\r\nContent-Length: 5000\r\n\r\nabc",
                 .never_again = true};
  });
  const auto http = client({.stuck_timeout = milliseconds(1100), .trickle_timeout = milliseconds(1000)});
  for (const char* path : {"/mute", "/trickle"}) {
    const auto result = http->exchange({.url = server.url() + path});
    ASSERT_FALSE(result.has_value());
    EXPECT_TRUE(result.error().stuck);
    EXPECT_EQ(result.error().error.code, ErrorCode::Unavailable);
    EXPECT_NE(result.error().error.message.find("1 s"), std::string::npos) << result.error().error.message;
  }
  EXPECT_FALSE(http->perform({.url = server.url() + "/mute", .time_max = milliseconds(50)}).has_value());
}

TEST_F(HttpTest, EndsWaitingOnStopAfterItsGrace) {
  LoopbackServer server([](const ServedRequest&) { return Reply{.bytes = "", .never_again = true}; });
  const auto http = client({.stop_grace = milliseconds(100)});
  const auto waiting = executor_.spawn("request", [&] {
    const auto result = http->perform({.url = server.url()});
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::Cancelled);
  });
  stop_.request();
  waiting->join();
}

TEST_F(HttpTest, HasManyRequestsInFlight) {
  constexpr std::size_t kCount = 32;
  LoopbackServer server([](const ServedRequest&) { return reply(200, "x"); }, kCount);
  const auto http = client();
  std::vector<std::unique_ptr<base::Task>> tasks;
  for (std::size_t i = 0; i < kCount; ++i) {
    tasks.push_back(
        executor_.spawn("request", [&] { EXPECT_TRUE(http->perform({.url = server.url()}).has_value()); }));
  }
  tasks.clear();
  EXPECT_EQ(server.requests().size(), kCount);
}

TEST_F(HttpTest, AsksTheProxyOfTheEnvironmentUnlessToldNotTo) {
  LoopbackServer proxy([](const ServedRequest&) { return reply(200, "from the proxy"); });
  ASSERT_EQ(::setenv("http_proxy", proxy.url().c_str(), 1), 0);
  auto through = HttpClient::open(executor_, nullptr, {});
  const auto answer = (*through)->perform({.url = "http://no-such-host.invalid/x"});
  const auto direct = client()->perform({.url = "http://no-such-host.invalid/x"});
  ASSERT_EQ(::unsetenv("http_proxy"), 0);
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(as_text(answer->body), "from the proxy");
  EXPECT_TRUE(proxy.requests().at(0).has("GET http://no-such-host.invalid/x HTTP/1.1"));
  EXPECT_FALSE(direct.has_value());
  EXPECT_EQ(proxy.requests().size(), 1U);
}

TEST_F(HttpTest, KeepsToItsLimits) {
  LoopbackServer server([](const ServedRequest& request) {
    return reply(200, request.has("GET ") ? std::string(600'000, 'x') : std::string());
  });
  const auto http =
      client({.upload_bytes_per_second_max = 1'000'000, .download_bytes_per_second_max = 1'000'000});
  const Bytes body(600'000);
  for (const char* method : {"PUT", "GET"}) {
    const auto began = executor_.clock().steady();
    const bool sends = method == std::string_view("PUT");
    ASSERT_TRUE(
        http->perform({.method = method, .url = server.url(), .body = sends ? ByteView(body) : ByteView()}));
    // One buffer of debt is given: 256 KiB of 600,000 bytes may go at once.
    EXPECT_GE(executor_.clock().steady() - began, milliseconds(200)) << method;
  }
}

TEST(HttpErrors, SayWhatToDo) {
  struct Case {
    CURLcode code;
    const char* detail;
    const char* url;
    ErrorCode is;
    const char* says;
  };
  const Case cases[] = {
      {CURLE_COULDNT_RESOLVE_HOST, "", "https://h/", ErrorCode::Unavailable, "has no address"},
      {CURLE_COULDNT_CONNECT, "refused", "https://h/", ErrorCode::Unavailable, "cannot be reached: refused"},
      {CURLE_OPERATION_TIMEDOUT, "", "https://h/", ErrorCode::Unavailable, "does not answer"},
      {CURLE_SSL_CONNECT_ERROR, "error:0A00010B:SSL routines::wrong version number", "https://h/",
       ErrorCode::Invalid, "write http://"},
      {CURLE_GOT_NOTHING, "", "http://h/", ErrorCode::Unavailable, "write https://"},
      {CURLE_UNSUPPORTED_PROTOCOL, "Received HTTP/0.9 when not allowed", "http://h/", ErrorCode::Invalid,
       "write https://"},
      {CURLE_PEER_FAILED_VERIFICATION, "SSL certificate problem: self-signed certificate", "https://h/",
       ErrorCode::Denied, "is signed by itself"},
      {CURLE_PEER_FAILED_VERIFICATION,
       "SSL: no alternative certificate subject name matches target host name 'h'", "https://h/",
       ErrorCode::Denied, "is for another name"},
      {CURLE_PEER_FAILED_VERIFICATION, "SSL certificate problem: certificate has expired", "https://h/",
       ErrorCode::Denied, "is not valid now"},
      {CURLE_PEER_FAILED_VERIFICATION, "unable to get local issuer certificate", "https://h/",
       ErrorCode::Denied, "is not trusted"},
      {CURLE_SSL_CACERT_BADFILE, "", "https://h/", ErrorCode::Invalid, "--cacert"},
      {CURLE_SSL_CERTPROBLEM, "", "https://h/", ErrorCode::Invalid, "--tls-client-cert"},
      {CURLE_RECV_ERROR, "OpenSSL SSL_read: tlsv13 alert certificate required", "https://h/",
       ErrorCode::Denied, "--tls-client-cert"},
      {CURLE_RECV_ERROR, "Connection reset by peer", "https://h/", ErrorCode::Unavailable, "reset"},
  };
  for (const Case& c : cases) {
    const Error error = error_of_curl(c.code, c.detail, c.url);
    EXPECT_EQ(error.code, c.is) << error.message;
    EXPECT_NE(error.message.find(c.says), std::string::npos) << error.message;
  }
}

TEST(HttpUrl, ShowsNothingButTheAuthority) {
  EXPECT_EQ(authority_of("http://user:password@[::1]:9000/a?b#c"), "[::1]:9000");
  EXPECT_EQ(authority_of("https://host"), "host");
  EXPECT_EQ(authority_of("https://host?x=y@z"), "host");
}

}  // namespace
}  // namespace firn::store::s3
