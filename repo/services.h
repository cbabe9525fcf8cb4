// What the repository needs of the world beside its store: the seams, gathered.
//
// Borrowed by everything in repo/ for as long as it lives; the program's main owns them.
#pragma once

#include "repo/base/clock.h"
#include "repo/base/executor.h"
#include "repo/base/rng.h"
#include "repo/base/scratch.h"

namespace firn::repo {

struct Services {
  base::Executor& executor;
  base::Rng& rng;
  const base::Clock& clock;
  base::Scratch& scratch;
};

}  // namespace firn::repo
