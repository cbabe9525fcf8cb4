// firn restore: from flags to a restored tree, and what is said on the way.
#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/open.h"
#include "agent/cli/progress.h"
#include "agent/cli/snapshot_filter.h"
#include "agent/cli/sources.h"
#include "agent/cli/text.h"
#include "agent/restore/restore.h"

namespace firn::cli {
namespace {

struct RestoreCommand {
  std::string snapshot;
  std::string target;
  SnapshotFilter filter;
  scan::SelectionOptions selection;
  std::vector<std::string> include_files;
  std::vector<std::string> iinclude_files;
  std::vector<std::string> exclude_files;
  std::vector<std::string> iexclude_files;
  std::string overwrite = "always";
  bool remove_extra = false;
  bool verify = false;
  bool dry_run = false;
  bool sparse = false;
  bool ownership_by_name = false;
  std::vector<std::string> include_xattrs;
  std::vector<std::string> exclude_xattrs;
};

class Teller final : public restore::Observer {
 public:
  explicit Teller(Output& out) : out_(out) {}

  void item(restore::Action action, std::string_view path, std::uint64_t size_bytes) override {
    if (out_.verbosity() < 2) {
      return;
    }
    const char* word = action == restore::Action::Restored  ? "restored"
                       : action == restore::Action::Updated ? "updated"
                       : action == restore::Action::Deleted ? "deleted"
                                                            : "unchanged";
    if (!out_.json()) {
      out_.line(std::string(word) + std::string(10 - std::string_view(word).size(), ' ') + printable(path) +
                (size_bytes > 0 ? " (" + size_text(size_bytes) + ")" : ""));
      return;
    }
    Json json = Json::object();
    json["message_type"] = "verbose_status";
    json["action"] = word;
    json["item"] = path;
    json["size"] = size_bytes;
    out_.line(json_text(json));
  }

  void problem(std::string_view path, const Error& error) override { tell(path, error.message); }

  void not_kept(std::string_view path, std::string_view what) override {
    if (out_.json()) {
      Json json = Json::object();
      json["message_type"] = "warning";
      json["message"] = "not kept: " + std::string(what);
      json["item"] = path;
      out_.line(json_text(json));
    } else {
      out_.warn(printable(path) + ": not kept: " + printable(what));
    }
  }

 private:
  void tell(std::string_view path, const std::string& message) {
    if (out_.json()) {
      Json json = Json::object();
      json["message_type"] = "error";
      json["error"] = Json::object({{"message", message}});
      json["during"] = "restore";
      json["item"] = path;
      out_.error_line(json_text(json));
    } else {
      out_.warn(message.find(path) == std::string::npos ? printable(path) + ": " + printable(message)
                                                        : printable(message));
    }
  }

  Output& out_;
};

Sample sample_of(restore::Progress& progress) {
  Sample sample;
  const std::uint64_t errors = progress.errors.load();
  sample.phase = "restoring";
  sample.bytes = progress.bytes_restored.load() + progress.bytes_skipped.load();
  sample.bytes_total = progress.bytes_total.load();
  const std::uint64_t files = progress.files_restored.load() + progress.files_skipped.load();
  sample.done = sample.bytes_total == 0 ? fraction_of(files, progress.files_total.load())
                                        : fraction_of(sample.bytes, sample.bytes_total);
  sample.counts = count_text(files) + " of " + count_text(progress.files_total.load()) + " files" +
                  (errors == 0 ? "" : ", " + count_text(errors) + (errors == 1 ? " error" : " errors"));
  sample.current = *progress.current_file.lock();
  return sample;
}

void add_counts(Json& json, const restore::Progress& progress) {
  json["total_files"] = progress.files_total.load();
  json["files_restored"] = progress.files_restored.load();
  json["files_skipped"] = progress.files_skipped.load();
  json["files_deleted"] = progress.files_deleted.load();
  json["total_bytes"] = progress.bytes_total.load();
  json["bytes_restored"] = progress.bytes_restored.load();
  json["bytes_skipped"] = progress.bytes_skipped.load();
  json["errors"] = progress.errors.load();
}

Json status_of(restore::Progress& progress, std::chrono::nanoseconds elapsed) {
  Json json = Json::object();
  json["message_type"] = "status";
  add_times(json, sample_of(progress), elapsed);
  add_counts(json, progress);
  return json;
}

void tell_summary(Context& context, const RestoreCommand& command, const restore::Progress& progress,
                  const restore::RestoreReport& report, std::chrono::nanoseconds elapsed) {
  Output& out = context.out;
  if (out.json()) {
    Json json = Json::object();
    json["message_type"] = "summary";
    json["seconds_elapsed"] = std::chrono::duration_cast<std::chrono::seconds>(elapsed).count();
    add_counts(json, progress);
    json["files_verified"] = report.files_verified;
    json["not_kept"] = report.not_kept;
    json["dry_run"] = command.dry_run;
    out.line(json_text(json));
    return;
  }
  out.note(std::string(command.dry_run ? "would restore " : "restored ") +
           count_text(progress.files_restored.load()) + " files and directories (" +
           size_text(progress.bytes_restored.load()) + ") to " + printable(command.target) + " in " +
           duration_text(elapsed));
  if (progress.files_skipped.load() > 0) {
    out.note(count_text(progress.files_skipped.load()) + " were there already (" +
             size_text(progress.bytes_skipped.load()) + ")");
  }
  if (progress.files_deleted.load() > 0) {
    out.note(count_text(progress.files_deleted.load()) + " deleted that the snapshot does not have");
  }
  if (command.verify) {
    out.note(count_text(report.files_verified) + " files read again: as in the snapshot");
  }
  if (report.not_kept > 0) {
    out.note("of " + count_text(report.not_kept) + " entries something could not be set, as said above");
  }
}

Result<restore::RestoreOptions> make_options(const RestoreCommand& command, const Variables& variables) {
  restore::RestoreOptions options;
  scan::SelectionOptions selection = command.selection;
  const auto add_files = [&](const std::vector<std::string>& files,
                             std::vector<std::string>& patterns) -> Result<> {
    FIRN_LET(const auto more, read_pattern_files(files, variables));
    patterns.insert(patterns.end(), more.begin(), more.end());
    return {};
  };
  FIRN_TRY(add_files(command.include_files, selection.includes));
  FIRN_TRY(add_files(command.iinclude_files, selection.includes_any_case));
  FIRN_TRY(add_files(command.exclude_files, selection.excludes));
  FIRN_TRY(add_files(command.iexclude_files, selection.excludes_any_case));
  FIRN_LET(options.selection, scan::Selection::make(selection));
  options.overwrite = command.overwrite == "if-changed" ? restore::Overwrite::IfChanged
                      : command.overwrite == "if-newer" ? restore::Overwrite::IfNewer
                      : command.overwrite == "never"    ? restore::Overwrite::Never
                                                        : restore::Overwrite::Always;
  options.remove_extra = command.remove_extra;
  options.verify = command.verify;
  options.dry_run = command.dry_run;
  options.sparse = command.sparse;
  options.ownership_by_name = command.ownership_by_name;
  FIRN_LET(options.include_xattrs,
           in("--include-xattr", scan::PatternList::parse(command.include_xattrs, scan::Case::Sensitive)));
  FIRN_LET(options.exclude_xattrs,
           in("--exclude-xattr", scan::PatternList::parse(command.exclude_xattrs, scan::Case::Sensitive)));
  if (command.target.empty()) {
    return fail(ErrorCode::Invalid, "say where to: --target DIR (\"/\" puts everything back in its place)");
  }
  FIRN_LET(options.target, absolute_path(command.target));
  return options;
}

Result<int> run_restore_command(Context& context, const RestoreCommand& command) {
  FIRN_LET(restore::RestoreOptions options, make_options(command, context.world.variable));
  const SnapshotPath wanted = parse_snapshot_path(command.snapshot);
  FIRN_LET(options.subpath, tree_path(wanted.subpath));

  FIRN_LET(const auto open, OpenRepository::open(context));
  FIRN_LET(const repo::SnapshotList* list, open->snapshots());
  FIRN_LET(const repo::SnapshotInfo* info, select_snapshot(*list, command.filter, wanted.snapshot));
  FIRN_LET(const format::ChunkSecret root, repo::open_root(open->repository(), *info));
  FIRN_LET(repo::ChunkReader * reader, open->reader());
  FIRN_LET(kv::LocalKv * state, open->state());
  options.memory_bytes = open->memory().work + open->memory().packs;
  context.out.note("restoring snapshot " + short_id(info->id) + " of " + plain_time(info->snapshot.time) +
                   " by " + printable(info->snapshot.source.user) + "@" +
                   printable(info->snapshot.source.host));

  Teller teller(context.out);
  restore::Progress progress;
  Progress told(
      context, [&] { return sample_of(progress); },
      [&](std::chrono::nanoseconds elapsed) { return status_of(progress, elapsed); });
  const restore::RestoreContext restore_context{
      *reader, context.world.target, *state, context.world.stop, progress, teller};
  auto report = restore::run_restore(restore_context, root, options);
  told.end();
  if (!report && report.error().code == ErrorCode::Cancelled && context.world.stop.requested()) {
    return fail(ErrorCode::Cancelled,
                "interrupted: what was restored stays; the same command goes on where this one stopped");
  }
  if (!report) {
    return Failure(std::move(report).error());
  }
  tell_summary(context, command, progress, *report, told.elapsed());
  const std::uint64_t errors = progress.errors.load();
  if (errors > 0) {
    return fail(ErrorCode::Unavailable, count_text(errors) + (errors == 1 ? " entry was" : " entries were") +
                                            " not restored to " + options.target);
  }
  return kExitOk;
}

}  // namespace

void add_restore(CommandSet& set) {
  auto o = std::make_shared<RestoreCommand>();
  Command command{
      .name = "restore",
      .summary = "Restore a snapshot into a directory",
      .text =
          "Recreates the absolute paths of the snapshot below the target. SNAP:SUBPATH restores what is "
          "inside SUBPATH. What is there already and equal is not written again, so a restore that was "
          "interrupted goes on when it is repeated. Nothing outside of the target is touched.",
      .examples = {{"firn restore latest --target /tmp/restored", ""},
                   {"firn restore 1a2b3c4d:/home/ann --target /home/ann --overwrite if-changed --delete",
                    "Puts a home directory back to what it was."},
                   {"firn restore latest --host db1 -t /tmp/r --include '*.conf'", ""}},
      .flags = {},
      .arguments = {},
      .run = [o](Context& context) { return run_restore_command(context, *o); }};
  const auto list = [&](const char* names, std::vector<std::string>& target, const char* value,
                        const char* help, Hint hint = Hint::Nothing) {
    command.flag(
        {.names = names, .value = value, .help = help, .choices = {}, .hint = hint, .target = &target});
  };
  const auto toggle = [&](const char* names, bool& target, const char* help) {
    command.flag({.names = names, .value = "", .help = help, .choices = {}, .target = &target});
  };
  command.flag({.names = "-t,--target",
                .value = "DIR",
                .help = "Where to; made when it is not there",
                .choices = {},
                .hint = Hint::Directory,
                .target = &o->target});
  list("-i,--include", o->selection.includes, "PATTERN", "Restore only what matches");
  list("--iinclude", o->selection.includes_any_case, "PATTERN", "The same, in any case of letters");
  list("--include-file", o->include_files, "FILE", "Include patterns, one a line", Hint::File);
  list("--iinclude-file", o->iinclude_files, "FILE", "The same, in any case of letters", Hint::File);
  list("-e,--exclude", o->selection.excludes, "PATTERN", "Leave out what matches");
  list("--iexclude", o->selection.excludes_any_case, "PATTERN", "The same, in any case of letters");
  list("--exclude-file", o->exclude_files, "FILE", "Exclude patterns, one a line", Hint::File);
  list("--iexclude-file", o->iexclude_files, "FILE", "The same, in any case of letters", Hint::File);
  command.flag({.names = "--overwrite",
                .value = "RULE",
                .help = "What happens to files that are there and differ",
                .choices = {"always", "if-changed", "if-newer", "never"},
                .target = &o->overwrite});
  toggle("--delete", o->remove_extra, "Delete what the snapshot does not have, in restored directories");
  toggle("--verify", o->verify, "Read every restored file again and compare");
  toggle("-n,--dry-run", o->dry_run, "Say what would be done and write nothing");
  toggle("--sparse", o->sparse, "Make holes of long runs of zeros, too");
  list("--include-xattr", o->include_xattrs, "PATTERN", "Restore only these extended attributes");
  list("--exclude-xattr", o->exclude_xattrs, "PATTERN", "Leave out these extended attributes");
  toggle("--ownership-by-name", o->ownership_by_name, "Owners by their names, not their numbers");
  for (Flag& flag : filter_flags(o->filter)) {
    command.flag(std::move(flag));
  }
  command.argument({.name = "SNAP",
                    .help = "An id, or latest; with :SUBPATH only what is inside of it",
                    .required = true,
                    .choices = {},
                    .hint = Hint::Snapshot,
                    .target = &o->snapshot});
  set.add(std::move(command));
}

}  // namespace firn::cli
