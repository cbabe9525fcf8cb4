#include "repo/store/s3/credential_fetchers.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "repo/base/files.h"
#include "repo/base/monitor.h"
#include "repo/store/s3/credential_fields.h"
#include "repo/store/s3/credential_process.h"
#include "repo/store/s3/percent.h"
#include "repo/store/s3/sigv4.h"
#include "repo/store/s3/times.h"

namespace firn::store::s3 {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::size_t kTokenBytesMax = 64 << 10;
constexpr std::size_t kAnswerBytesMax = 256 << 10;
constexpr milliseconds kNearTimeMax = seconds(5);  // what lies on this machine or beside it
constexpr milliseconds kStsTimeMax = seconds(30);
constexpr milliseconds kProcessTimeMax = minutes(1);

// Keeping what was given.

class Refreshed final : public CredentialSource {
 public:
  Refreshed(std::unique_ptr<Fetcher> fetcher, base::Executor& executor)
      : fetcher_(std::move(fetcher)), executor_(executor), fetching_(executor) {}

  Result<SharedCredentials> get() override {
    if (SharedCredentials fresh = current_if(&Kept::is_fresh)) {
      return fresh;
    }
    const base::TaskLock::Hold hold(fetching_);
    if (SharedCredentials fresh = current_if(&Kept::is_fresh)) {
      return fresh;  // somebody else fetched them meanwhile
    }
    auto fetched = fetcher_->fetch();
    if (!fetched) {
      return old_ones_after(std::move(fetched).error());
    }
    return keep(*std::move(fetched));
  }

  void reject(const Credentials& refused) override {
    auto kept = kept_.lock();
    if (kept->credentials != nullptr && kept->credentials->access_key_id == refused.access_key_id) {
      kept->credentials = nullptr;
    }
  }

  std::string describe() const override { return fetcher_->describe(); }

 private:
  struct Kept {
    SharedCredentials credentials;  // shared with the requests that are being signed
    std::optional<base::SteadyTime> refresh_at;
    std::optional<base::SteadyTime> good_until;
    bool is_fresh(base::SteadyTime now) const { return !refresh_at || now < *refresh_at; }
    bool is_good(base::SteadyTime now) const { return !good_until || now < *good_until; }
  };

  SharedCredentials current_if(bool (Kept::*holds)(base::SteadyTime) const) {
    const base::SteadyTime now = executor_.clock().steady();
    auto kept = kept_.lock();
    return kept->credentials != nullptr && ((*kept).*holds)(now) ? kept->credentials : nullptr;
  }

  Result<SharedCredentials> old_ones_after(Error error) {
    SharedCredentials old = error.code == ErrorCode::Unavailable ? current_if(&Kept::is_good) : nullptr;
    if (old == nullptr) {
      return Failure(std::move(error).in(fetcher_->describe()));
    }
    // Not before each request, while the giver is away.
    kept_.lock()->refresh_at = executor_.clock().steady() + seconds(30);
    return old;
  }

  Result<SharedCredentials> keep(FetchedCredentials fetched) {
    Kept fresh;
    if (fetched.credentials.expires) {
      const base::WallTime given = fetched.given.value_or(executor_.clock().wall());
      const nanoseconds life(fetched.credentials.expires->nanoseconds - given.nanoseconds);
      if (life <= nanoseconds(0)) {
        return fail(ErrorCode::Denied, fetcher_->describe() + ": what was given has expired already");
      }
      const base::SteadyTime now = executor_.clock().steady();
      fresh.good_until = now + life;
      fresh.refresh_at = now + (life - std::min<nanoseconds>(minutes(5), life / 4));
    }
    fresh.credentials = std::make_shared<const Credentials>(std::move(fetched.credentials));
    SharedCredentials result = fresh.credentials;
    *kept_.lock() = std::move(fresh);
    return result;
  }

  const std::unique_ptr<Fetcher> fetcher_;
  base::Executor& executor_;
  base::TaskLock fetching_;
  base::Guarded<Kept> kept_;
};

// Asking over HTTP.

/// A client that is opened when it is first needed: most runs need none.
class LazyHttp {
 public:
  LazyHttp(const ChainSeams& seams, bool use_proxy) : open_(seams.open_http), use_proxy_(use_proxy) {}
  Result<HttpResponse> perform(const HttpRequest& request) {
    if (client_ == nullptr) {
      FIRN_LET(client_, open_(use_proxy_));
    }
    return client_->perform(request);
  }

 private:
  const std::function<Result<std::unique_ptr<HttpClient>>(bool)> open_;
  const bool use_proxy_;
  std::unique_ptr<HttpClient> client_;
};

/// A secret on one line of a file, without the line's end.
Result<WipedText> read_token(const std::string& path, std::string_view what) {
  auto bytes = base::read_file(path, kTokenBytesMax);
  if (!bytes) {
    return Failure(std::move(bytes).error().in(what));
  }
  std::string_view text = as_text(*bytes);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) {
    text.remove_suffix(1);
  }
  WipedText token(text);
  crypto::wipe(*bytes);
  if (token.empty()) {
    return fail(ErrorCode::Invalid, std::string(what) + ": " + path + " is empty");
  }
  if (token.view().find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) {
    return fail(ErrorCode::Invalid, std::string(what) + ": " + path + " has more than one line");
  }
  return token;
}

Error refused(int status, std::string said) {
  const bool later = status >= 500 || status == 429;
  return {later ? ErrorCode::Unavailable : ErrorCode::Denied,
          "it answered " + std::to_string(status) + (said.empty() ? "" : " (" + said + ")")};
}

FetchedCredentials with_date(Credentials credentials, const HttpResponse& response) {
  return {std::move(credentials), parse_http_date(response.header("date"))};
}

/// Credentials in a JSON answer. The answer is wiped.
Result<FetchedCredentials> read_json_answer(HttpResponse& response) {
  if (response.status != 200) {
    // Its text is not ours to show: an endpoint may echo what it was sent.
    crypto::wipe(response.body);
    return Failure(refused(response.status, {}));
  }
  auto credentials = credentials_of_json(as_text(response.body), "Token");
  crypto::wipe(response.body);
  if (!credentials) {
    return Failure(std::move(credentials).error());
  }
  return with_date(*std::move(credentials), response);
}

Result<FetchedCredentials> read_sts_answer(HttpResponse& response, std::string_view action) {
  if (response.status != 200) {
    return Failure(refused(response.status, error_of_sts(std::move(response.body))));
  }
  FIRN_LET(Credentials credentials, credentials_of_sts(std::move(response.body), action));
  return with_date(std::move(credentials), response);
}

/// A form's body, without the parameters that are not set.
std::string form(const RoleRequest& role, std::string_view action) {
  std::string body = "Action=" + std::string(action) + "&Version=2011-06-15";
  const std::array<std::pair<std::string_view, const std::string*>, 4> fields = {
      std::pair{"RoleArn", &role.role_arn}, std::pair{"RoleSessionName", &role.session_name},
      std::pair{"ExternalId", &role.external_id}, std::pair{"DurationSeconds", &role.duration_seconds}};
  for (const auto& [name, value] : fields) {
    if (!value->empty()) {
      body += "&" + std::string(name) + "=" + percent_encode(*value, Slash::Encode);
    }
  }
  return body;
}

const HttpHeader kFormType{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"};

class WebIdentity final : public Fetcher {
 public:
  WebIdentity(RoleRequest role, std::string token_file, const ChainSeams& seams)
      : role_(std::move(role)), token_file_(std::move(token_file)), http_(seams, true) {}

  Result<FetchedCredentials> fetch() override {
    constexpr std::string_view kAction = "AssumeRoleWithWebIdentity";
    FIRN_LET(const WipedText token, read_token(token_file_, "the web identity token"));
    // A token has no bytes that need encoding but for "=", "+" and "/".
    std::string encoded = percent_encode(token.view(), Slash::Encode);
    std::string plain = form(role_, kAction) + "&WebIdentityToken=";
    plain.reserve(plain.size() + encoded.size());
    plain += encoded;
    crypto::wipe(std::as_writable_bytes(std::span(encoded)));
    const WipedText body(plain);
    crypto::wipe(std::as_writable_bytes(std::span(plain)));
    FIRN_LET(HttpResponse response, http_.perform({.method = "POST",
                                                   .url = role_.sts_url,
                                                   .headers = {kFormType},
                                                   .body = as_bytes(body.view()),
                                                   .answer_bytes_max = kAnswerBytesMax,
                                                   .time_max = kStsTimeMax}));
    return read_sts_answer(response, kAction);
  }
  std::string describe() const override {
    return "the role " + role_.role_arn + " at " + std::string(authority_of(role_.sts_url)) +
           " with the token " + token_file_;
  }

 private:
  const RoleRequest role_;
  const std::string token_file_;
  LazyHttp http_;
};

class AssumeRole final : public Fetcher {
 public:
  AssumeRole(RoleRequest role, std::unique_ptr<CredentialSource> source, const ChainSeams& seams)
      : role_(std::move(role)),
        source_(std::move(source)),
        clock_(seams.executor.clock()),
        http_(seams, true) {}

  Result<FetchedCredentials> fetch() override {
    constexpr std::string_view kAction = "AssumeRole";
    const std::string body = form(role_, kAction);
    FIRN_LET(const SharedCredentials own, source_->get());
    const std::string host(authority_of(role_.sts_url));
    const auto begin = role_.sts_url.find("://") + 3 + host.size();
    std::vector<HttpHeader> headers =
        signed_headers({.method = "POST",
                        .host = host,
                        .path = std::string_view(role_.sts_url).substr(begin),
                        .query = {},
                        .headers = {kFormType},
                        .payload_hash = payload_hash(as_bytes(body))},
                       {.region = role_.sts_region, .service = "sts"}, clock_.wall(), *own);
    auto answer = http_.perform({.method = "POST",
                                 .url = role_.sts_url,
                                 .headers = std::move(headers),
                                 .body = as_bytes(body),
                                 .answer_bytes_max = kAnswerBytesMax,
                                 .time_max = kStsTimeMax});
    if (!answer) {
      return Failure(std::move(answer).error());
    }
    if (answer->status == 403) {
      source_->reject(*own);  // it may have been the older credentials that were refused
    }
    return read_sts_answer(*answer, kAction);
  }
  std::string describe() const override {
    return "the role " + role_.role_arn + " at " + std::string(authority_of(role_.sts_url)) +
           ", taken with " + source_->describe();
  }

 private:
  const RoleRequest role_;
  const std::unique_ptr<CredentialSource> source_;
  const base::Clock& clock_;
  LazyHttp http_;
};

// On this machine.

/// Whether `url` is one that a secret may be sent to: https, or this machine's own addresses.
bool is_trusted_endpoint(std::string_view url) {
  if (url.starts_with("https://")) {
    return true;
  }
  if (!url.starts_with("http://")) {
    return false;
  }
  const std::string_view rest = url.substr(7);
  const std::string_view place = rest.substr(0, rest.find_first_of("/?#"));
  if (place.find('@') != std::string_view::npos || place.empty()) {
    return false;
  }
  std::string host(place.substr(0, place.rfind(':')));
  if (place.front() == '[') {
    const auto closing = place.find(']');
    host = std::string(place.substr(1, closing == std::string_view::npos ? closing : closing - 1));
  }
  in6_addr six{};
  in_addr four{};
  if (::inet_pton(AF_INET6, host.c_str(), &six) == 1) {
    in6_addr pod_identity{};
    ::inet_pton(AF_INET6, "fd00:ec2::23", &pod_identity);
    return IN6_IS_ADDR_LOOPBACK(&six) || IN6_ARE_ADDR_EQUAL(&six, &pod_identity);
  }
  if (::inet_pton(AF_INET, host.c_str(), &four) == 1) {
    const std::uint32_t address = ntohl(four.s_addr);
    return (address >> 24) == 127 || (address >> 16) == 0xa9fe;  // 169.254.0.0/16
  }
  return host == "localhost";
}

class Container final : public Fetcher {
 public:
  Container(ContainerEndpoint endpoint, const ChainSeams& seams)
      : endpoint_(std::move(endpoint)), http_(seams, false) {}

  Result<FetchedCredentials> fetch() override {
    HttpRequest request{.url = endpoint_.url, .answer_bytes_max = kAnswerBytesMax, .time_max = kNearTimeMax};
    if (!endpoint_.token_file.empty()) {
      FIRN_LET(const WipedText token,
               read_token(endpoint_.token_file, "the container's authorization token"));
      request.headers.push_back({"Authorization", std::string(token.view())});
    } else if (!endpoint_.token.empty()) {
      request.headers.push_back({"Authorization", std::string(endpoint_.token.view())});
    }
    auto response = http_.perform(request);
    for (HttpHeader& header : request.headers) {
      crypto::wipe(std::as_writable_bytes(std::span(header.value)));
    }
    if (!response) {
      return Failure(std::move(response).error());
    }
    return read_json_answer(*response);
  }
  std::string describe() const override {
    return "the container's endpoint " + std::string(authority_of(endpoint_.url));
  }

 private:
  const ContainerEndpoint endpoint_;
  LazyHttp http_;
};

class Instance final : public Fetcher {
 public:
  Instance(std::string endpoint, const ChainSeams& seams)
      : endpoint_(std::move(endpoint)), http_(seams, false) {}

  Result<FetchedCredentials> fetch() override {
    FIRN_LET(HttpResponse given,
             ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds", "300"}));
    const WipedText token(as_text(given.body));
    crypto::wipe(given.body);
    const HttpHeader proof{"X-aws-ec2-metadata-token", std::string(token.view())};
    const std::string roles = "/latest/meta-data/iam/security-credentials/";
    FIRN_LET(const HttpResponse named, ask("GET", roles, proof));
    const std::string_view role = as_text(named.body).substr(0, as_text(named.body).find_first_of("\r\n"));
    if (role.empty()) {
      return fail(ErrorCode::Denied, "the instance has no role");
    }
    FIRN_LET(HttpResponse answer, ask("GET", roles + percent_encode(role, Slash::Encode), proof));
    return read_json_answer(answer);
  }
  std::string describe() const override {
    return "the instance's metadata at " + std::string(authority_of(endpoint_));
  }

 private:
  Result<HttpResponse> ask(std::string method, const std::string& path, const HttpHeader& header) {
    FIRN_LET(HttpResponse response, http_.perform({.method = std::move(method),
                                                   .url = endpoint_ + path,
                                                   .headers = {header},
                                                   .answer_bytes_max = kAnswerBytesMax,
                                                   .time_max = kNearTimeMax}));
    if (response.status == 404) {
      return fail(ErrorCode::Denied, "the instance has no role (404)");
    }
    if (response.status != 200) {
      return Failure(refused(response.status, {}));
    }
    return response;
  }

  const std::string endpoint_;
  LazyHttp http_;
};

class Process final : public Fetcher {
 public:
  Process(std::string command, std::string profile, const ChainSeams& seams)
      : command_(std::move(command)), profile_(std::move(profile)), seams_(seams) {}

  Result<FetchedCredentials> fetch() override {
    FIRN_LET(const WipedText output, run_credential_process(command_, {.clock = seams_.executor.clock(),
                                                                       .stop = seams_.stop,
                                                                       .time_max = kProcessTimeMax,
                                                                       .output_bytes_max = kTokenBytesMax}));
    FIRN_LET(Credentials credentials, credentials_of_json(output.view(), "SessionToken"));
    return FetchedCredentials{std::move(credentials), std::nullopt};
  }
  std::string describe() const override {
    return "the credential_process of the profile \"" + profile_ + "\"";
  }

 private:
  const std::string command_;
  const std::string profile_;
  const ChainSeams seams_;
};

}  // namespace

std::unique_ptr<CredentialSource> refreshed(std::unique_ptr<Fetcher> fetcher, base::Executor& executor) {
  return std::make_unique<Refreshed>(std::move(fetcher), executor);
}

std::unique_ptr<Fetcher> web_identity_fetcher(RoleRequest role, std::string token_file,
                                              const ChainSeams& seams) {
  return std::make_unique<WebIdentity>(std::move(role), std::move(token_file), seams);
}

std::unique_ptr<Fetcher> assume_role_fetcher(RoleRequest role, std::unique_ptr<CredentialSource> source,
                                             const ChainSeams& seams) {
  return std::make_unique<AssumeRole>(std::move(role), std::move(source), seams);
}

Result<std::unique_ptr<Fetcher>> container_fetcher(ContainerEndpoint endpoint, const ChainSeams& seams) {
  if (!is_trusted_endpoint(endpoint.url)) {
    return fail(ErrorCode::Invalid,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to this machine's own addresses "
                "(127.0.0.0/8, [::1], 169.254.0.0/16, [fd00:ec2::23]): a token would be sent there in clear");
  }
  return std::make_unique<Container>(std::move(endpoint), seams);
}

std::unique_ptr<Fetcher> instance_fetcher(std::string endpoint, const ChainSeams& seams) {
  return std::make_unique<Instance>(std::move(endpoint), seams);
}

std::unique_ptr<Fetcher> process_fetcher(std::string command, std::string profile, const ChainSeams& seams) {
  return std::make_unique<Process>(std::move(command), std::move(profile), seams);
}

}  // namespace firn::store::s3
