// firn copy: snapshots of another repository, in this one too.
#include <algorithm>
#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/open.h"
#include "agent/cli/progress.h"
#include "agent/cli/snapshot_filter.h"
#include "agent/cli/text.h"
#include "agent/cli/write_session.h"
#include "repo/copy.h"

namespace firn::cli {
namespace {

struct CopyCommand {
  SnapshotFilter filter;
  Place from;
  bool mirror = false;
  std::vector<std::string> ids;
};

const repo::SnapshotInfo* copy_in(const repo::SnapshotList& list, const repo::SnapshotInfo& info) {
  const auto found =
      std::find_if(list.snapshots.begin(), list.snapshots.end(),
                   [&](const repo::SnapshotInfo& candidate) { return repo::is_copy_of(candidate, info); });
  return found == list.snapshots.end() ? nullptr : &*found;
}

struct Copied {
  std::uint64_t snapshots = 0;
  std::uint64_t skipped = 0;
};

void tell_copy(Output& out, Copied& copied, const repo::SnapshotInfo& info, const format::SnapshotId& made,
               bool was_there) {
  (was_there ? copied.skipped : copied.snapshots) += 1;
  if (out.json()) {
    Json line = Json::object();
    line["message_type"] = was_there ? "skipped" : "copied";
    line["source_snapshot_id"] = info.id.hex();
    line["snapshot_id"] = made.hex();
    out.line(json_text(line));
  } else {
    out.note("snapshot " + short_id(info.id) + " of " + plain_time(info.snapshot.time) +
             (was_there ? " is here already, as " : " saved as ") + short_id(made));
  }
}

Result<Copied> copy_all(Context& context, OpenRepository& from, OpenRepository& to,
                        const std::vector<const repo::SnapshotInfo*>& chosen) {
  Copied copied;
  FIRN_LET(const repo::SnapshotList* there, to.snapshots());
  FIRN_LET(repo::ChunkReader * reader, from.reader());
  repo::SnapshotCopier::Progress progress;
  Progress told(context,
                [&] {
                  Sample sample;
                  sample.phase = "copying";
                  sample.counts = count_text(progress.chunks.load()) + " pieces";
                  sample.bytes = progress.bytes.load();
                  return sample;
                },
                {});
  std::unique_ptr<repo::WriteSession> session;
  std::unique_ptr<repo::SnapshotCopier> copier;
  for (const repo::SnapshotInfo* info : chosen) {
    if (const auto* made = copy_in(*there, *info)) {
      tell_copy(context.out, copied, *info, made->id, true);
      continue;
    }
    if (!session) {
      FIRN_LET(session, open_session(context, to));
      copier = std::make_unique<repo::SnapshotCopier>(*reader, *session, context.world.executor.cpu_count(),
                                                      context.world.stop, progress);
    }
    FIRN_LET(const format::SnapshotId made, in("snapshot " + short_id(info->id), copier->copy(*info)));
    tell_copy(context.out, copied, *info, made, false);
  }
  copier.reset();
  if (session) {
    session->end();
  }
  return copied;
}

Result<int> run_mirror(Context& context, OpenRepository& from) {
  Output& out = context.out;
  FIRN_LET(const auto to, open_place(context, context.globals.place));
  FIRN_LET(const repo::MirrorReport report,
           repo::mirror_repository(from.repository(), *to, context.world.stop, {}));
  if (out.json()) {
    out.line(json_text(Json::object({{"message_type", "summary"},
                                     {"objects", report.objects},
                                     {"bytes", report.bytes},
                                     {"objects_present", report.present}})));
  } else {
    out.note("copied " + count_text(report.objects) + " objects, " + size_text(report.bytes) + "; " +
             count_text(report.present) + " were there");
  }
  return kExitOk;
}

Result<int> run_copy(Context& context, CopyCommand& command) {
  fill_from_environment(command.from, context.world.variable, "FROM_");
  if (!command.from.repository && !command.from.repository_file) {
    return fail(ErrorCode::Invalid, "say with --from-repo which repository to copy from");
  }
  const SnapshotFilter& filter = command.filter;
  if (command.mirror &&
      (!command.ids.empty() || !filter.hosts.empty() || !filter.tags.empty() || !filter.paths.empty())) {
    return fail(ErrorCode::Invalid, "--mirror copies everything: give no ids and no filters");
  }
  FIRN_LET(const auto from, in("the source", OpenRepository::open(context, command.from, "FROM_")));
  if (command.mirror) {
    return run_mirror(context, *from);
  }
  FIRN_LET(const auto to, OpenRepository::open(context));
  if (from->repository().id() == to->repository().id()) {
    return fail(ErrorCode::Invalid, "both are places of one repository: use --mirror");
  }
  FIRN_LET(const repo::SnapshotList* list, from->snapshots());
  FIRN_LET(const auto chosen, select_snapshots(*list, command.filter, command.ids));
  FIRN_LET(const Copied copied, copy_all(context, *from, *to, chosen));
  if (context.out.json()) {
    context.out.line(json_text(Json::object({{"message_type", "summary"},
                                             {"snapshots_copied", copied.snapshots},
                                             {"snapshots_skipped", copied.skipped}})));
  } else {
    context.out.note("copied " + count_text(copied.snapshots) + " snapshots, " + count_text(copied.skipped) +
                     " were here");
  }
  return list->problems.empty() ? kExitOk : kExitFailed;
}

}  // namespace

void add_copy(CommandSet& set) {
  auto options = std::make_shared<CopyCommand>();
  Command command{
      .name = "copy",
      .summary = "Copy snapshots from another repository",
      .text =
          "Reads snapshots of the repository that --from-repo names and stores them in this one, under its "
          "keys; what it holds already is not stored again. A copy keeps time, host, tags and paths, and "
          "names the first snapshot of its line as its original; snapshots that were copied before are "
          "skipped. Repositories made with 'init --copy-chunker-params' share what is copied with what is "
          "backed up. --mirror copies stored objects as they are, everything, into an empty place or an "
          "older mirror: the same repository with the same keys in a second place.",
      .examples = {{"firn copy -r /backup/two --from-repo /backup/one --from-password-file one.txt", ""},
                   {"firn copy -r /mnt/usb/mirror --from-repo /backup/one --mirror", ""}},
      .flags = filter_flags(options->filter),
      .arguments = {},
      .run = [options](Context& context) { return run_copy(context, *options); }};
  for (Flag& flag : from_flags(options->from)) {
    command.flag(std::move(flag));
  }
  command.flag({.names = "--mirror",
                .value = "",
                .help = "Copy stored objects as they are",
                .choices = {},
                .target = &options->mirror});
  command.argument({.name = "SNAP",
                    .help = "Ids in the other repository, or latest; all where none is given",
                    .required = false,
                    .choices = {},
                    .hint = Hint::Snapshot,
                    .target = &options->ids});
  set.add(std::move(command));
}

}  // namespace firn::cli
