// Many simulated histories, and the program without one of its steps at a time.
//
// FIRN_SIM_SEEDS says how many histories (default: what CI runs), FIRN_SIM_FIRST the first seed,
// FIRN_SIM_JOBS how many at once. A seed that fails is printed with its defect; FIRN_SIM_FIRST=<seed>
// FIRN_SIM_SEEDS=1 plays it again. A night: FIRN_SIM_SEEDS=300000 test_protocol --gtest_filter='Histories.*';
// the report is printed at the end.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "tests/simulation/protocol_run.h"

namespace firn {
namespace {

using test::Mutation;
using test::SimFault;
using test::Verdict;

std::uint64_t variable(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// What many histories came to.
struct Tally {
  std::uint64_t histories = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t declared = 0;
  std::uint64_t prunes = 0;
  std::uint64_t packs_deleted = 0;
  std::map<std::string, std::uint64_t> fired;
  std::map<std::uint64_t, std::string> defects;  // by seed
};

/// Verdicts as lines through a pipe.
void write_verdict(std::FILE* out, std::uint64_t seed, const Verdict& verdict) {
  std::fprintf(out, "history %llu %llu %llu %llu\n", static_cast<unsigned long long>(verdict.acknowledged),
               static_cast<unsigned long long>(verdict.declared),
               static_cast<unsigned long long>(verdict.prunes),
               static_cast<unsigned long long>(verdict.packs_deleted));
  for (const auto& [key, count] : verdict.fired) {
    std::fprintf(out, "fired %llu %s %s\n", static_cast<unsigned long long>(count), key.first.c_str(),
                 test::kSimFaultNames[static_cast<std::size_t>(key.second)]);
  }
  if (!verdict.defect.empty()) {
    std::fprintf(out, "defect %llu %s\n", static_cast<unsigned long long>(seed), verdict.defect.c_str());
  }
  std::fflush(out);
}

void read_line(const std::string& line, Tally& tally) {
  unsigned long long a = 0;
  unsigned long long b = 0;
  unsigned long long c = 0;
  unsigned long long d = 0;
  int used = 0;
  if (std::sscanf(line.c_str(), "history %llu %llu %llu %llu", &a, &b, &c, &d) == 4) {
    tally.histories += 1;
    tally.acknowledged += a;
    tally.declared += b;
    tally.prunes += c;
    tally.packs_deleted += d;
  } else if (std::sscanf(line.c_str(), "fired %llu %n", &a, &used) == 1) {
    tally.fired[line.substr(static_cast<std::size_t>(used))] += a;
  } else if (std::sscanf(line.c_str(), "defect %llu %n", &a, &used) == 1) {
    tally.defects.emplace(a, line.substr(static_cast<std::size_t>(used)));
  }
}

/// Histories leak what crashed processes held, so they run in children, some at a time.
struct Child {
  pid_t pid = -1;
  std::FILE* in = nullptr;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

Child start(std::uint64_t first, std::uint64_t count, const Mutation& mutation) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::pipe(ends), 0);
  Child child{.pid = ::fork(), .in = nullptr, .first = first, .count = count};
  if (child.pid == 0) {
    ::close(ends[0]);
    std::FILE* out = ::fdopen(ends[1], "w");
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
      std::fprintf(out, "begin %llu\n", static_cast<unsigned long long>(seed));
      std::fflush(out);
      write_verdict(out, seed, test::run_history(seed, mutation));
    }
    std::fclose(out);
    ::_exit(0);
  }
  ::close(ends[1]);
  child.in = ::fdopen(ends[0], "r");
  return child;
}

void finish(Child& child, Tally& tally) {
  char* line = nullptr;
  std::size_t capacity = 0;
  unsigned long long last = child.first;
  while (::getline(&line, &capacity, child.in) > 0) {
    std::string text(line);
    text.pop_back();
    if (std::sscanf(text.c_str(), "begin %llu", &last) != 1) {
      read_line(text, tally);
    }
  }
  std::free(line);
  std::fclose(child.in);
  int status = 0;
  ::waitpid(child.pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    tally.defects.emplace(last, "CRASH: the process ended with status " + std::to_string(status));
  }
}

/// Histories from `first` on, until one fails when `until_defect`.
Tally play(std::uint64_t first, std::uint64_t count, const Mutation& mutation, bool until_defect) {
  constexpr std::uint64_t kBatch = 20;
  const std::uint64_t jobs = variable("FIRN_SIM_JOBS", 2);
  Tally tally;
  std::vector<Child> children;
  std::uint64_t next = first;
  while (next < first + count || !children.empty()) {
    const bool stop = until_defect && !tally.defects.empty();
    while (!stop && next < first + count && children.size() < jobs) {
      const std::uint64_t batch = std::min(kBatch, first + count - next);
      children.push_back(start(next, batch, mutation));
      next += batch;
    }
    if (children.empty()) {
      break;
    }
    finish(children.front(), tally);
    children.erase(children.begin());
  }
  return tally;
}

void report(const Tally& tally) {
  std::printf(
      "NOTE %llu histories: %llu snapshots acknowledged, %llu jobs declared failed, %llu prunes ran to "
      "their end beside the others and deleted %llu packs\n",
      static_cast<unsigned long long>(tally.histories), static_cast<unsigned long long>(tally.acknowledged),
      static_cast<unsigned long long>(tally.declared), static_cast<unsigned long long>(tally.prunes),
      static_cast<unsigned long long>(tally.packs_deleted));
  std::uint64_t faults = 0;
  for (const auto& [what, count] : tally.fired) {
    std::printf("NOTE   %-28s %10llu\n", what.c_str(), static_cast<unsigned long long>(count));
    faults += count;
  }
  std::printf("NOTE   %-28s %10llu\n", "faults in all", static_cast<unsigned long long>(faults));
}

TEST(Histories, EveryAcknowledgedSnapshotStaysAndNothingUnreachableIsLeft) {
  const std::uint64_t first = variable("FIRN_SIM_FIRST", 1);
  const std::uint64_t count = variable("FIRN_SIM_SEEDS", 200);
  const Tally tally = play(first, count, {}, false);
  report(tally);
  for (const auto& [seed, defect] : tally.defects) {
    ADD_FAILURE() << "seed " << seed << ": " << defect;
  }
  EXPECT_EQ(tally.histories, count);
  if (count >= 100) {
    EXPECT_GT(tally.packs_deleted, 0U);
    EXPECT_GT(tally.acknowledged, count);
  }
}

TEST(Histories, TheSameSeedIsTheSameHistory) {
  EXPECT_EQ(test::run_history(3).trace, test::run_history(3).trace);
}

/// One step or invariant less.
std::vector<Mutation> mutations() {
  std::vector<Mutation> all;
  all.reserve(32);  // references to its elements are handed out
  const auto add = [&](const char* name) -> Mutation& {
    all.push_back({});
    all.back().name = name;
    return all.back();
  };
  Mutation& own_session = add("step 0: maintenance has no session of its own");
  own_session.steps.own_session = false;
  own_session.seldom = true;
  Mutation& condemn_before_list = add("step A after B: sessions are listed before packs are condemned");
  condemn_before_list.steps.condemn_before_list = false;
  condemn_before_list.seldom = true;
  add("step B: open sessions are not waited for").steps.wait_for_sessions = false;
  add("step C: nobody is fenced").steps.fence = false;
  add("step C after D: snapshots are listed before sessions are fenced").steps.fence_before_list = false;
  add("step D: snapshots are not listed again").steps.list_snapshots = false;
  add("step D: the index is not read again").steps.sync_index = false;
  add("step E: fenced sessions are not sealed").steps.seal = false;
  add("step F: what came since the plan is not marked").steps.mark = false;
  add("step F: needed chunks are not copied").steps.copy_out = false;
  add("step F, I6: condemned packs count as survivors").steps.survivors_uncondemned = false;
  add("I4: condemn records are retired").steps.keep_condemned = false;
  add("I10: compaction drops entries of packs that exist").steps.compact_keeps_entries = false;
  add("step H: replacements come after what they replace").steps.put_before_delete = false;
  add("step H: markers of open sessions are removed").steps.markers_of_ended_only = false;
  Mutation& trailers = add("step F: the index says what lies in a pack");
  trailers.steps.trailers_decide = false;
  trailers.always_hostile = true;
  Mutation& compare = add("step F, I6: survivors are not compared");
  compare.steps.compare_survivors = false;
  compare.always_hostile = true;
  add("I2: index objects are not waited for").lies.index_late = true;
  add("I3: packs are not waited for").lies.packs_late = true;
  add("I5: the own fence is not seen").lies.no_fence_seen = true;
  Mutation& marker_late = add("I7: the marker comes after the view");
  marker_late.lies.marker_late = true;
  marker_late.seldom = true;
  add("I7: the maintenance records are older than the marker").lies.old_maintenance = true;
  add("I11: reused chunks are not asked for").reuse_unasked = true;
  return all;
}

TEST(Mutants, EachStepThatIsSwitchedOffIsFound) {
  const std::uint64_t first = variable("FIRN_SIM_FIRST", 1);
  const std::uint64_t count = variable("FIRN_SIM_MUTANT_SEEDS", 0);
  const char* only = std::getenv("FIRN_SIM_MUTANT");
  for (const Mutation& mutation : mutations()) {
    const bool chosen = only != nullptr && std::string(mutation.name).find(only) != std::string::npos;
    if (only != nullptr ? !chosen : count == 0 && mutation.seldom) {
      continue;
    }
    SCOPED_TRACE(mutation.name);
    const Tally tally = play(first, count > 0 ? count : 300, mutation, true);
    EXPECT_FALSE(tally.defects.empty()) << "survived " << tally.histories << " histories";
    if (!tally.defects.empty()) {
      std::printf("NOTE killed by seed %llu: %s: %s\n",
                  static_cast<unsigned long long>(tally.defects.begin()->first), mutation.name,
                  tally.defects.begin()->second.c_str());
      std::fflush(stdout);
    }
  }
}

}  // namespace
}  // namespace firn
