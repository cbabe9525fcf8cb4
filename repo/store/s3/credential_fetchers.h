// Temporary credentials: who gives them, and when they are asked for again.
//
// A Fetcher asks one giver once; refreshed() keeps what it gave and asks again in time. Used by
// credential_chain.h alone. Threads: a Fetcher is called by one task at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "repo/store/s3/credential_chain.h"
#include "repo/store/s3/credential_fields.h"

namespace firn::store::s3 {

struct FetchedCredentials {
  Credentials credentials;
  std::optional<base::WallTime> given;  // by the giver's clock; none = ours is its clock
};

class Fetcher {
 public:
  virtual ~Fetcher() = default;
  /// Errors: Denied, Invalid, Corrupt (a senseless answer), Unavailable, Cancelled.
  virtual Result<FetchedCredentials> fetch() = 0;
  virtual std::string describe() const = 0;
};

/// Keeps what `fetcher` gave until five minutes, or a quarter of their life, before they expire. When the
/// giver is not there then, the old ones serve for as long as they are good.
std::unique_ptr<CredentialSource> refreshed(std::unique_ptr<Fetcher> fetcher, base::Executor& executor);

/// Where STS is and how a role is taken there.
struct RoleRequest {
  std::string role_arn;
  std::string session_name;
  std::string external_id = {};
  std::string duration_seconds = {};
  std::string sts_url;     // with its "/"
  std::string sts_region;  // for the signature
};

/// A service account's token (IRSA): the file is read anew each time, because the kubelet replaces it.
std::unique_ptr<Fetcher> web_identity_fetcher(RoleRequest role, std::string token_file,
                                              const ChainSeams& seams);

/// STS AssumeRole, signed with the credentials of `source`.
std::unique_ptr<Fetcher> assume_role_fetcher(RoleRequest role, std::unique_ptr<CredentialSource> source,
                                             const ChainSeams& seams);

struct ContainerEndpoint {
  std::string url;
  std::string token_file = {};  // its content is sent as Authorization; read anew each time
  WipedText token = {};         // or this
};
/// ECS and EKS Pod Identity. Errors: Invalid (http to a host that is not this machine's own).
Result<std::unique_ptr<Fetcher>> container_fetcher(ContainerEndpoint endpoint, const ChainSeams& seams);

/// IMDSv2 of the instance: a token, the role's name, its credentials.
std::unique_ptr<Fetcher> instance_fetcher(std::string endpoint, const ChainSeams& seams);

/// What a command of the config file prints, run by /bin/sh for at most a minute.
std::unique_ptr<Fetcher> process_fetcher(std::string command, std::string profile, const ChainSeams& seams);

}  // namespace firn::store::s3
