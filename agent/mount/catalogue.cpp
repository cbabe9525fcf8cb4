#include "agent/mount/catalogue.h"

#include <utility>

#include "agent/mount/time_template.h"
#include "repo/view.h"

namespace firn::mount {

Result<format::ChunkSecret> MountedSnapshot::open() {
  if (const auto known = root()) {
    return *known;
  }
  FIRN_LET(const format::ChunkSecret root, in("snapshot " + short_id(), repo::open_root(repository_, info_)));
  *root_.lock() = root;
  return root;
}

Catalogue::Catalogue(const MountSource& source, const MountOptions& options)
    : source_(source), options_(options) {}

Result<> Catalogue::synchronise_index(const repo::MaintenanceView& maintenance) {
  auto problems = repo::sync_index(source_.repository, maintenance, source_.index);
  if (!problems && source_.index.damaged()) {
    FIRN_TRY(source_.index.clear());
    problems = repo::sync_index(source_.repository, maintenance, source_.index);
  }
  if (!problems) {
    return Failure(std::move(problems).error());
  }
  for (const std::string& line : problems->lines) {
    options_.warn(line);
  }
  return {};
}

Result<> Catalogue::refresh() {
  FIRN_LET(const repo::MaintenanceView maintenance,
           repo::load_maintenance(source_.repository, source_.objects));
  FIRN_LET(repo::SnapshotList list, repo::list_snapshots(source_.repository, source_.objects, maintenance));
  for (const std::string& problem : list.problems) {
    options_.warn(problem);
  }

  decltype(State::known) before;
  bool index_is_old = false;
  {
    auto state = state_.lock();
    before = state->known;
    index_is_old = !state->view || state->condemned != maintenance.condemned.size();
  }
  auto view = std::make_shared<View>();
  decltype(State::known) known;
  for (repo::SnapshotInfo& info : list.snapshots) {
    if (options_.takes && !options_.takes(info.snapshot)) {
      continue;
    }
    const format::SnapshotId id = info.id;
    const auto old = before.find(id);
    index_is_old = index_is_old || old == before.end();
    auto snapshot = old != before.end()
                        ? old->second
                        : std::make_shared<MountedSnapshot>(source_.repository, std::move(info));
    known.emplace(id, snapshot);
    view->snapshots.push_back(std::move(snapshot));
  }
  if (index_is_old) {
    FIRN_TRY(synchronise_index(maintenance));
  }
  const std::string_view time_template =
      options_.time_template.empty() ? kTimeTemplateDefault : std::string_view(options_.time_template);
  std::vector<Listed> listed;
  for (const auto& snapshot : view->snapshots) {
    listed.push_back({.id = snapshot->id(),
                      .snapshot = &snapshot->snapshot(),
                      .time = format_time(time_template, local_time(snapshot->snapshot().time))});
  }
  view->layout =
      Layout::build(listed, options_.path_templates.empty() ? default_templates() : options_.path_templates);
  FIRN_LET(const index::IndexStatistics statistics, source_.index.statistics());
  view->stored_bytes = statistics.stored_bytes;

  auto state = state_.lock();
  state->view = std::move(view);
  state->known = std::move(known);
  state->condemned = maintenance.condemned.size();
  state->at = source_.repository.services().clock.steady();
  return {};
}

Result<Catalogue::SharedView> Catalogue::current(ChunkCache& tasks, const Call& call) {
  {
    auto state = state_.lock();
    const bool is_fresh = source_.repository.services().clock.steady() - state->at < kFreshFor;
    // While one call waits for the store, the others go on with what is known.
    if (is_fresh || state->is_refreshing) {
      return state->view;
    }
    state->is_refreshing = true;
  }
  const auto refreshed = tasks.run(
      [this]() -> Result<> {
        if (auto done = refresh(); !done) {
          options_.warn("the list of snapshots could not be read anew: " + done.error().message);
        }
        // After a failure, too: a store that is away costs one wait in a while, not one a look.
        auto state = state_.lock();
        state->at = source_.repository.services().clock.steady();
        state->is_refreshing = false;
        return {};
      },
      call);
  FIRN_TRY(refreshed);
  return state_.lock()->view;
}

}  // namespace firn::mount
