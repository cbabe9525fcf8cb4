// The places where AWS's tools look for credentials, in their order, and the first of them that is set.
//
// Order: -o s3.profile · AWS_ACCESS_KEY_ID · AWS_WEB_IDENTITY_TOKEN_FILE (a pod's service account) ·
// AWS_PROFILE · the profile "default" of the shared files · AWS_CONTAINER_CREDENTIALS_* (EKS Pod Identity,
// ECS) · the instance's metadata (IMDSv2), only if enabled. A profile has keys, a credential_process, or a
// role to assume with those of another profile, of a token file or of a named source.
//
// Promise: a place that is set and does not work is an error that names it; no other place is looked at
// instead. Temporary credentials are fetched anew before they expire, measured from when they were given and
// not by the machine's clock, while requests go on with the old ones. Secrets are wiped and stand in no
// message. Not here: SSO (the error says what to do). Threads: a source may be used from any; the chain is
// made by one.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "repo/base/executor.h"
#include "repo/base/stop.h"
#include "repo/store/s3/credentials.h"
#include "repo/store/s3/http.h"

namespace firn::store::s3 {

struct ChainOptions {
  std::string profile = {};        // overrides everything; empty = as the environment says
  bool instance_metadata = false;  // ask the instance's metadata service when nothing else is set
  std::string region = {};         // for STS; empty = as environment and profile say
};

/// What the chain needs of its surroundings; all of it must outlive the sources.
struct ChainSeams {
  Variables variables;
  base::Executor& executor;
  const base::StopFlag* stop = nullptr;
  /// For STS, which may lie behind a proxy, and without one for what lies on this machine. Called when
  /// needed.
  std::function<Result<std::unique_ptr<HttpClient>>(bool use_proxy)> open_http;
};

/// Chooses the source; asks nobody yet. Errors: Denied (nothing is set, or a file may not be read), Invalid
/// (a wrong setting), Unsupported (SSO, MFA).
Result<std::unique_ptr<CredentialSource>> credential_chain(const ChainOptions& options,
                                                           const ChainSeams& seams);

/// The region that environment or profile name; empty when none does. Errors: as credential_chain().
Result<std::string> configured_region(const ChainOptions& options, const ChainSeams& seams);

}  // namespace firn::store::s3
