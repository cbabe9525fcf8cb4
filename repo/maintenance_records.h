// What maintenance reads before it decides: everything under maint/, and the sessions. Internal to
// maintenance.
//
// Promise: a record or marker that cannot be read is an error, or counts as what keeps most: nothing is taken
// for absent or ended because it did not answer. Threads: one caller.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "repo/format/session.h"
#include "repo/object_cache.h"
#include "repo/repository.h"
#include "repo/view.h"

namespace firn::repo {

struct CondemnRecord {
  base::WallTime stored;  // by the store's clock
  std::vector<format::PackName> packs;
};

/// A catalog without the snapshots' bodies.
struct CatalogFacts {
  std::vector<format::SnapshotName> snapshots;
  std::vector<format::IndexName> indexes;
  std::vector<format::Barrier> barriers;
  std::vector<format::GoneObject> gone;
};

/// An object under maint/ that a union may take over.
struct LooseRecord {
  format::ObjectName name;
  base::WallTime stored;
  std::uint64_t size_bytes = 0;
};

struct MaintenanceRecords {
  MaintenanceView view;
  std::map<format::CondemnName, CondemnRecord> condemned;
  std::map<format::CatalogName, CatalogFacts> catalogs;
  std::vector<LooseRecord> loose;
  std::map<format::UnionName, std::uint64_t> unions;  // with their sizes
};

/// LISTs and reads maint/. Errors: Corrupt (names the object), and those of the store.
Result<MaintenanceRecords> load_records(const Repository& repository, ObjectCache& cache);

struct OpenSession {
  std::optional<format::SessionMarker> marker;  // nothing when it could not be read
  base::WallTime last_sign;                     // of life, by the store's clock
};

struct SessionList {
  std::map<format::SessionId, OpenSession> open;  // neither ended nor forged
  std::set<format::SessionId> ended;              // by an .end of its own
  /// Forged, or what is left of a session whose marker is gone: nobody stands behind it.
  std::set<format::SessionId> leftover;
  /// Every object under sessions/ by its session, in the order in which they may be removed.
  std::map<format::SessionId, std::vector<format::ObjectName>> objects;
};

/// LISTs sessions/ and reads what must be told apart. A marker that nobody signed who may, or that was made
/// for another session, is forged and ignored.
Result<SessionList> list_sessions(const Repository& repository, ObjectCache& cache);

}  // namespace firn::repo
