// firn tag: other tags for snapshots that are there.
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
#include "repo/retag.h"

namespace firn::cli {
namespace {

using Tags = std::vector<std::string>;

struct TagCommand {
  SnapshotFilter filter;
  Tags set;
  Tags add;
  Tags remove;
  std::vector<std::string> ids;
};

/// "a,b" taken apart; empty parts mean nothing.
Tags parts_of(const Tags& texts) {
  Tags tags;
  for (const std::string& text : texts) {
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      if (end > begin) {
        tags.push_back(text.substr(begin, end - begin));
      }
      begin = end + 1;
    }
  }
  return tags;
}

Tags changed_tags(const TagCommand& command, const Tags& before) {
  Tags tags = command.set.empty() ? before : Tags{};
  for (const Tags* more : {&command.set, &command.add}) {
    for (const std::string& tag : parts_of(*more)) {
      if (std::find(tags.begin(), tags.end(), tag) == tags.end()) {
        tags.push_back(tag);
      }
    }
  }
  const Tags gone = parts_of(command.remove);
  std::erase_if(
      tags, [&](const std::string& tag) { return std::find(gone.begin(), gone.end(), tag) != gone.end(); });
  return tags;
}

/// A tag that died between its two steps has left the new snapshot beside the old one.
const repo::SnapshotInfo* made_before(const repo::SnapshotList& list, const repo::SnapshotInfo& old,
                                      const format::Snapshot& changed) {
  for (const repo::SnapshotInfo& info : list.snapshots) {
    if (info.id != old.id && info.snapshot.original == repo::original_of(old) &&
        info.snapshot.root == old.snapshot.root && info.snapshot.time == old.snapshot.time &&
        info.snapshot.source == changed.source) {
      return &info;
    }
  }
  return nullptr;
}

Result<int> run_tag(Context& context, const TagCommand& command) {
  Output& out = context.out;
  if (command.set.empty() && command.add.empty() && command.remove.empty()) {
    return fail(ErrorCode::Invalid, "give --set, --add or --remove");
  }
  if (!command.set.empty() && (!command.add.empty() || !command.remove.empty())) {
    return fail(ErrorCode::Invalid, "--set goes without --add and --remove");
  }
  FIRN_LET(const auto open, OpenRepository::open(context));
  FIRN_TRY(open->repository().keys().may_act_as(format::Role::Maintainer, context.world.clock.wall()));
  FIRN_LET(const repo::SnapshotList* list, open->snapshots());
  FIRN_LET(const auto chosen, select_snapshots(*list, command.filter, command.ids));

  struct Change {
    const repo::SnapshotInfo* old = nullptr;
    format::SnapshotId made;
  };
  std::vector<Change> changes;
  std::unique_ptr<repo::WriteSession> session;
  std::unique_ptr<repo::Recommitter> recommitter;
  for (const repo::SnapshotInfo* info : chosen) {
    format::Snapshot changed = info->snapshot;
    changed.source.tags = changed_tags(command, info->snapshot.source.tags);
    if (changed.source.tags == info->snapshot.source.tags) {
      continue;
    }
    if (const auto* made = made_before(*list, *info, changed)) {
      changes.push_back({.old = info, .made = made->id});
      continue;
    }
    if (!session) {
      FIRN_LET(repo::ChunkReader * reader, open->session_reader());
      FIRN_LET(session, open_session(context, *open));
      recommitter = std::make_unique<repo::Recommitter>(*reader, *session);
    }
    FIRN_LET(const format::SnapshotId made,
             in("snapshot " + short_id(info->id), recommitter->commit(*info, std::move(changed))));
    changes.push_back({.old = info, .made = made});
  }
  if (session) {
    session->end();
  }

  std::vector<format::SnapshotName> doomed;
  for (const Change& change : changes) {
    doomed.push_back(change.old->snapshot.name);
  }
  FIRN_LET(const repo::ForgetReport report, repo::forget_snapshots(open->repository(), doomed));
  for (const Change& change : changes) {
    if (out.json()) {
      Json line = Json::object();
      line["message_type"] = "changed";
      line["old_snapshot_id"] = change.old->id.hex();
      line["new_snapshot_id"] = change.made.hex();
      out.line(json_text(line));
    } else {
      out.note("snapshot " + short_id(change.old->id) + " is now " + short_id(change.made));
    }
  }
  if (out.json()) {
    out.line(json_text(Json::object({{"message_type", "summary"}, {"changed_snapshots", changes.size()}})));
  } else {
    out.note(changes.empty() ? "no snapshot was changed"
                             : "changed the tags of " + count_text(changes.size()) +
                                   (changes.size() == 1 ? " snapshot" : " snapshots"));
  }
  for (const auto& kept : report.kept) {
    out.warn("snapshot " + short_id(format::snapshot_id(kept.snapshot)) +
             " with the old tags could not be removed: " + message_of(kept.why));
  }
  return report.kept.empty() && list->problems.empty() ? kExitOk : kExitFailed;
}

}  // namespace

void add_tag(CommandSet& set) {
  auto options = std::make_shared<TagCommand>();
  Command command{
      .name = "tag",
      .summary = "Change the tags of snapshots",
      .text =
          "A snapshot never changes, so a new one with the same tree and time takes its place; it names the "
          "first of its line as its original. Without ids all snapshots that pass the filters are changed. "
          "Needs a key that reads, writes and maintains.",
      .examples = {{"firn tag --add keep 5f0ac3d2", ""},
                   {"firn tag --set nightly,db --host db1", "Replaces the tags of all snapshots of a host."},
                   {"firn tag --set \"\" latest", "Takes all tags away."}},
      .flags = filter_flags(options->filter),
      .arguments = {},
      .run = [options](Context& context) { return run_tag(context, *options); }};
  const auto list_flag = [&](const char* names, const char* help, Tags* target) {
    command.flag({.names = names, .value = "TAG[,TAG]", .help = help, .choices = {}, .target = target});
  };
  list_flag("--set", "Exactly these tags; \"\" for none", &options->set);
  list_flag("--add", "These tags, too", &options->add);
  list_flag("--remove", "Not these tags", &options->remove);
  command.argument({.name = "SNAP",
                    .help = "Ids, or latest; all where none is given",
                    .required = false,
                    .choices = {},
                    .hint = Hint::Snapshot,
                    .target = &options->ids});
  set.add(std::move(command));
}

}  // namespace firn::cli
