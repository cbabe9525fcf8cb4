#include "repo/store/s3/credentials.h"

#include <utility>

#include "repo/base/bytes.h"

namespace firn::store::s3 {
namespace {

class StaticCredentials final : public CredentialSource {
 public:
  StaticCredentials(Credentials credentials, std::string description)
      : credentials_(std::make_shared<const Credentials>(std::move(credentials))),
        description_(std::move(description)) {}

  Result<SharedCredentials> get() override { return credentials_; }
  void reject(const Credentials&) override {}
  std::string describe() const override { return description_; }

 private:
  const SharedCredentials credentials_;
  const std::string description_;
};

}  // namespace

std::unique_ptr<CredentialSource> static_credentials(Credentials credentials, std::string description) {
  return std::make_unique<StaticCredentials>(std::move(credentials), std::move(description));
}

Result<std::unique_ptr<CredentialSource>> environment_credentials(const Variables& variables) {
  const std::string id = variables("AWS_ACCESS_KEY_ID").value_or("");
  std::string secret = variables("AWS_SECRET_ACCESS_KEY").value_or("");
  std::string token = variables("AWS_SESSION_TOKEN").value_or("");
  if (id.empty() && secret.empty()) {
    return fail(ErrorCode::Denied, "no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
  }
  if (id.empty() || secret.empty()) {
    return fail(ErrorCode::Invalid, id.empty() ? "AWS_SECRET_ACCESS_KEY is set, AWS_ACCESS_KEY_ID is not"
                                               : "AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not");
  }
  Credentials credentials{.access_key_id = id,
                          .secret = crypto::SecretBytes::copy_of(as_bytes(secret)),
                          .session_token = crypto::SecretBytes::copy_of(as_bytes(token)),
                          .expires = std::nullopt};
  crypto::wipe(std::as_writable_bytes(std::span(secret)));
  crypto::wipe(std::as_writable_bytes(std::span(token)));
  return static_credentials(std::move(credentials), "the environment");
}

}  // namespace firn::store::s3
