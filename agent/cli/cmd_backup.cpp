// firn backup: from flags to a snapshot, and what is said on the way.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "agent/backup/backup.h"
#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/host.h"
#include "agent/cli/open.h"
#include "agent/cli/progress.h"
#include "agent/cli/snapshot_filter.h"
#include "agent/cli/sources.h"
#include "agent/cli/stream_source.h"
#include "agent/cli/text.h"
#include "agent/state/linux_identity.h"

namespace firn::cli {
namespace {

// A fenced session's work is indexed: running again is cheap, and being fenced again and again is no
// accident.
constexpr int kSessionsMax = 3;

struct BackupCommand {
  std::vector<std::string> paths;
  SourceLists lists;
  std::vector<std::string> tags;
  std::optional<std::string> host;
  std::optional<std::string> time;
  std::optional<std::string> parent;
  std::string group_by = "host,paths";
  bool force = false;
  bool one_file_system = false;
  std::vector<std::string> excludes;
  std::vector<std::string> iexcludes;
  std::vector<std::string> exclude_files;
  std::vector<std::string> iexclude_files;
  std::vector<std::string> exclude_if_present;
  bool exclude_caches = false;
  std::optional<std::string> exclude_larger_than;
  bool from_stdin = false;
  bool from_command = false;
  std::string stdin_filename = "stdin";
  bool ignore_inode = false;
  bool ignore_ctime = false;
  bool with_atime = false;
  bool dry_run = false;
  bool skip_if_unchanged = false;
  bool no_scan = false;
  std::optional<std::string> read_concurrency;
};

/// Says what happens to single entries.
class Teller final : public backup::Observer {
 public:
  explicit Teller(Output& out) : out_(out) {}

  void item(const backup::ItemReport& report) override {
    if (out_.verbosity() < 2) {
      return;
    }
    const char* action = report.action == backup::Action::New        ? "new"
                         : report.action == backup::Action::Modified ? "modified"
                                                                     : "unchanged";
    if (!out_.json()) {
      std::string line = std::string(action) + std::string(11 - std::string_view(action).size(), ' ') +
                         printable(report.path);
      if (report.added_bytes > 0) {
        line += ", " + size_text(report.added_bytes) + " added";
      }
      out_.line(line);
      return;
    }
    Json json = status(action, report.path, report.spent);
    json["data_size"] = report.added_bytes;
    json["data_size_in_repo"] = report.added_stored_bytes;
    out_.line(json_text(json));
  }

  void problem(std::string_view path, const Error& error) override {
    if (!out_.json()) {
      out_.warn(message_of(error).find(printable(path)) == std::string::npos
                    ? printable(path) + ": " + message_of(error)
                    : message_of(error));
      return;
    }
    Json json = Json::object();
    json["message_type"] = "error";
    json["error"] = Json::object({{"message", error.message}});
    json["during"] = "archival";
    json["item"] = path;
    out_.error_line(json_text(json));
  }

  void changed_while_reading(std::string_view path) override {
    const std::string message = "changed while reading: " + printable(path);
    if (!out_.json()) {
      out_.warn(message);
      return;
    }
    Json json = Json::object();
    json["message_type"] = "warning";
    json["message"] = message;
    json["item"] = path;
    out_.line(json_text(json));
  }

  void scan_finished(const backup::Progress& progress, std::chrono::nanoseconds elapsed) {
    if (out_.verbosity() < 2 || !out_.json()) {
      return;
    }
    Json json = status("scan_finished", "", elapsed);
    json["data_size"] = progress.bytes_found.load();
    json["total_files"] = progress.files_found.load();
    out_.line(json_text(json));
  }

 private:
  static Json status(const char* action, std::string_view path, std::chrono::nanoseconds duration) {
    Json json = Json::object();
    json["message_type"] = "verbose_status";
    json["action"] = action;
    json["item"] = path;
    json["duration"] = std::chrono::duration<double>(duration).count();
    json["data_size"] = 0;
    json["data_size_in_repo"] = 0;
    json["metadata_size"] = 0;
    json["metadata_size_in_repo"] = 0;
    json["total_files"] = 0;
    return json;
  }

  Output& out_;
};

/// Absolute, sorted, without doubles; those that are not there are told and left out.
Result<std::vector<std::string>> existing_sources(const BackupCommand& command, Teller& teller,
                                                  std::uint64_t& missing) {
  std::vector<std::string> given = command.paths;
  FIRN_TRY(append_listed(command.lists, given));
  if (given.empty()) {
    return fail(ErrorCode::Invalid, "nothing to back up: name a path (see firn backup --help)");
  }
  std::vector<std::string> paths;
  for (const std::string& path : given) {
    FIRN_LET(std::string absolute, absolute_path(path));
    struct stat there {};
    if (::lstat(absolute.c_str(), &there) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
      ++missing;
      teller.problem(path, Error{ErrorCode::NotFound, "does not exist"});
      continue;
    }
    paths.push_back(std::move(absolute));
  }
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  if (paths.empty()) {
    return fail(ErrorCode::NotFound, "none of the paths to back up exists");
  }
  return paths;
}

Result<scan::Filter> make_filter(const BackupCommand& command, const Variables& variables,
                                 std::vector<std::string>& excludes_told) {
  scan::FilterOptions options;
  options.excludes = command.excludes;
  FIRN_LET(const auto more, in("--exclude-file", read_pattern_files(command.exclude_files, variables)));
  options.excludes.insert(options.excludes.end(), more.begin(), more.end());
  options.excludes_any_case = command.iexcludes;
  FIRN_LET(const auto more_any, in("--iexclude-file", read_pattern_files(command.iexclude_files, variables)));
  options.excludes_any_case.insert(options.excludes_any_case.end(), more_any.begin(), more_any.end());
  for (const std::string& text : command.exclude_if_present) {
    FIRN_LET(scan::TagFile tag, in("--exclude-if-present", scan::parse_tag_file(text)));
    options.exclude_if_present.push_back(std::move(tag));
  }
  if (command.exclude_caches) {
    options.exclude_if_present.push_back(scan::cache_directory_tag());
  }
  if (command.exclude_larger_than) {
    FIRN_LET(options.exclude_larger_than_bytes,
             in("--exclude-larger-than", scan::parse_size_bytes(*command.exclude_larger_than)));
  }
  excludes_told = options.excludes;
  return scan::Filter::make(options);
}

/// `view` is that of the session: what is chosen has not been forgotten since it began.
Result<std::optional<backup::Parent>> choose_parent(OpenRepository& open, const BackupCommand& command,
                                                    const format::Source& source,
                                                    const repo::MaintenanceView& view, Output& out) {
  if (command.force) {
    return std::nullopt;
  }
  const repo::SnapshotInfo* chosen = nullptr;
  FIRN_LET(const GroupBy by, parse_group_by(command.group_by));
  repo::SnapshotList of_source;
  if (command.parent) {
    FIRN_LET(const repo::SnapshotList* list, open.snapshots());
    FIRN_LET(chosen, in("--parent", select_snapshot(*list, {}, *command.parent)));
  } else if (by.host && by.paths && !by.tags) {
    // The usual way needs one LIST of this source alone.
    FIRN_LET(repo::ObjectCache * cache, open.cache());
    const auto tag = format::source_tag(open.repository().keys().meta(), source.id);
    FIRN_LET(of_source, repo::list_snapshots(open.repository(), *cache, view, tag));
    chosen = of_source.snapshots.empty() ? nullptr : &of_source.snapshots.back();
  } else {
    FIRN_LET(const repo::SnapshotList* list, open.snapshots());
    for (const repo::SnapshotInfo& info : list->snapshots) {
      chosen = same_group(by, info.snapshot.source, source) ? &info : chosen;
    }
  }
  if (chosen == nullptr) {
    return std::nullopt;
  }
  auto root = repo::open_root(open.repository(), *chosen);
  if (!root && root.error().code == ErrorCode::Denied && !command.parent) {
    out.note("parent " + short_id(chosen->id) + " cannot be read with this key: every file is read");
    return std::nullopt;
  }
  if (!root) {
    return Failure(std::move(root).error());
  }
  return backup::Parent{.snapshot = *chosen, .root = *root};
}

Sample sample_of(backup::Progress& progress, bool no_scan) {
  Sample sample;
  const bool scanned = progress.scan_finished.load();
  const std::uint64_t errors = progress.errors.load();
  sample.bytes = progress.bytes_done.load();
  sample.phase = scanned ? "backing up" : "scanning, backing up";
  if (scanned && !no_scan) {
    sample.bytes_total = progress.bytes_found.load();
    sample.done = progress.bytes_found.load() == 0
                      ? fraction_of(progress.files_done.load(), progress.files_found.load())
                      : fraction_of(sample.bytes, sample.bytes_total);
  }
  sample.counts = count_text(progress.files_done.load()) + " of " + count_text(progress.files_found.load()) +
                  (scanned ? "" : "+") + " files" +
                  (errors == 0 ? "" : ", " + count_text(errors) + (errors == 1 ? " error" : " errors"));
  sample.current = *progress.current_file.lock();
  return sample;
}

Json status_of(backup::Progress& progress, std::chrono::nanoseconds elapsed) {
  const Sample sample = sample_of(progress, false);
  Json json = Json::object();
  json["message_type"] = "status";
  add_times(json, sample, elapsed);
  json["total_files"] = progress.files_found.load();
  json["files_done"] = progress.files_done.load();
  json["total_bytes"] = progress.bytes_found.load();
  json["bytes_done"] = progress.bytes_done.load();
  json["error_count"] = progress.errors.load();
  json["current_files"] = sample.current.empty() ? Json::array() : Json::array({sample.current});
  return json;
}

void tell_summary(Context& context, const BackupCommand& command, const backup::BackupReport& report,
                  std::chrono::nanoseconds elapsed) {
  Output& out = context.out;
  const format::Counters& counters = report.record.counters;
  if (out.json()) {
    Json json = Json::object();
    json["message_type"] = "summary";
    json["dry_run"] = command.dry_run;
    add_counters(json, report.record);
    json["total_duration"] = std::chrono::duration<double>(elapsed).count();
    if (report.snapshot) {
      json["snapshot_id"] = report.snapshot->hex();
    }
    if (!report.notes.empty()) {
      json["notes"] = report.notes;
    }
    out.line(json_text(json));
    return;
  }
  Table table({"", "new", "changed", "unmodified"}, {false, true, true, true});
  out.note("");
  const auto row = [&](const char* what, std::uint64_t added, std::uint64_t changed, std::uint64_t same) {
    std::string line = what;
    for (const auto& [count, word] :
         {std::pair{added, " new, "}, {changed, " changed, "}, {same, " unmodified"}}) {
      const std::string text = count_text(count);
      line += std::string(text.size() < 8 ? 8 - text.size() : 1, ' ') + text + word;
    }
    out.note(line);
  };
  row("Files:", counters.files_new, counters.files_changed, counters.files_unmodified);
  row("Dirs: ", counters.dirs_new, counters.dirs_changed, counters.dirs_unmodified);
  out.note((command.dry_run ? "Would add to the repository: " : "Added to the repository: ") +
           size_text(counters.data_added) + " (" + size_text(counters.data_added_packed) + " stored)");
  out.note("");
  out.note("processed " + count_text(counters.total_files_processed) + " files, " +
           size_text(counters.total_bytes_processed) + " in " + duration_text(elapsed));
  if (counters.files_vanished > 0) {
    out.note(count_text(counters.files_vanished) + " files vanished while they were read");
  }
  for (const std::string& note : report.notes) {
    out.note("note: " + printable(note));
  }
  if (report.resumed) {
    out.note("what an interrupted backup had done was taken over");
  }
  if (report.snapshot) {
    out.note("snapshot " + out.bold(short_id(*report.snapshot)) + " saved");
  } else {
    out.note(command.dry_run ? "dry run: nothing was stored" : "nothing changed: no snapshot was made");
  }
}

struct ChosenParent {
  std::optional<backup::Parent> parent;  // none: every file is read
};

/// One try in a session of its own. Errors: Changed (the session was fenced).
Result<backup::BackupReport> back_up_once(Context& context, OpenRepository& open,
                                          const BackupCommand& command, const backup::BackupOptions& options,
                                          scan::SourceFs& source, std::optional<ChosenParent>& chosen,
                                          backup::Progress& progress, Teller& teller) {
  FIRN_LET(index::ChunkIndex * chunks, open.index());
  FIRN_LET(repo::ObjectCache * cache, open.cache());
  FIRN_LET(kv::LocalKv * state, open.state());
  FIRN_LET(repo::ChunkReader * reader, open.session_reader());
  reader->use_local_pages();
  repo::SessionOptions session_options;
  session_options.process = state::process_identity();
  session_options.pack_memory_bytes = open.memory().packs;
  session_options.dry_run = options.dry_run;
  FIRN_LET(const auto session,
           repo::WriteSession::open(open.repository(), *chunks, *cache, *state, session_options));
  for (const std::string& problem : session->index_problems().lines) {
    context.out.warn(printable(problem));
  }
  if (!chosen) {
    auto parent = choose_parent(open, command, options.source, session->maintenance(), context.out);
    if (!parent) {
      session->end();
      return Failure(std::move(parent).error());
    }
    chosen = ChosenParent{*std::move(parent)};
    if (!command.from_stdin && !command.from_command) {
      context.out.detail(1, chosen->parent ? "parent: snapshot " + short_id(chosen->parent->snapshot.id)
                                           : "no parent: every file is read");
    }
  }
  const backup::BackupContext backup_context{*session,           *reader,  source, *state,
                                             context.world.stop, progress, teller};
  FIRN_LET(backup::BackupReport report, backup::run_backup(backup_context, chosen->parent, options));
  session->end();
  return report;
}

Result<int> run_backup_command(Context& context, const BackupCommand& command) {
  Output& out = context.out;
  World& world = context.world;
  Teller teller(out);
  const bool streaming = command.from_stdin || command.from_command;

  // Everything that flags can get wrong is found before the repository is opened.
  std::uint64_t missing = 0;
  backup::BackupOptions options;
  std::unique_ptr<StreamSource> stream;
  if (streaming) {
    if (command.from_stdin && !command.paths.empty()) {
      return fail(ErrorCode::Invalid, "with --stdin no paths are read");
    }
    if (command.from_command && command.paths.empty()) {
      return fail(ErrorCode::Invalid, "--stdin-from-command: write the command behind --");
    }
    stream = std::make_unique<StreamSource>(absolute_path(command.stdin_filename, "/"), world.in_fd,
                                            world.clock, world.stop);
    options.walk.roots = {stream->path()};
  } else {
    FIRN_LET(options.walk.roots, existing_sources(command, teller, missing));
  }
  FIRN_LET(options.walk.filter, make_filter(command, world.variable, options.source.excludes));
  options.walk.crossing = command.one_file_system ? scan::Crossing::SameDevice : scan::Crossing::All;
  if (command.time) {
    FIRN_LET(options.time, in("--time", parse_time(*command.time, world.clock.wall())));
  }
  for (const std::string& tags : command.tags) {
    for (std::size_t begin = 0; begin <= tags.size();) {
      const std::size_t end = std::min(tags.find(',', begin), tags.size());
      if (end > begin) {
        options.source.tags.push_back(tags.substr(begin, end - begin));
      }
      begin = end + 1;
    }
  }
  options.source.host = command.host ? *command.host : host_name(world);
  options.source.paths = options.walk.roots;
  options.source.user = user_name_here(world);
  options.source.uid = ::geteuid();
  options.source.gid = ::getegid();
  options.source.program = program_name();
  options.source.id = format::path_source_id(options.source.host, options.source.paths);
  options.force = command.force || streaming;
  options.resume = !command.force && !streaming;
  options.ignore_inode = command.ignore_inode;
  options.ignore_ctime = command.ignore_ctime;
  options.with_atime = command.with_atime;
  options.dry_run = command.dry_run;
  options.skip_if_unchanged = command.skip_if_unchanged;
  if (stream) {
    options.before_commit = [&] { return stream->failure(); };
  }

  FIRN_LET(const auto open, OpenRepository::open(context));
  options.memory_bytes = open->memory().work;
  options.walk.memory_bytes = open->memory().walk;
  std::optional<ChosenParent> parent;  // in the first session, for all that may follow it
  if (command.from_command) {
    FIRN_TRY(stream->start_command(command.paths));
  }

  backup::Progress progress;
  Progress told(
      context, [&] { return sample_of(progress, command.no_scan || streaming); },
      [&](std::chrono::nanoseconds elapsed) { return status_of(progress, elapsed); });
  scan::SourceFs& source = stream ? static_cast<scan::SourceFs&>(*stream) : world.source;
  auto report = back_up_once(context, *open, command, options, source, parent, progress, teller);
  for (int tries = 1; !report && tries < kSessionsMax && !streaming; ++tries) {
    FIRN_LET(index::ChunkIndex * chunks, open->index());
    if (chunks->damaged()) {
      out.detail(1, "the local index is damaged: it is made anew");
      FIRN_TRY(chunks->clear());
    } else if (report.error().code != ErrorCode::Changed) {
      break;
    } else {
      out.note(
          "maintenance took this backup for dead; it is run again, without reading anew what was stored");
    }
    report = back_up_once(context, *open, command, options, source, parent, progress, teller);
  }
  told.end();
  if (!report && report.error().code == ErrorCode::Cancelled && world.stop.requested()) {
    return fail(ErrorCode::Cancelled,
                "interrupted: no snapshot was made; what was uploaded is kept, and the next backup uses it");
  }
  if (!report) {
    return Failure(std::move(report).error());
  }
  teller.scan_finished(progress, told.elapsed());
  tell_summary(context, command, *report, told.elapsed());
  return progress.errors.load() + missing > 0 ? kExitSourceUnreadable : kExitOk;
}

}  // namespace

void add_backup(CommandSet& set) {
  auto o = std::make_shared<BackupCommand>();
  Command command{
      .name = "backup",
      .summary = "Back up files and directories",
      .text =
          "Makes a snapshot of the paths. What has not changed since the latest snapshot of the same host "
          "and "
          "paths is not read again; what is in the repository already is not stored again. "
          "Running it again after an interruption goes on where it stopped.\n\n"
          "Exit code 3 means: the snapshot exists, and lacks sources that could not be read. A file that "
          "changed while it was read is kept as it was read, and named.",
      .examples = {{"firn backup --tag nightly /home /etc", ""},
                   {"firn backup -x --exclude-caches --exclude '*.tmp' --exclude '!keep.tmp' /", ""},
                   {"pg_dump mail | firn backup --stdin --stdin-filename mail.sql", ""},
                   {"firn backup --stdin-filename mail.sql --stdin-from-command -- pg_dump mail",
                    "The same, and no snapshot when pg_dump fails."}},
      .flags = {},
      .arguments = {},
      .run = [o](Context& context) { return run_backup_command(context, *o); }};
  const auto toggle = [&](const char* names, bool& target, const char* help) {
    command.flag({.names = names, .value = "", .help = help, .choices = {}, .target = &target});
  };
  const auto list = [&](const char* names, std::vector<std::string>& target, const char* value,
                        const char* help, Hint hint = Hint::Nothing) {
    command.flag(
        {.names = names, .value = value, .help = help, .choices = {}, .hint = hint, .target = &target});
  };
  const auto text = [&](const char* names, std::optional<std::string>& target, const char* value,
                        const char* help) {
    command.flag({.names = names, .value = value, .help = help, .choices = {}, .target = &target});
  };
  list("--tag", o->tags, "TAG[,TAG]", "Tags of the new snapshot");
  text("-H,--host", o->host, "HOST", "The host that the snapshot is of (FIRN_HOST)");
  text("--time", o->time, "TIME", "The time of the snapshot: \"2026-01-02 15:04:05\" (now)");
  text("--parent", o->parent, "SNAP", "Compare with this snapshot");
  command.flag({.names = "-g,--group-by",
                .value = "KEYS",
                .help = "What makes a snapshot a parent: the same host, paths, tags (host,paths)",
                .choices = {},
                .target = &o->group_by});
  toggle("-f,--force", o->force, "Read every file, whatever the parent says");
  toggle("-x,--one-file-system", o->one_file_system, "Do not enter other file systems");
  list("-e,--exclude", o->excludes, "PATTERN", "Leave out what matches");
  list("--iexclude", o->iexcludes, "PATTERN", "The same, in any case of letters");
  list("--exclude-file", o->exclude_files, "FILE", "Exclude patterns, one a line", Hint::File);
  list("--iexclude-file", o->iexclude_files, "FILE", "The same, in any case of letters", Hint::File);
  list("--exclude-if-present", o->exclude_if_present, "FILE[:HEADER]",
       "Leave out what is in directories that hold such a file");
  toggle("--exclude-caches", o->exclude_caches, "Leave out what is in directories with a CACHEDIR.TAG");
  text("--exclude-larger-than", o->exclude_larger_than, "SIZE", "Leave out files larger than this");
  list("--files-from", o->lists.patterns, "FILE", "Paths and globs to back up, one a line", Hint::File);
  list("--files-from-verbatim", o->lists.verbatim, "FILE", "Paths to back up, one a line, as they are",
       Hint::File);
  list("--files-from-raw", o->lists.raw, "FILE", "Paths to back up, each ending in NUL", Hint::File);
  toggle("--stdin", o->from_stdin, "Back up standard input as one file");
  command.flag({.names = "--stdin-filename",
                .value = "NAME",
                .help = "The file's name in the snapshot (stdin)",
                .choices = {},
                .target = &o->stdin_filename});
  toggle("--stdin-from-command", o->from_command, "Run a command and back up its output as one file");
  toggle("--ignore-inode", o->ignore_inode, "Inode numbers do not tell changes");
  toggle("--ignore-ctime", o->ignore_ctime, "Change times do not tell changes");
  toggle("--with-atime", o->with_atime, "Keep access times");
  toggle("-n,--dry-run", o->dry_run, "Say what would be done and store nothing");
  toggle("--skip-if-unchanged", o->skip_if_unchanged, "Make no snapshot when it would equal its parent");
  toggle("--no-scan", o->no_scan, "Do not estimate how long it will take");
  command.flag({.names = "--read-concurrency",
                .value = "N",
                .help = "Accepted, and of no effect",
                .choices = {},
                .target = &o->read_concurrency,
                .hidden = true});
  command.argument({.name = "PATH",
                    .help = "What to back up; with --stdin-from-command the command",
                    .required = false,
                    .choices = {},
                    .hint = Hint::File,
                    .target = &o->paths});
  set.add(std::move(command));
}

}  // namespace firn::cli
