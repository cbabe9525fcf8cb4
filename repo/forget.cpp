#include "repo/forget.h"

#include <algorithm>
#include <utility>

#include "repo/base/monitor.h"
#include "repo/base/parallel.h"
#include "repo/format/maintenance.h"

namespace firn::repo {
namespace {

using format::SnapshotName;

Result<> put_tombstone(const Repository& repository, const SnapshotName& snapshot) {
  const auto name = format::object_name(format::ForgetName{format::snapshot_id(snapshot)});
  const format::Forget tombstone{.snapshot = snapshot, .time = repository.services().clock.wall()};
  FIRN_LET(Bytes body, format::encode(tombstone));
  const store::Outcome outcome = repository.put_sealed(name, std::move(body));
  if (!outcome.done() && !outcome.unknown() && outcome.why().code == ErrorCode::Exists) {
    // Somebody forgot it before; whether that tombstone counts is seen by reading it.
    FIRN_TRY(repository.get_sealed(name));
    return {};
  }
  return in(name.str(), outcome.as_result());
}

}  // namespace

Result<ForgetReport> forget_snapshots(const Repository& repository, std::span<const SnapshotName> snapshots) {
  const Services& services = repository.services();
  FIRN_TRY(repository.keys().may_act_as(format::Role::Maintainer, services.clock.wall()));
  base::Guarded<ForgetReport> report;
  FIRN_TRY(base::for_each_parallel(
      services.executor, "forget", repository.store().parallel_requests(), snapshots.size(),
      [&](std::size_t i) -> Result<> {
        if (auto put = put_tombstone(repository, snapshots[i]); !put) {
          report.lock()->kept.push_back({.snapshot = snapshots[i], .why = std::move(put).error()});
          return {};
        }
        // Best effort: see above.
        static_cast<void>(repository.store().remove(format::object_name(snapshots[i])));
        report.lock()->forgotten += 1;
        return {};
      }));
  ForgetReport result = std::move(*report.lock());
  std::sort(result.kept.begin(), result.kept.end(),
            [](const auto& a, const auto& b) { return a.snapshot < b.snapshot; });
  return result;
}

}  // namespace firn::repo
