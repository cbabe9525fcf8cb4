// What an answer that is no success means: whether the request can have had an effect, whether trying again
// may help, and a sentence that says what to do.
//
// Pure. Threads: any.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "repo/base/clock.h"
#include "repo/base/result.h"
#include "repo/store/s3/http.h"
#include "repo/store/s3/xml.h"

namespace firn::store::s3 {

/// Who asked whom, for the sentences.
struct Asked {
  std::string host;
  std::string bucket;
  std::string region;
  std::string access_key_id;
  std::string key_from;  // CredentialSource::describe()
  base::WallTime now;    // this machine's clock
};

struct Refusal {
  Error error;
  /// The request may have been carried out all the same.
  bool maybe_done = false;
  bool throttled = false;
  std::chrono::milliseconds leave_alone{0};
  /// The credentials have expired, or the server does not know them: newer ones may do.
  bool credentials_refused = false;
  /// Where the bucket is, when that is what is wrong and the server says it.
  std::string region = {};

  enum class Kind { Other, NoSuchKey, NoSuchBucket, Exists, RangeEnds };
  Kind kind = Kind::Other;
};

/// `response` has a status other than 2xx.
Refusal refusal_of(const HttpResponse& response, const Asked& asked);

}  // namespace firn::store::s3
