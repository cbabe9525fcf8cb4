#include "repo/store/s3/credential_chain.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "repo/base/files.h"
#include "repo/store/s3/credential_fetchers.h"
#include "repo/store/s3/credential_fields.h"

namespace firn::store::s3 {
namespace {

constexpr std::size_t kSharedFileBytesMax = 1 << 20;
constexpr std::size_t kRolesMax = 5;  // that lead to one another

using Source = std::unique_ptr<CredentialSource>;

bool has_environment_keys(const Variables& variables) {
  return !variables("AWS_ACCESS_KEY_ID").value_or("").empty() ||
         !variables("AWS_SECRET_ACCESS_KEY").value_or("").empty();
}

/// The two shared files, read once.
class SharedFiles {
 public:
  static Result<SharedFiles> read(const Variables& variables) {
    SharedFiles files;
    FIRN_TRY(files.load(variables, "AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials",
                        SharedFileKind::Credentials));
    FIRN_TRY(files.load(variables, "AWS_CONFIG_FILE", "/.aws/config", SharedFileKind::Config));
    return files;
  }

  bool has(const std::string& profile) const {
    return credentials_.contains(profile) || config_.contains(profile);
  }
  /// A setting of a profile; the credentials file counts before the config file. Empty when it is not set.
  std::string_view get(const std::string& profile, std::string_view key) const {
    for (const Profiles* file : {&credentials_, &config_}) {
      if (const auto at = file->find(profile); at != file->end()) {
        if (const auto value = at->second.find(key); value != at->second.end() && !value->second.empty()) {
          return value->second.view();
        }
      }
    }
    return {};
  }
  std::string text(const std::string& profile, std::string_view key) const {
    return std::string(get(profile, key));
  }
  /// "/root/.aws/credentials or /root/.aws/config"
  const std::string& places() const { return places_; }

 private:
  Result<> load(const Variables& variables, const char* variable, const char* below_home,
                SharedFileKind kind) {
    std::string path = variables(variable).value_or("");
    if (path.empty()) {
      const std::string home = variables("HOME").value_or("");
      if (home.empty()) {
        return {};
      }
      path = home + below_home;
    }
    places_ += (places_.empty() ? "" : " or ") + path;
    auto bytes = base::read_file(path, kSharedFileBytesMax);
    if (!bytes) {
      if (bytes.error().code == ErrorCode::NotFound) {
        return {};
      }
      return Failure(std::move(bytes).error().in("credentials for S3"));
    }
    auto parsed = parse_shared_file(as_text(*bytes), kind);
    crypto::wipe(*bytes);
    if (!parsed) {
      return Failure(std::move(parsed).error().in("credentials for S3: " + path));
    }
    (kind == SharedFileKind::Credentials ? credentials_ : config_) = *std::move(parsed);
    return {};
  }

  Profiles credentials_;
  Profiles config_;
  std::string places_ = {};
};

class Chain {
 public:
  Chain(const ChainOptions& options, const ChainSeams& seams, const SharedFiles& files)
      : options_(options), seams_(seams), files_(files) {}

  Result<Source> choose() {
    if (!options_.profile.empty()) {
      return named_profile(options_.profile, "-o s3.profile");
    }
    if (is_set("AWS_WEB_IDENTITY_TOKEN_FILE")) {
      if (!is_set("AWS_ROLE_ARN")) {
        return fail(ErrorCode::Invalid, "AWS_WEB_IDENTITY_TOKEN_FILE is set, AWS_ROLE_ARN is not");
      }
      return web_identity(role("default", variable("AWS_ROLE_ARN"), variable("AWS_ROLE_SESSION_NAME")),
                          variable("AWS_WEB_IDENTITY_TOKEN_FILE"));
    }
    if (const std::string profile = environment_profile(); !profile.empty()) {
      return named_profile(profile, "AWS_PROFILE");
    }
    if (has_credentials("default")) {
      return of_profile("default");
    }
    if (is_set("AWS_CONTAINER_CREDENTIALS_FULL_URI") || is_set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")) {
      return container();
    }
    if (options_.instance_metadata) {
      return instance();
    }
    return fail(
        ErrorCode::Denied,
        "there are no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        " (nothing is set in the environment, in " +
            files_.places() +
            "; the metadata of an EC2 instance is asked only with -o s3.instance-metadata=true)");
  }

  /// The region of the profile that counts.
  std::string region() const {
    if (!options_.region.empty()) {
      return options_.region;
    }
    for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
      if (is_set(name)) {
        return variable(name);
      }
    }
    const std::string named = !options_.profile.empty() ? options_.profile : environment_profile();
    return files_.text(named.empty() ? "default" : named, "region");
  }

 private:
  std::string variable(const std::string& name) const { return seams_.variables(name).value_or(""); }
  bool is_set(const std::string& name) const { return !variable(name).empty(); }
  std::string environment_profile() const {
    const std::string profile = variable("AWS_PROFILE");
    return profile.empty() ? variable("AWS_DEFAULT_PROFILE") : profile;
  }

  bool has_credentials(const std::string& profile) const {
    constexpr std::string_view kKeys[] = {"aws_access_key_id",  "aws_secret_access_key", "role_arn",
                                          "credential_process", "sso_start_url",         "sso_session"};
    return std::any_of(std::begin(kKeys), std::end(kKeys),
                       [&](std::string_view key) { return !files_.get(profile, key).empty(); });
  }

  Result<Source> named_profile(const std::string& profile, std::string_view named_by) {
    if (!files_.has(profile)) {
      return fail(ErrorCode::Invalid, std::string(named_by) + " names the profile \"" + profile +
                                          "\", which is not in " + files_.places());
    }
    if (!has_credentials(profile)) {
      return fail(ErrorCode::Denied, "the profile \"" + profile + "\" (" + std::string(named_by) +
                                         ") has no credentials: it needs aws_access_key_id and "
                                         "aws_secret_access_key, role_arn or credential_process");
    }
    return of_profile(profile);
  }

  Result<Source> of_profile(const std::string& profile) {
    if (std::find(visited_.begin(), visited_.end(), profile) != visited_.end() ||
        visited_.size() > kRolesMax) {
      return fail(ErrorCode::Invalid, "the profile \"" + profile +
                                          "\" leads to itself, or over too many others, by source_profile");
    }
    visited_.push_back(profile);
    if (!files_.get(profile, "role_arn").empty()) {
      return role_of_profile(profile);
    }
    if (!files_.get(profile, "aws_access_key_id").empty() ||
        !files_.get(profile, "aws_secret_access_key").empty()) {
      return keys_of_profile(profile);
    }
    if (!files_.get(profile, "credential_process").empty()) {
      return temporary(process_fetcher(files_.text(profile, "credential_process"), profile, seams_));
    }
    if (!files_.get(profile, "sso_start_url").empty() || !files_.get(profile, "sso_session").empty()) {
      return fail(ErrorCode::Unsupported, "the profile \"" + profile +
                                              "\" uses SSO, which firn cannot: use credential_process = "
                                              "aws configure export-credentials --profile " +
                                              profile + " in another profile");
    }
    return fail(ErrorCode::Denied, "the profile \"" + profile + "\" has no credentials");
  }

  Result<Source> keys_of_profile(const std::string& profile) {
    const std::string_view id = files_.get(profile, "aws_access_key_id");
    const std::string_view secret = files_.get(profile, "aws_secret_access_key");
    if (id.empty() || secret.empty()) {
      return fail(ErrorCode::Invalid, "the profile \"" + profile + "\" has " +
                                          (id.empty() ? "aws_secret_access_key and no aws_access_key_id"
                                                      : "aws_access_key_id and no aws_secret_access_key"));
    }
    return static_credentials(
        {.access_key_id = std::string(id),
         .secret = crypto::SecretBytes::copy_of(as_bytes(secret)),
         .session_token = crypto::SecretBytes::copy_of(as_bytes(files_.get(profile, "aws_session_token"))),
         .expires = std::nullopt},
        "the profile \"" + profile + "\"");
  }

  Result<Source> role_of_profile(const std::string& profile) {
    if (!files_.get(profile, "mfa_serial").empty()) {
      return fail(ErrorCode::Unsupported,
                  "the profile \"" + profile +
                      "\" asks for a code of a device (mfa_serial), which "
                      "firn cannot give: take the role with another tool and a credential_process");
    }
    RoleRequest wanted =
        role(profile, files_.text(profile, "role_arn"), files_.text(profile, "role_session_name"));
    wanted.external_id = files_.text(profile, "external_id");
    wanted.duration_seconds = files_.text(profile, "duration_seconds");
    const std::string token_file = files_.text(profile, "web_identity_token_file");
    const std::string source_profile = files_.text(profile, "source_profile");
    const std::string named_source = files_.text(profile, "credential_source");
    if (!token_file.empty() + !source_profile.empty() + !named_source.empty() != 1) {
      return fail(ErrorCode::Invalid, "the profile \"" + profile +
                                          "\" has a role_arn and must have exactly one of source_profile, "
                                          "credential_source and web_identity_token_file beside it");
    }
    if (!token_file.empty()) {
      return web_identity(std::move(wanted), token_file);
    }
    FIRN_LET(Source source, source_profile.empty()      ? of_named_source(profile, named_source)
                            : source_profile == profile ? keys_of_profile(profile)
                                                        : of_source_profile(profile, source_profile));
    return temporary(assume_role_fetcher(std::move(wanted), std::move(source), seams_));
  }

  Result<Source> of_source_profile(const std::string& profile, const std::string& source) {
    if (!files_.has(source)) {
      return fail(ErrorCode::Invalid, "the profile \"" + profile + "\" names the source_profile \"" + source +
                                          "\", which is not in " + files_.places());
    }
    return of_profile(source);
  }

  Result<Source> of_named_source(const std::string& profile, const std::string& name) {
    if (name == "Environment") {
      return environment_credentials(seams_.variables);
    }
    if (name == "EcsContainer") {
      return container();
    }
    if (name == "Ec2InstanceMetadata") {
      return instance();
    }
    return fail(ErrorCode::Invalid, "the profile \"" + profile + "\" has the credential_source \"" + name +
                                        "\" (known: Environment, EcsContainer, Ec2InstanceMetadata)");
  }

  Result<Source> web_identity(RoleRequest wanted, const std::string& token_file) {
    return temporary(web_identity_fetcher(std::move(wanted), token_file, seams_));
  }

  Result<Source> container() {
    const std::string full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const std::string relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    if (full.empty() && relative.empty()) {
      return fail(ErrorCode::Denied,
                  "the profile's credential_source is EcsContainer, but neither "
                  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set");
    }
    if (!relative.empty() && relative.front() != '/') {
      return fail(ErrorCode::Invalid, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with \"/\"");
    }
    FIRN_LET(auto fetcher,
             container_fetcher({.url = relative.empty() ? full : "http://169.254.170.2" + relative,
                                .token_file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
                                .token = WipedText(variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"))},
                               seams_));
    return temporary(std::move(fetcher));
  }

  Result<Source> instance() {
    if (variable("AWS_EC2_METADATA_DISABLED") == "true") {
      return fail(ErrorCode::Denied,
                  "the instance's metadata is to be asked for credentials, but "
                  "AWS_EC2_METADATA_DISABLED is true");
    }
    std::string endpoint = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (endpoint.empty()) {
      endpoint = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE") == "IPv6" ? "http://[fd00:ec2::254]"
                                                                              : "http://169.254.169.254";
    }
    while (endpoint.ends_with('/')) {
      endpoint.pop_back();
    }
    return temporary(instance_fetcher(std::move(endpoint), seams_));
  }

  Source temporary(std::unique_ptr<Fetcher> fetcher) {
    return refreshed(std::move(fetcher), seams_.executor);
  }

  RoleRequest role(const std::string& profile, std::string arn, std::string session_name) {
    std::string where = options_.region.empty() ? files_.text(profile, "region") : options_.region;
    if (where.empty() || is_set("AWS_REGION") || is_set("AWS_DEFAULT_REGION")) {
      where = region();
    }
    std::string url = variable("AWS_ENDPOINT_URL_STS");
    if (url.empty()) {
      url = variable("AWS_ENDPOINT_URL");
    }
    if (url.empty()) {
      url = where.empty() ? "https://sts.amazonaws.com"
                          : "https://sts." + where +
                                (where.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com");
    }
    if (!url.ends_with('/')) {
      url += '/';
    }
    if (session_name.empty()) {
      session_name = "firn-" + std::to_string(seams_.executor.clock().wall().nanoseconds / 1'000'000'000);
    }
    return {.role_arn = std::move(arn),
            .session_name = std::move(session_name),
            .sts_url = std::move(url),
            .sts_region = where.empty() ? "us-east-1" : where};
  }

  const ChainOptions& options_;
  const ChainSeams& seams_;
  const SharedFiles& files_;
  std::vector<std::string> visited_ = {};
};

}  // namespace

Result<std::unique_ptr<CredentialSource>> credential_chain(const ChainOptions& options,
                                                           const ChainSeams& seams) {
  if (options.profile.empty() && has_environment_keys(seams.variables)) {
    return environment_credentials(seams.variables);  // whatever state the files are in
  }
  FIRN_LET(const SharedFiles files, SharedFiles::read(seams.variables));
  return Chain(options, seams, files).choose();
}

Result<std::string> configured_region(const ChainOptions& options, const ChainSeams& seams) {
  if (!options.region.empty()) {
    return options.region;
  }
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (auto region = seams.variables(name); region && !region->empty()) {
      return *std::move(region);
    }
  }
  FIRN_LET(const SharedFiles files, SharedFiles::read(seams.variables));
  return Chain(options, seams, files).region();
}

}  // namespace firn::store::s3
