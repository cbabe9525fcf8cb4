// Where a repository is, as people write it, and the store that serves it.
//
// A path or `local:PATH` is a directory. `s3:…` and `s3://…` are known but not served by this version.
// Threads: any.
#pragma once

#include <map>
#include <memory>
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
};

struct StoreOptions {
  /// `-o key=value` of the command line: "s3.region", …
  std::map<std::string, std::string, std::less<>> backend;
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

/// The store of an existing place. Errors: NotFound (nothing there), Denied, Invalid, Unsupported.
Result<std::unique_ptr<ObjectStore>> open_store(std::string_view url, const StoreOptions& options,
                                                const StoreSeams& seams);

/// Makes the place for a new repository (a directory; a bucket must be there already), then opens it.
Result<std::unique_ptr<ObjectStore>> init_store(std::string_view url, const StoreOptions& options,
                                                const StoreSeams& seams);

}  // namespace firn::store
