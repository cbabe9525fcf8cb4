// Where a repository is, as people write it, and the store that serves it.
//
// A path or `local:PATH` is a directory; `s3:http[s]://host[:port]/bucket/prefix` and `s3://bucket/prefix`
// (AWS) are an S3 server's. Every store tries again by itself what may work then (retry_store.h). Threads:
// any.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "repo/base/executor.h"
#include "repo/base/rng.h"
#include "repo/base/stop.h"
#include "repo/store/object_store.h"

namespace firn::store {

/// What a store needs of its surroundings; all of it must outlive the store.
struct StoreSeams {
  base::Executor& executor;
  base::Rng& rng;
  const base::StopFlag* stop = nullptr;
  /// The environment's variables; empty = there are none.
  std::function<std::optional<std::string>(const std::string& name)> variables = {};
};

struct StoreOptions {
  /// `-o key=value` of the command line: "s3.region", …
  std::map<std::string, std::string, std::less<>> backend = {};
  // The rest is for stores behind a network.
  std::string ca_file = {};             // PEM; empty = the system's
  std::string client_certificate = {};  // PEM file with certificate and key; empty = none
  bool insecure_tls = false;
  std::uint64_t upload_bytes_per_second_max = 0;    // 0 = no limit
  std::uint64_t download_bytes_per_second_max = 0;  // 0 = no limit
  std::chrono::milliseconds stuck_request_timeout{std::chrono::minutes(5)};
};

struct Location {
  enum class Kind { Local, S3 };
  Kind kind = Kind::Local;
  std::string text;  // the path; for S3 what follows "s3:"
  /// How the location is shown in messages and JSON.
  std::string describe() const;
};

/// Errors: Invalid (empty, or a scheme that nobody knows).
Result<Location> parse_location(std::string_view url);

/// The store of an existing place. An S3 server is not asked yet. Errors: NotFound (no such directory),
/// Denied (also: no credentials), Invalid, Unsupported.
Result<std::unique_ptr<ObjectStore>> open_store(std::string_view url, const StoreOptions& options,
                                                const StoreSeams& seams);

/// Makes the place for a new repository (a directory; a bucket must be there already), then opens it.
Result<std::unique_ptr<ObjectStore>> init_store(std::string_view url, const StoreOptions& options,
                                                const StoreSeams& seams);

}  // namespace firn::store
