// What the controller's work on keys needs of the process: open repositories, and what nodes get of the
// store.
//
// The process gives it (agent/service); tests give their own. Threads: one caller at a time.
#pragma once

#include <functional>
#include <string>

#include "agent/kube/objects.h"
#include "repo/enrol.h"
#include "repo/object_cache.h"
#include "repo/repository.h"

namespace firn::controller {

class Keys {
 public:
  virtual ~Keys() = default;
  using Visit = std::function<Result<>(const repo::Repository& repository, repo::ObjectCache& cache)>;
  /// Calls `visit` with the repository, open with the controller's key. `anew`: with the keys that it has
  /// now.
  virtual Result<> with_repository(const kube::Repository& repository, bool anew, const Visit& visit) = 0;
  /// What the nodes shall reach the repository's store with; empty: what they have themselves.
  virtual Result<repo::StoreVariables> node_variables(const std::string& repository) = 0;
  /// Says whether the variables are the same as before, and nothing else about them.
  virtual std::string tag_of(const std::string& repository, const repo::StoreVariables& variables) = 0;
};

}  // namespace firn::controller
