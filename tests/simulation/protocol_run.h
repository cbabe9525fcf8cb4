// One simulated history of a repository: nodes that back up, maintenance runs, a person who forgets,
// sometimes a hostile writer, on one broken store; and the judgement of what is left.
//
// The objects are the product's: Repository, WriteSession, maintain(), readers. The same seed is the same
// history. A run leaks what crashed processes held: run many of them in child processes.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "repo/maintenance_steps.h"
#include "tests/simulation/sim_store.h"

namespace firn::test {

/// What is taken away from the program, to see whether the simulation would notice.
struct Mutation {
  const char* name = "";
  repo::MaintenanceSteps steps;
  SessionLies lies;
  bool reuse_unasked = false;  // I11: a writer names its parent's chunks without asking
  bool always_hostile = false;
  bool seldom = false;  // takes more histories to be found than CI has time for
};

struct Verdict {
  std::string defect;  // empty: none
  std::map<std::pair<std::string, SimFault>, std::uint64_t> fired;
  std::uint64_t acknowledged = 0;
  std::uint64_t declared = 0;  // jobs that ended with an error
  std::uint64_t prunes = 0;    // that ran to their end
  std::uint64_t packs_deleted = 0;
  std::uint64_t trace = 0;
};

Verdict run_history(std::uint64_t seed, const Mutation& mutation = {});

}  // namespace firn::test
