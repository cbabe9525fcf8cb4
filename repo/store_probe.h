// Tests of a store: does it keep what the protocol assumes, and what may the key at hand destroy there?
//
// Promise: works on objects of its own making alone (probe/, one pack-shaped name for the posture) and
// removes them where it may. Needs no key of the repository. A store that fails is named with what it did.
// Not here: what follows from it (agent/cli refuses to make a repository there). Threads: any; blocks its
// caller.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "repo/services.h"
#include "repo/store/object_store.h"

namespace firn::repo {

struct StoreProbe {
  /// The store let us write: without that nothing was tested.
  bool tested = false;
  std::string why_not;  // when it did not
  /// Sentences, one a broken assumption: "a LIST after a PUT does not show the object". None: the store is
  /// fit.
  std::vector<std::string> broken;
  /// A second PUT of other bytes under one name is refused (If-None-Match is honoured, or the like).
  bool refuses_replacement_unasked = false;
  /// The store's clock minus ours; good to a second or so.
  std::chrono::nanoseconds clock_offset{0};
  std::vector<std::string> left_behind;  // what could not be removed
};

/// Read after write, list after write and delete, order and pages of LIST, ranges, exact bytes back,
/// idempotent deletes, replacement in one piece under a reader, clock offset; about forty small requests.
/// Errors: those that make testing impossible (Unavailable, Cancelled, NotFound of the place).
Result<StoreProbe> probe_store(const Services& services, store::ObjectStore& store);

/// What the holder of these store credentials could do.
struct Posture {
  bool can_write = false;
  bool can_overwrite = false;  // replace an object's bytes under its name
  bool can_delete = false;
  bool refuses_replacement_unasked = false;
  std::vector<std::string> left_behind;
};

/// Tries a write, an overwrite and a delete of objects of its own: under probe/ and under data/. Errors: as
/// probe_store().
Result<Posture> probe_posture(const Services& services, store::ObjectStore& store);

/// The posture in sentences, for people.
std::vector<std::string> describe(const Posture& posture);

}  // namespace firn::repo
