// The Kubernetes API: get, list in pages, patch, create, update, delete, and watch streams.
//
// Promise: an answer is an object of the API, or an Error whose code says what to do. Reads and idempotent
// writes are tried again while the server is busy or away; memory is one page. Not here: what objects mean
// (objects.h), following changes (watch.h). Threads: any; each call uses a connection of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/kube/config.h"
#include "agent/kube/http.h"
#include "agent/kube/json.h"
#include "repo/base/executor.h"
#include "repo/base/monitor.h"
#include "repo/base/rng.h"
#include "repo/base/stop.h"

namespace firn::kube {

/// A kind of object, as its path is written.
struct Resource {
  const char* api = "";     // "/api/v1", "/apis/backup.firn.io/v1alpha1"
  const char* plural = "";  // "pods"
};
inline constexpr Resource kPods{"/api/v1", "pods"};
inline constexpr Resource kNamespaces{"/api/v1", "namespaces"};
inline constexpr Resource kNodes{"/api/v1", "nodes"};
inline constexpr Resource kClaims{"/api/v1", "persistentvolumeclaims"};
inline constexpr Resource kVolumes{"/api/v1", "persistentvolumes"};
inline constexpr Resource kEvents{"/api/v1", "events"};
inline constexpr Resource kLeases{"/apis/coordination.k8s.io/v1", "leases"};
inline constexpr Resource kJobs{"/apis/batch/v1", "jobs"};
inline constexpr Resource kBackups{"/apis/backup.firn.io/v1alpha1", "podvolumebackups"};
inline constexpr Resource kRestores{"/apis/backup.firn.io/v1alpha1", "podvolumerestores"};
inline constexpr Resource kRepositories{"/apis/backup.firn.io/v1alpha1", "repositories"};
inline constexpr Resource kPolicies{"/apis/backup.firn.io/v1alpha1", "backuppolicies"};

/// One object: `ns` is empty for a kind without namespaces; `subresource` may be "status".
struct Place {
  Resource resource;
  std::string ns;
  std::string name;
  std::string subresource;
};

/// Which objects; empty means all.
struct Selection {
  Resource resource;
  std::string ns;
  std::string fields;  // "spec.nodeName=n1"
  std::string labels;  // "app=db"
};

class Client {
 public:
  Client(base::Executor& executor, base::Rng& rng, const base::StopFlag& stop, ClusterConfig config);

  /// Errors of every call: NotFound, Denied (401, 403), Exists (it is there already), Changed (a conflict, or
  /// the version asked for is too old), Invalid (the server refuses what it was given), Unavailable,
  /// Corrupt, Cancelled.
  Result<Json> get(const Place& place);
  /// Visits what is selected, page by page; gives the list's resourceVersion. Changed: the pages expired
  /// under us; begin again.
  Result<std::string> list(const Selection& selection, const std::function<Result<>(const Json&)>& visit);
  /// A JSON merge patch. With a resourceVersion in it, a conflict is Changed.
  Result<Json> patch(const Place& place, const Json& patch);
  Result<Json> create(const Place& place, const Json& object);
  /// Puts the whole object back; its resourceVersion guards it.
  Result<Json> update(const Place& place, const Json& object);
  /// Gets the object, lets `change` alter it and puts it back, again and again while others change it too;
  /// `change` answers false when there is nothing to do.
  Result<Json> change(const Place& place, const std::function<Result<bool>(Json&)>& change);
  /// Only the object with this uid, where one is given. One that is gone already is no error.
  Result<> remove(const Place& place, const std::string& uid);

  /// Hands over the body of a watch as it comes. The response's status is 200 or tells what is wrong.
  Result<HttpResponse> watch(const Selection& selection, const std::string& parameters,
                             const std::function<Result<>(std::string_view)>& visit);

  base::Executor& executor() const { return executor_; }
  base::Rng& rng() const { return rng_; }
  const base::StopFlag& stop() const { return stop_; }
  /// Waits, and ends early on stop.
  Result<> pause(std::chrono::milliseconds duration) const;
  /// Between half and all of `duration`, so that not everybody comes at once.
  std::chrono::milliseconds jittered(std::chrono::milliseconds duration) const;

 private:
  struct Call {
    const char* method = "GET";
    std::string path;
    std::string body;
    const char* content_type = "application/json";
    bool again_when_lost = true;  // it may be sent twice
  };
  class Borrowed;
  Result<HttpResponse> send_once(const Call& call);
  Result<HttpResponse> send(const Call& call);
  Result<Json> send_for_object(const Call& call);
  Result<HttpRequest> prepare(const Call& call, bool refused);
  Borrowed borrow();

  base::Executor& executor_;
  base::Rng& rng_;
  const base::StopFlag& stop_;
  Credentials credentials_;
  base::Guarded<std::vector<std::unique_ptr<Connection>>> idle_;
};

/// What a response that is not a success means.
Error error_of(const HttpResponse& response);

}  // namespace firn::kube
