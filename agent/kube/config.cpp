#include "agent/kube/config.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <array>
#include <cerrno>

#include "agent/kube/base64.h"
#include "agent/kube/json.h"
#include "agent/kube/times.h"
#include "repo/base/files.h"

namespace firn::kube {
namespace {

constexpr std::size_t kFileBytesMax = 1U << 20;
// The kubelet writes a new token when 80 % of its time are over.
constexpr std::chrono::seconds kTokenReadAgain{60};
constexpr std::chrono::hours kForEver{24 * 365};
constexpr const char* kExecVersions[] = {"client.authentication.k8s.io/v1",
                                         "client.authentication.k8s.io/v1beta1"};

Result<std::string> read_text(const std::string& path) {
  FIRN_LET(const Bytes bytes, base::read_file(path, kFileBytesMax));
  return std::string(as_text(bytes));
}

std::string without_blanks(std::string text) {
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
  return text;
}

std::string scalar(const YAML::Node& node, const char* name) {
  if (!node || !node.IsMap() || !node[name] || !node[name].IsScalar()) {
    return "";
  }
  return node[name].Scalar();
}

/// `name`-data as base64 in the file, or `name` as a path beside it.
Result<std::string> inline_or_file(const YAML::Node& node, const std::string& name,
                                   const std::string& folder) {
  if (const std::string data = scalar(node, (name + "-data").c_str()); !data.empty()) {
    FIRN_LET(const Bytes bytes, base64_bytes(data, name + "-data"));
    return std::string(as_text(bytes));
  }
  const std::string path = scalar(node, name.c_str());
  if (path.empty()) {
    return std::string();
  }
  return in(name, read_text(path.front() == '/' ? path : folder + "/" + path));
}

Result<YAML::Node> named(const YAML::Node& root, const char* list, const char* kind,
                         const std::string& name) {
  if (root[list] && root[list].IsSequence()) {
    for (const auto& one : root[list]) {
      if (scalar(one, "name") == name) {
        return YAML::Node(one[kind]);
      }
    }
  }
  return fail(ErrorCode::Invalid, std::string("there is no ") + kind + " named '" + name + "'");
}

ExecPlugin plugin_of(const YAML::Node& node) {
  ExecPlugin plugin{.command = scalar(node, "command"),
                    .arguments = {},
                    .environment = {},
                    .api_version = scalar(node, "apiVersion")};
  if (node["args"] && node["args"].IsSequence()) {
    for (const auto& one : node["args"]) {
      plugin.arguments.push_back(one.IsScalar() ? one.Scalar() : "");
    }
  }
  if (node["env"] && node["env"].IsSequence()) {
    for (const auto& one : node["env"]) {
      plugin.environment[scalar(one, "name")] = scalar(one, "value");
    }
  }
  return plugin;
}

Result<ClusterConfig> parse_kubeconfig(const std::string& text, const std::string& folder,
                                       std::string context) {
  const YAML::Node root = YAML::Load(text);
  if (!root.IsMap()) {
    return fail(ErrorCode::Invalid, "it is not a kubeconfig");
  }
  if (context.empty()) {
    context = scalar(root, "current-context");
  }
  FIRN_LET(const YAML::Node chosen, named(root, "contexts", "context", context));
  FIRN_LET(const YAML::Node cluster, named(root, "clusters", "cluster", scalar(chosen, "cluster")));
  ClusterConfig config;
  config.ns = scalar(chosen, "namespace");
  config.server = scalar(cluster, "server");
  while (config.server.ends_with('/')) {
    config.server.pop_back();
  }
  if (config.server.empty()) {
    return fail(ErrorCode::Invalid, "the cluster names no server");
  }
  FIRN_LET(config.tls.authorities, inline_or_file(cluster, "certificate-authority", folder));
  config.tls.insecure = scalar(cluster, "insecure-skip-tls-verify") == "true";
  if (scalar(chosen, "user").empty()) {
    return config;
  }
  FIRN_LET(const YAML::Node user, named(root, "users", "user", scalar(chosen, "user")));
  FIRN_LET(config.tls.certificate, inline_or_file(user, "client-certificate", folder));
  FIRN_LET(config.tls.key, inline_or_file(user, "client-key", folder));
  config.token = scalar(user, "token");
  config.token_file = scalar(user, "tokenFile");
  if (user.IsMap() && user["exec"]) {
    config.exec = plugin_of(user["exec"]);
    const bool known =
        config.exec->api_version == kExecVersions[0] || config.exec->api_version == kExecVersions[1];
    if (!known || config.exec->command.empty()) {
      return fail(ErrorCode::Unsupported, "exec plugin of " + config.exec->api_version);
    }
  }
  if (user.IsMap() && user["auth-provider"]) {
    return fail(ErrorCode::Unsupported, "auth-provider: use an exec plugin");
  }
  return config;
}

/// Runs the plugin and gives what it prints. Its messages go to our standard error.
Result<std::string> run_plugin(const ExecPlugin& plugin) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail_errno(errno, "pipe", plugin.command);
  }
  base::FileDescriptor reading(ends[0]);
  base::FileDescriptor writing(ends[1]);
  std::vector<std::string> words{plugin.command};
  words.insert(words.end(), plugin.arguments.begin(), plugin.arguments.end());
  std::vector<std::string> variables;
  for (char** one = environ; *one != nullptr; ++one) {
    variables.emplace_back(*one);
  }
  for (const auto& [name, value] : plugin.environment) {
    variables.push_back(name + "=" + value);
  }
  variables.push_back("KUBERNETES_EXEC_INFO={\"apiVersion\":\"" + plugin.api_version +
                      "\",\"kind\":\"ExecCredential\",\"spec\":{\"interactive\":false}}");
  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (std::string& text : texts) {
      out.push_back(text.data());
    }
    out.push_back(nullptr);
    return out;
  };
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, writing.get(), STDOUT_FILENO);
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, plugin.command.c_str(), &actions, nullptr, pointers(words).data(),
                                    pointers(variables).data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    return fail_errno(failed, "run", plugin.command);
  }
  writing.reset();
  std::string out;
  std::array<char, 4096> buffer{};
  ssize_t got = 0;
  while ((got = ::read(reading.get(), buffer.data(), buffer.size())) > 0 && out.size() < kFileBytesMax) {
    out.append(buffer.data(), static_cast<std::size_t>(got));
  }
  reading.reset();
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return fail(ErrorCode::Denied, "the credential plugin " + plugin.command + " failed");
  }
  return out;
}

}  // namespace

Result<ClusterConfig> in_cluster_config(const Variables& variables, const std::string& directory) {
  const auto host = variables("KUBERNETES_SERVICE_HOST");
  const auto port = variables("KUBERNETES_SERVICE_PORT");
  if (!host || host->empty()) {
    return fail(ErrorCode::NotFound,
                "not in a pod of a cluster: name a kubeconfig with --kubeconfig or KUBECONFIG");
  }
  ClusterConfig config;
  const bool is_v6 = host->find(':') != std::string::npos;
  config.server = "https://" + (is_v6 ? "[" + *host + "]" : *host) + ":" + port.value_or("443");
  FIRN_LET(config.tls.authorities, read_text(directory + "/ca.crt"));
  config.token_file = directory + "/token";
  if (auto ns = read_text(directory + "/namespace")) {
    config.ns = without_blanks(*ns);
  }
  return config;
}

Result<ClusterConfig> load_kubeconfig(const std::string& path, const std::string& context) {
  FIRN_LET(const std::string text, read_text(path));
  // yaml-cpp throws at what is no YAML.
  try {
    return in("kubeconfig " + path, parse_kubeconfig(text, base::parent_path(path), context));
  } catch (const std::exception& problem) {
    return fail(ErrorCode::Invalid, "kubeconfig " + path + ": " + problem.what());
  }
}

Result<ClusterConfig> find_config(const Variables& variables, const std::string& kubeconfig) {
  if (!kubeconfig.empty()) {
    return load_kubeconfig(kubeconfig);
  }
  if (const auto path = variables("KUBECONFIG"); path && !path->empty()) {
    return load_kubeconfig(path->substr(0, path->find(':')));
  }
  return in_cluster_config(variables);
}

Credentials::Credentials(ClusterConfig config, const base::Clock& clock)
    : config_(std::move(config)), clock_(clock) {}

Result<Credential> Credentials::get(bool refused) {
  {
    auto kept = kept_.lock();
    if (!refused && kept->credential && clock_.steady() < kept->until) {
      return *kept->credential;
    }
  }
  // Two at once may ask twice; that is harmless.
  FIRN_LET(Kept fresh, fetch());
  auto kept = kept_.lock();
  *kept = std::move(fresh);
  return *kept->credential;
}

Result<Credentials::Kept> Credentials::fetch() const {
  if (config_.exec) {
    return from_plugin();
  }
  Credential credential{.token = config_.token, .tls = std::make_shared<const Tls>(config_.tls)};
  if (config_.token_file.empty()) {
    return Kept{.credential = std::move(credential), .until = clock_.steady() + kForEver};
  }
  FIRN_LET(const std::string token, in("token", read_text(config_.token_file)));
  credential.token = without_blanks(token);
  return Kept{.credential = std::move(credential), .until = clock_.steady() + kTokenReadAgain};
}

Result<Credentials::Kept> Credentials::from_plugin() const {
  FIRN_LET(const std::string printed, run_plugin(*config_.exec));
  FIRN_LET(const Json answer, in("credential plugin " + config_.exec->command, parse_json(printed)));
  const Json& status = member(answer, "status");
  auto tls = std::make_shared<Tls>(config_.tls);
  if (const std::string certificate = text_of(member(status, "clientCertificateData"));
      !certificate.empty()) {
    tls->certificate = certificate;
    tls->key = text_of(member(status, "clientKeyData"));
  }
  Credential credential{.token = text_of(member(status, "token")), .tls = tls};
  if (credential.token.empty() && tls->certificate.empty()) {
    return fail(ErrorCode::Denied, "the credential plugin " + config_.exec->command + " gave no credential");
  }
  auto until = clock_.steady() + kForEver;
  if (const auto end = parse_time_text(text_of(member(status, "expirationTimestamp")))) {
    until = clock_.steady() + std::chrono::nanoseconds(end->nanoseconds - clock_.wall().nanoseconds);
  }
  return Kept{.credential = std::move(credential), .until = until};
}

}  // namespace firn::kube
