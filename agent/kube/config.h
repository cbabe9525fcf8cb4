// Where the API server is, whom to trust, and who we are: inside a pod, or as a kubeconfig file says.
//
// A pod's token is read again as it rotates; an exec plugin is asked again when its credential ends. Threads:
// any.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "agent/kube/http.h"
#include "repo/base/clock.h"
#include "repo/base/monitor.h"
#include "repo/base/result.h"

namespace firn::kube {

/// What goes with a request.
struct Credential {
  std::string token;  // empty: none
  std::shared_ptr<const Tls> tls;
};

/// A command that prints a credential.
struct ExecPlugin {
  std::string command;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  std::string api_version;
};

struct ClusterConfig {
  std::string server;  // "https://10.96.0.1:443"
  Tls tls;
  std::string token;
  std::string token_file;  // read again as it rotates
  std::optional<ExecPlugin> exec;
  std::string ns;  // of the pod, or of the context; may be empty
};

using Variables = std::function<std::optional<std::string>(const std::string& name)>;

/// The service account of the pod that we run in; `directory` is where its files are. Errors: NotFound (not
/// in a pod), those of reading.
Result<ClusterConfig> in_cluster_config(
    const Variables& variables,
    const std::string& directory = "/var/run/secrets/kubernetes.io/serviceaccount");

/// `context` empty: the current one. Relative paths are those beside the file. Errors: Invalid (names what is
/// wrong), Unsupported (an authentication that is not known), those of reading.
Result<ClusterConfig> load_kubeconfig(const std::string& path, const std::string& context = {});

/// KUBECONFIG or `kubeconfig` where they are given, else the pod's.
Result<ClusterConfig> find_config(const Variables& variables, const std::string& kubeconfig);

class Credentials {
 public:
  Credentials(ClusterConfig config, const base::Clock& clock);
  const std::string& server() const { return config_.server; }
  /// `refused`: the last one was answered with 401, so it is not to be kept. Errors: those of reading, Denied
  /// (the plugin failed).
  Result<Credential> get(bool refused);

 private:
  struct Kept {
    std::optional<Credential> credential;
    base::SteadyTime until;
  };
  Result<Kept> fetch() const;
  Result<Kept> from_plugin() const;

  const ClusterConfig config_;
  const base::Clock& clock_;
  base::Guarded<Kept> kept_;
};

}  // namespace firn::kube
