// Which steps a maintenance run takes: all of them. Internal to maintenance.
//
// The simulation switches single ones off, to show that it would find a program without them; nothing else
// may: maintain() has no way to.
#pragma once

#include <cstddef>

namespace firn::repo {

struct MaintenanceSteps {
  bool own_session = true;            // 0: a session of its own
  bool condemn_before_list = true;    // A before B
  bool wait_for_sessions = true;      // B: what was condemned waits for the sessions of the LIST
  bool fence = true;                  // C: what is provably dead is fenced
  bool fence_before_list = true;      // C before D
  bool list_snapshots = true;         // D: after B and C, not what was listed before
  bool sync_index = true;             // D: likewise
  bool seal = true;                   // E
  bool mark = true;                   // F: what came since the plan is marked, too
  bool copy_out = true;               // F: what is needed is copied
  bool trailers_decide = true;        // F: what lies in a pack is what its trailer says
  bool compare_survivors = true;      // F: bytes of survivors are read and compared
  bool survivors_uncondemned = true;  // F: condemned packs are no survivors
  bool check_own_fence = true;        // G and H
  bool check_catalogs = true;         // G: LIST holds what catalogs saw
  bool compact_keeps_entries = true;  // H: of packs that exist
  bool put_before_delete = true;      // H: replacements before what they replace goes
  bool markers_of_ended_only = true;  // H
  bool keep_condemned = true;         // condemn records are never retired
  /// So many loose records become a union; a simulated run has fewer than a real one.
  std::size_t fold_records_min = 32;
};

}  // namespace firn::repo
