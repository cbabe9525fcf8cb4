// One maintenance run: the numbered steps of docs/PROTOCOL.md, one function each, in their order. Internal to
// maintenance.
//
// The order is what makes it safe; each function says why it stands where it stands. Threads: one caller.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "repo/maintenance.h"
#include "repo/maintenance_mark.h"
#include "repo/maintenance_plan.h"
#include "repo/maintenance_records.h"
#include "repo/maintenance_steps.h"
#include "repo/snapshots.h"

namespace firn::repo {

class MaintenanceRun {
 public:
  struct Parts {
    const Repository& repository;
    index::ChunkIndex& index;
    ObjectCache& cache;
    kv::LocalKv& state;
    const MaintenanceOptions& options;
    const MaintenanceSteps& steps;
    const base::StopFlag& stop;
    MaintenanceProgress& progress;
  };
  explicit MaintenanceRun(const Parts& parts);
  ~MaintenanceRun();

  Result<MaintenanceReport> run();

 private:
  // The steps.
  Result<> open_session();              // 0
  Result<> choose();                    // what A condemns
  Result<> condemn();                   // A
  Result<> list_open_sessions();        // B
  Result<> fence_dead();                // C
  Result<> wait_for_live();             // C, when told to
  Result<> list_snapshots_and_index();  // D
  Result<> seal_fenced();               // E
  Result<> mark();                      // F
  Result<> find_droppable();            // which packs' barriers have passed
  Result<> copy_needed();               // F
  Result<> check_before_deleting();     // G
  Result<> delete_packs();              // G
  Result<> tidy();                      // H

  Result<> foretell();  // instead of C to H: what they would do
  void report_waiting();

  // Their parts.
  Result<MaintenanceRecords> records();
  Result<> list_live_snapshots();
  Result<> begin_marking();
  Result<> mark_snapshots();
  bool is_dead(const SnapshotInfo& snapshot) const;
  Result<> complain_of_missing(const std::set<format::ChunkId>& missing, std::uint64_t count);
  std::optional<format::FenceReason> why_dead(const OpenSession& session, base::WallTime now) const;
  Result<> put_fence(const format::SessionId& session, format::FenceReason reason);
  Result<> put_seal(const format::SessionId& session);
  bool has_ended(const format::SessionId& session) const;
  bool barrier_passed(const format::CondemnName& condemn) const;
  Result<> find_sole_copies();
  Result<> check_catalogs();
  Result<> put_catalog(std::vector<format::GoneObject> gone);
  Result<> remove_all(const std::vector<format::ObjectName>& names);
  std::vector<format::ObjectName> dead_snapshots() const;
  std::vector<format::ObjectName> ended_markers() const;
  bool is_own(const format::SessionId& session) const;

  template <class Name, class Record>
  Result<> put(const Name& name, const Record& record);

  Parts parts_;
  MaintenanceReport report_;
  std::unique_ptr<WriteSession> session_;  // none in a dry run
  std::unique_ptr<kv::Environment> seen_;
  std::unique_ptr<ChunkReader> reader_;
  std::unique_ptr<Marker> marker_;
  MaintenanceRecords records_;                            // as they were read last
  std::map<format::CatalogName, CatalogFacts> catalogs_;  // as they were before step D
  SnapshotList snapshots_;
  Plan plan_;
  std::vector<format::CondemnName> own_condemn_;
  std::set<format::CondemnName> before_list_;       // condemn records that were answered before step B
  SessionList sessions_;                            // as they were listed last
  std::set<format::SessionId> open_at_list_;        // in step B
  std::set<format::SessionId> ended_;               // before step D
  std::set<format::SessionId> fenced_before_list_;  // of snapshots, in step D
  std::set<format::PackName> condemned_at_plan_;    // before the packs were listed
  base::WallTime listed_;                           // when step B was, by the store
  std::vector<DoomedPack> droppable_;
  std::vector<DoomedPack> to_copy_;
  std::set<format::PackName> needed_by_index_;
  std::set<format::PackName> deleted_;
  bool stopped_ = false;  // problems: nothing is dropped
};

/// maintain() with some steps switched off: for the simulation.
Result<MaintenanceReport> maintain_with(const MaintenanceSteps& steps, const Repository& repository,
                                        index::ChunkIndex& index, ObjectCache& cache, kv::LocalKv& state,
                                        const MaintenanceOptions& options, const base::StopFlag& stop,
                                        MaintenanceProgress& progress);

}  // namespace firn::repo
