#include "agent/kube/client.h"

#include <algorithm>

namespace firn::kube {
namespace {

using std::chrono::milliseconds;

constexpr int kTriesMax = 6;
constexpr int kConflictsMax = 10;
constexpr milliseconds kFirstPause{200};
constexpr milliseconds kPauseMax{10'000};
constexpr milliseconds kStopLookedAtEvery{200};
// Objects of a page: a page of large pods stays within some megabytes.
constexpr const char* kPageLimit = "100";
constexpr std::size_t kIdleConnectionsMax = 4;

bool is_busy(long status) { return status == 429 || (status >= 500 && status != 501 && status != 505); }

std::string path_of(const Resource& resource, const std::string& ns) {
  std::string path = resource.api;
  if (!ns.empty()) {
    path += "/namespaces/" + url_escaped(ns);
  }
  return path + "/" + resource.plural;
}

std::string path_of(const Place& place) {
  return path_of(place.resource, place.ns) + "/" + url_escaped(place.name) +
         (place.subresource.empty() ? "" : "/" + place.subresource);
}

std::string query_of(const Selection& selection) {
  std::string query;
  if (!selection.fields.empty()) {
    query += "&fieldSelector=" + url_escaped(selection.fields);
  }
  if (!selection.labels.empty()) {
    query += "&labelSelector=" + url_escaped(selection.labels);
  }
  return query;
}

ErrorCode code_of(long status, const std::string& reason) {
  switch (status) {
    case 401:
    case 403:
      return ErrorCode::Denied;
    case 404:
      return ErrorCode::NotFound;
    case 409:
      return reason == "AlreadyExists" ? ErrorCode::Exists : ErrorCode::Changed;
    case 410:
      return ErrorCode::Changed;
    default:
      return is_busy(status) ? ErrorCode::Unavailable : ErrorCode::Invalid;
  }
}

}  // namespace

Error error_of(const HttpResponse& response) {
  const auto status = parse_json(response.body);
  const std::string message = status ? text_of(member(*status, "message")) : "";
  const std::string reason = status ? text_of(member(*status, "reason")) : "";
  return Error{code_of(response.status, reason), "the API server answers " + std::to_string(response.status) +
                                                     (message.empty() ? "" : ": " + message)};
}

/// A connection for one call, given back when it is over.
class Client::Borrowed {
 public:
  Borrowed(Client& client, std::unique_ptr<Connection> connection)
      : client_(client), connection_(std::move(connection)) {}
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  ~Borrowed() {
    auto idle = client_.idle_.lock();
    if (idle->size() < kIdleConnectionsMax) {
      idle->push_back(std::move(connection_));
    }
  }
  Connection* operator->() { return connection_.get(); }

 private:
  Client& client_;
  std::unique_ptr<Connection> connection_;
};

Client::Client(base::Executor& executor, base::Rng& rng, const base::StopFlag& stop, ClusterConfig config)
    : executor_(executor), rng_(rng), stop_(stop), credentials_(std::move(config), executor.clock()) {}

Client::Borrowed Client::borrow() {
  std::unique_ptr<Connection> connection;
  {
    auto idle = idle_.lock();
    if (!idle->empty()) {
      connection = std::move(idle->back());
      idle->pop_back();
    }
  }
  if (!connection) {
    connection = std::make_unique<Connection>(stop_);
  }
  return {*this, std::move(connection)};
}

Result<> Client::pause(milliseconds duration) const {
  for (; duration > milliseconds(0); duration -= kStopLookedAtEvery) {
    FIRN_TRY(stop_.check());
    executor_.sleep_for(std::min(duration, kStopLookedAtEvery));
  }
  return stop_.check();
}

milliseconds Client::jittered(milliseconds duration) const {
  const auto byte = std::to_integer<int>(rng_.bytes<1>()[0]);
  return duration / 2 + duration * byte / 512;
}

Result<HttpRequest> Client::prepare(const Call& call, bool refused) {
  FIRN_LET(const Credential credential, in("credentials of the API server", credentials_.get(refused)));
  HttpRequest request;
  request.tls = credential.tls;
  request.method = call.method;
  request.url = credentials_.server() + call.path;
  request.headers = {"Accept: application/json", "User-Agent: firn/" FIRN_VERSION, "Expect:"};
  if (!credential.token.empty()) {
    request.headers.push_back("Authorization: Bearer " + credential.token);
  }
  if (!call.body.empty()) {
    request.headers.push_back(std::string("Content-Type: ") + call.content_type);
    request.body = call.body;
  }
  return request;
}

Result<HttpResponse> Client::send_once(const Call& call) {
  auto connection = borrow();
  FIRN_LET(const HttpRequest request, prepare(call, false));
  FIRN_LET(HttpResponse response, connection->send(request));
  if (response.status != 401) {
    return response;
  }
  FIRN_LET(const HttpRequest renewed, prepare(call, true));
  return connection->send(renewed);
}

Result<HttpResponse> Client::send(const Call& call) {
  milliseconds delay = kFirstPause;
  for (int tries = 1;; ++tries) {
    auto response = send_once(call);
    const bool busy = response && is_busy(response->status);
    const bool lost = !response && response.error().code == ErrorCode::Unavailable;
    // 429 says that nothing was done.
    const bool again =
        (busy && (call.again_when_lost || response->status == 429)) || (lost && call.again_when_lost);
    if (!again || tries == kTriesMax) {
      return response;
    }
    const auto asked = busy ? response->retry_after : std::nullopt;
    FIRN_TRY(pause(asked ? milliseconds(*asked) : jittered(delay)));
    delay = std::min(delay * 2, kPauseMax);
  }
}

Result<Json> Client::send_for_object(const Call& call) {
  FIRN_LET(const HttpResponse response, send(call));
  if (response.status < 200 || response.status > 299) {
    return Failure(error_of(response));
  }
  return parse_json(response.body);
}

Result<Json> Client::get(const Place& place) { return send_for_object({.path = path_of(place), .body = {}}); }

Result<std::string> Client::list(const Selection& selection,
                                 const std::function<Result<>(const Json&)>& visit) {
  const std::string path =
      path_of(selection.resource, selection.ns) + "?limit=" + kPageLimit + query_of(selection);
  std::string next;
  do {
    FIRN_LET(const HttpResponse response,
             send({.path = path + (next.empty() ? "" : "&continue=" + url_escaped(next)), .body = {}}));
    if (response.status != 200) {
      return Failure(error_of(response));
    }
    FIRN_LET(const ListMeta meta, visit_items(response.body, visit));
    next = meta.next;
    if (next.empty()) {
      return meta.resource_version;
    }
  } while (true);
}

Result<Json> Client::patch(const Place& place, const Json& patch) {
  return send_for_object({.method = "PATCH",
                          .path = path_of(place),
                          .body = to_text(patch),
                          .content_type = "application/merge-patch+json"});
}

Result<Json> Client::create(const Place& place, const Json& object) {
  return send_for_object({.method = "POST",
                          .path = path_of(place.resource, place.ns),
                          .body = to_text(object),
                          .again_when_lost = !place.name.empty()});
}

Result<Json> Client::update(const Place& place, const Json& object) {
  return send_for_object({.method = "PUT", .path = path_of(place), .body = to_text(object)});
}

Result<Json> Client::change(const Place& place, const std::function<Result<bool>(Json&)>& change) {
  for (int tries = 1;; ++tries) {
    FIRN_LET(Json object, get({place.resource, place.ns, place.name, {}}));
    FIRN_LET(const bool changed, change(object));
    if (!changed) {
      return object;
    }
    auto updated = update(place, object);
    if (updated || updated.error().code != ErrorCode::Changed || tries == kConflictsMax) {
      return updated;
    }
    FIRN_TRY(pause(jittered(kFirstPause * tries)));
  }
}

Result<> Client::remove(const Place& place, const std::string& uid) {
  // A Job's default would leave its pods behind.
  Json body = {{"propagationPolicy", "Background"}};
  if (!uid.empty()) {
    body["preconditions"] = {{"uid", uid}};
  }
  const auto removed = send_for_object({.method = "DELETE", .path = path_of(place), .body = to_text(body)});
  if (!removed && removed.error().code != ErrorCode::NotFound) {
    return Failure(removed.error());
  }
  return {};
}

Result<HttpResponse> Client::watch(const Selection& selection, const std::string& parameters,
                                   const std::function<Result<>(std::string_view)>& visit) {
  const Call call{.path = path_of(selection.resource, selection.ns) + "?watch=1&allowWatchBookmarks=true" +
                          query_of(selection) + parameters,
                  .body = {}};
  auto connection = borrow();
  for (const bool refused : {false, true}) {
    FIRN_LET(HttpRequest request, prepare(call, refused));
    request.time_limit = milliseconds(0);
    FIRN_LET(HttpResponse response, connection->stream(request, visit));
    if (response.status != 401 || refused) {
      return response;
    }
  }
  return fail(ErrorCode::Denied, "the API server refuses the credentials");
}

}  // namespace firn::kube
