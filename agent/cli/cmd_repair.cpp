// firn repair: index, packs and snapshots after damage.
#include <algorithm>
#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/open.h"
#include "agent/cli/snapshot_filter.h"
#include "agent/cli/text.h"
#include "agent/cli/write_session.h"
#include "repo/copy.h"
#include "repo/forget.h"
#include "repo/repair.h"

namespace firn::cli {
namespace {

struct RepairPacksCommand {
  std::vector<std::string> packs;
};

struct RepairSnapshotsCommand {
  SnapshotFilter filter;
  bool dry_run = false;
  bool forget = false;
  std::vector<std::string> ids;
};

void tell_summary(Output& out, Json fields, const std::string& text) {
  if (out.json()) {
    Json line = Json::object();
    line["message_type"] = "summary";
    line.update(fields);
    out.line(json_text(line));
  } else {
    out.note(text);
  }
}

Result<int> run_repair_index(Context& context) {
  FIRN_LET(const auto open, OpenRepository::open(context));
  FIRN_LET(const auto session, open_session(context, *open, format::SessionKind::Maintenance));
  FIRN_LET(const repo::RepairIndexReport report, repo::repair_index(*session, context.world.stop));
  session->end();
  for (const std::string& problem : report.problems) {
    context.out.warn(printable(problem) + "; 'firn repair packs' saves what can be saved");
  }
  tell_summary(context.out,
               Json::object({{"packs", report.packs},
                             {"packs_added", report.packs_added},
                             {"packs_missing", report.packs_missing},
                             {"index_objects_replaced", report.objects_replaced},
                             {"packs_damaged", report.problems.size()}}),
               count_text(report.packs) + " packs: " + count_text(report.packs_added) + " indexed anew, " +
                   count_text(report.packs_missing) + " missing, " + count_text(report.objects_replaced) +
                   " index objects replaced");
  return report.problems.empty() ? kExitOk : kExitFailed;
}

/// Whole names or ids of packs.
Result<std::vector<format::PackName>> parse_packs(const std::vector<std::string>& texts) {
  std::vector<format::PackName> packs;
  for (const std::string& text : texts) {
    if (const auto name = format::parse_name_as<format::PackName>(text)) {
      packs.push_back(*name);
      continue;
    }
    const auto id = format::PackId::parse(text);
    if (!id) {
      return fail(ErrorCode::Invalid, "\"" + text + "\" is no pack: see 'firn list packs' and 'firn check'");
    }
    packs.push_back({.kind = format::PackKind::Data, .id = *id});
    packs.push_back({.kind = format::PackKind::Meta, .id = *id});
  }
  return packs;
}

/// Of an id that was given without its folder one of the two names exists.
Result<std::vector<format::PackName>> existing_packs(store::ObjectStore& store,
                                                     const std::vector<std::string>& texts) {
  FIRN_LET(const auto named, parse_packs(texts));
  std::vector<format::PackName> packs;
  for (const format::PackName& pack : named) {
    const auto size = store.head(format::object_name(pack));
    if (size) {
      packs.push_back(pack);
    } else if (size.error().code != ErrorCode::NotFound) {
      return Failure(size.error());
    }
  }
  if (packs.empty() && !texts.empty()) {
    return fail(ErrorCode::NotFound, "no such pack is there: 'firn repair index' drops what is missing");
  }
  return packs;
}

Result<int> run_repair_packs(Context& context, const RepairPacksCommand& command) {
  Output& out = context.out;
  const base::StopFlag& stop = context.world.stop;
  FIRN_LET(const auto open, OpenRepository::open(context));
  const repo::Repository& repository = open->repository();
  for (const format::Role role : {format::Role::Maintainer, format::Role::Reader, format::Role::Writer}) {
    FIRN_TRY(repository.keys().may_act_as(role, context.world.clock.wall()));
  }
  FIRN_LET(const auto candidates, existing_packs(repository.store(), command.packs));
  FIRN_LET(const auto damaged, repo::find_damaged_packs(repository, candidates, stop));
  repo::SalvageReport report;
  if (!damaged.empty()) {
    for (const format::PackName& pack : damaged) {
      out.note(format::object_name(pack).str() + " is damaged");
    }
    FIRN_LET(const repo::MaintenanceView* view, open->maintenance());
    std::vector<format::PackName> fresh = damaged;
    std::erase_if(fresh, [&](const format::PackName& pack) { return view->condemned.contains(pack); });
    if (!fresh.empty()) {
      FIRN_LET(const auto session, open_session(context, *open, format::SessionKind::Maintenance));
      FIRN_TRY(repo::condemn_packs(*session, fresh));
      session->end();
    }
    FIRN_LET(const repo::SnapshotList* list, open->snapshots());
    FIRN_LET(repo::ChunkReader * reader, open->session_reader());
    // Opened after the record was answered: its view relies on none of these packs.
    FIRN_LET(const auto session, open_session(context, *open));
    FIRN_LET(report, repo::salvage_packs(*reader, *session, list->snapshots, damaged, stop));
    session->end();
  }
  tell_summary(out,
               Json::object({{"packs_damaged", damaged.size()},
                             {"chunks_needed", report.chunks_needed},
                             {"chunks_salvaged", report.salvaged},
                             {"chunks_elsewhere", report.elsewhere},
                             {"chunks_lost", report.lost}}),
               damaged.empty()
                   ? std::string("no pack is damaged")
                   : count_text(damaged.size()) + " packs condemned; of " + count_text(report.chunks_needed) +
                         " pieces that snapshots need " + count_text(report.salvaged) + " were saved, " +
                         count_text(report.elsewhere) + " lie elsewhere too, " + count_text(report.lost) +
                         " are lost");
  if (report.lost > 0) {
    out.note("'firn repair snapshots' makes snapshots without what is lost");
  }
  return report.lost > 0 ? kExitFailed : kExitOk;
}

struct Repaired {
  std::uint64_t changed = 0;
  std::uint64_t gone = 0;  // nothing is left of them
  std::vector<format::SnapshotName> replaced;
};

/// One snapshot; a new one is committed where something is lost.
Result<> repair_one(Context& context, const RepairSnapshotsCommand& command, repo::ChunkReader& reader,
                    repo::WriteSession& session, const repo::SnapshotInfo& info, Repaired& repaired) {
  Output& out = context.out;
  const std::string which = "snapshot " + short_id(info.id);
  auto outcome = repo::repair_snapshot(
      reader, session, info, context.world.stop, [&](const std::string& path, const Error& why) {
        out.warn(which + ": " + printable(path) + " is lost: " + message_of(why));
      });
  if (!outcome &&
      (outcome.error().code == ErrorCode::Corrupt || outcome.error().code == ErrorCode::NotFound)) {
    out.warn(which + " cannot be read at all: " + message_of(outcome.error()) +
             (command.forget ? "" : "; forget it, or run again with --forget"));
    repaired.gone += 1;
    repaired.replaced.push_back(info.snapshot.name);
    return {};
  }
  FIRN_LET(const repo::RepairedSnapshot tree, std::move(outcome));
  if (!tree.changed) {
    return {};
  }
  repaired.changed += 1;
  repaired.replaced.push_back(info.snapshot.name);
  if (command.dry_run) {
    out.note(which + ": " + count_text(tree.lost) + " entries would be left out");
    return {};
  }
  format::Snapshot snapshot = info.snapshot;
  snapshot.original = repo::original_of(info);
  snapshot.root = tree.root_id;
  snapshot.refs_root = tree.refs_root;
  snapshot.notes.push_back("repaired: " + count_text(tree.lost) + " entries were lost");
  auto& tags = snapshot.source.tags;
  if (!command.forget && std::find(tags.begin(), tags.end(), "repaired") == tags.end()) {
    tags.emplace_back("repaired");
  }
  FIRN_LET(const format::SnapshotId made, session.commit(std::move(snapshot), tree.root));
  out.note(which + " repaired as " + short_id(made) + ": " + count_text(tree.lost) +
           " entries were left out");
  return {};
}

Result<int> run_repair_snapshots(Context& context, const RepairSnapshotsCommand& command) {
  Output& out = context.out;
  FIRN_LET(const auto open, OpenRepository::open(context));
  if (command.forget && !command.dry_run) {
    FIRN_TRY(open->repository().keys().may_act_as(format::Role::Maintainer, context.world.clock.wall()));
  }
  FIRN_LET(const repo::SnapshotList* list, open->snapshots());
  FIRN_LET(const auto chosen, select_snapshots(*list, command.filter, command.ids));
  FIRN_LET(repo::ChunkReader * reader, open->session_reader());
  FIRN_LET(const auto session,
           open_session(context, *open, format::SessionKind::Other, {.dry_run = command.dry_run}));
  FIRN_LET(index::ChunkIndex * chunks, open->index());
  FIRN_TRY(repo::check_index_before_repair(open->repository(), *chunks));
  Repaired repaired;
  for (const repo::SnapshotInfo* info : chosen) {
    FIRN_TRY(in("snapshot " + short_id(info->id),
                repair_one(context, command, *reader, *session, *info, repaired)));
  }
  session->end();
  int code = repaired.gone > 0 && !command.forget ? kExitFailed : kExitOk;
  if (command.forget && !command.dry_run) {
    FIRN_LET(const repo::ForgetReport report, repo::forget_snapshots(open->repository(), repaired.replaced));
    for (const auto& kept : report.kept) {
      out.warn("snapshot " + short_id(format::snapshot_id(kept.snapshot)) +
               " could not be removed: " + message_of(kept.why));
      code = kExitFailed;
    }
  }
  tell_summary(out,
               Json::object({{"snapshots", chosen.size()},
                             {"repaired_snapshots", repaired.changed},
                             {"unreadable_snapshots", repaired.gone}}),
               count_text(chosen.size()) + " snapshots: " + count_text(repaired.changed) + " repaired, " +
                   count_text(repaired.gone) + " without anything that could be read");
  return list->problems.empty() ? code : kExitFailed;
}

}  // namespace

void add_repair(CommandSet& set) {
  set.add({.name = "repair index",
           .summary = "Make the index say what the packs hold",
           .text =
               "Reads the trailer of every pack, indexes packs that no sound index object lists, drops "
               "entries of packs that do not exist, and replaces damaged index objects. Needs a maintainer "
               "key; runs beside backups.",
           .examples = {{"firn repair index", ""}},
           .flags = {},
           .arguments = {},
           .run = run_repair_index});

  auto packs = std::make_shared<RepairPacksCommand>();
  Command packs_command{
      .name = "repair packs",
      .summary = "Save what still opens in damaged packs",
      .text =
          "Reads the named packs (or all of them), condemns those that are damaged, and stores again what "
          "of them still opens and some snapshot needs. The damaged packs are removed by the next prune. "
          "Needs a key that reads, writes and maintains.",
      .examples = {{"firn repair packs", ""}},
      .flags = {},
      .arguments = {},
      .run = [packs](Context& context) { return run_repair_packs(context, *packs); }};
  packs_command.argument({.name = "PACK",
                          .help = "Ids of packs, as check and list packs show them; all where none is given",
                          .required = false,
                          .choices = {},
                          .target = &packs->packs});
  set.add(std::move(packs_command));

  auto snapshots = std::make_shared<RepairSnapshotsCommand>();
  Command snapshots_command{
      .name = "repair snapshots",
      .summary = "Make snapshots without what is lost",
      .text =
          "Reads the trees of snapshots. Where something is lost, a new snapshot without it is made, tagged "
          "\"repaired\", and every path that was left out is named. With --forget the damaged ones are "
          "removed. Run 'firn repair index' and, for damaged packs, 'firn repair packs' before.",
      .examples = {{"firn repair snapshots --dry-run", ""}, {"firn repair snapshots --forget", ""}},
      .flags = filter_flags(snapshots->filter),
      .arguments = {},
      .run = [snapshots](Context& context) { return run_repair_snapshots(context, *snapshots); }};
  snapshots_command.flag({.names = "-n,--dry-run",
                          .value = "",
                          .help = "Say what is lost, and store nothing",
                          .choices = {},
                          .target = &snapshots->dry_run});
  snapshots_command.flag({.names = "--forget",
                          .value = "",
                          .help = "Remove the damaged snapshots",
                          .choices = {},
                          .target = &snapshots->forget});
  snapshots_command.argument({.name = "SNAP",
                              .help = "Ids, or latest; all where none is given",
                              .required = false,
                              .choices = {},
                              .hint = Hint::Snapshot,
                              .target = &snapshots->ids});
  set.add(std::move(snapshots_command));
}

}  // namespace firn::cli
