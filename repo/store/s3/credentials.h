// Who we are to an S3 server, and where that is learnt from.
//
// Promise: secrets lie in crypto's locked and wiped memory, and stand in no message. Not here: signing with
// them (sigv4.h), the chain of AWS's places to look in (credential_chain.h). Threads: any.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "crypto/secret.h"
#include "repo/base/clock.h"
#include "repo/base/result.h"

namespace firn::store::s3 {

struct Credentials {
  std::string access_key_id;
  crypto::SecretBytes secret;
  crypto::SecretBytes session_token;      // empty for keys that last
  std::optional<base::WallTime> expires;  // by the clock of whoever gave them; never = does not expire
};

/// Shared by every request that is being signed, so that a refresh takes nothing away under one of them.
using SharedCredentials = std::shared_ptr<const Credentials>;

class CredentialSource {
 public:
  virtual ~CredentialSource() = default;

  /// Credentials that are good now, fetched anew shortly before the old ones expire. May wait for a server.
  /// Errors: Denied (there are none, or their source refuses), Invalid (a setting or file is wrong),
  /// Unavailable (the source does not answer). A broken source is told, and never passed over for another.
  virtual Result<SharedCredentials> get() = 0;

  /// The server said that `refused` is expired or not valid: the next get() fetches anew, unless it has done
  /// so since. A source that has nothing newer gives the same again, and the caller then gives up.
  virtual void reject(const Credentials& refused) = 0;

  /// Where they come from, for messages: "the environment", "profile backup in /root/.aws/credentials".
  virtual std::string describe() const = 0;
};

/// The value of an environment variable.
using Variables = std::function<std::optional<std::string>(const std::string& name)>;

/// The same credentials for ever.
std::unique_ptr<CredentialSource> static_credentials(Credentials credentials, std::string description);

/// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. Errors: Denied (not set), Invalid (one of
/// the first two without the other).
Result<std::unique_ptr<CredentialSource>> environment_credentials(const Variables& variables);

}  // namespace firn::store::s3
