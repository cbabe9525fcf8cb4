// firn tend: one piece of looking after a repository, as a cluster's controller has it done by a Job.
//
// Promise: whatever happens there is a report: what was done, what was found, or a reason in one word and a
// sentence that says what to do. The report is a JSON object of at most 4 KiB, so that it fits a pod's
// termination message: the Job needs no access to the API server. Not here: when it is done
// (agent/controller/repositories.h). Threads: one caller.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>

#include "agent/cli/check_subset.h"
#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/host.h"
#include "agent/cli/json.h"
#include "agent/cli/open.h"
#include "agent/cli/probe.h"
#include "agent/cli/pruning.h"
#include "agent/retention/policy.h"
#include "repo/base/files.h"
#include "repo/check.h"
#include "repo/forget.h"

namespace firn::cli {
namespace {

constexpr std::size_t kMessageBytesMax = 1500;
constexpr std::size_t kFindingsTold = 3;
constexpr std::size_t kTagBytesMax = 256;

struct TendCommand {
  std::string task = "verify";
  std::string name;
  std::string key_dir = "/etc/firn/keys";
  std::optional<std::string> report;
  std::optional<std::string> subset;
  std::string cluster;
  std::vector<std::string> retain;
};

/// What the controller is told. `credentials`: whether the store let us in, where that is known.
struct Report {
  bool ok = true;
  std::string reason;
  std::string message;
  std::optional<bool> credentials;
  std::vector<std::pair<const char*, Json>> facts;

  void fact(const char* name, Json value) { facts.emplace_back(name, std::move(value)); }
};

Report failure(std::string reason, std::string message) {
  return {.ok = false,
          .reason = std::move(reason),
          .message = std::move(message),
          .credentials = {},
          .facts = {}};
}

Report failure(const Error& error) {
  switch (error.code) {
    case ErrorCode::NotFound:
      return failure("NotFound", error.message);
    case ErrorCode::Denied:
      return failure("AccessDenied",
                     error.message + "; check the store's credentials and what the key may do");
    case ErrorCode::Exhausted:
      return failure("OutOfSpace", error.message);
    case ErrorCode::Unavailable:
      return failure("Unavailable", error.message + "; it is tried again");
    case ErrorCode::Corrupt:
      return failure("RepositoryDamaged", error.message + "; run 'firn check'");
    case ErrorCode::WrongKey:
      return failure("WrongKey",
                     error.message + "; the Secret holds a key or password of another repository");
    case ErrorCode::Cancelled:
      return failure("Interrupted", error.message);
    case ErrorCode::Changed:
      return failure("Fenced", error.message + "; it is tried again");
    case ErrorCode::Unsupported:
      return failure("Unsupported", error.message);
    case ErrorCode::Exists:
    case ErrorCode::Invalid:
      break;
  }
  return failure("Invalid", error.message);
}

/// A policy of a namespace, and what it keeps of each volume.
struct Retention {
  std::string ns;
  std::string tag;
  retention::Policy policy;
};

/// "shop/nightly:last=3,daily=7". Errors: Invalid.
Result<Retention> parse_retention(const std::string& text) {
  static constexpr const char* kWords[retention::kPeriods] = {"last",   "hourly",  "daily",
                                                              "weekly", "monthly", "yearly"};
  const auto invalid = [&](const std::string& why) {
    return fail(ErrorCode::Invalid,
                "--retain " + text + ": " + why + "; write NAMESPACE/POLICY:last=3,daily=7");
  };
  const auto slash = text.find('/');
  const auto colon = text.find(':');
  if (slash == std::string::npos || colon == std::string::npos || slash > colon || slash == 0 ||
      colon == slash + 1) {
    return invalid("no policy");
  }
  Retention out{.ns = text.substr(0, slash),
                .tag = ("policy=" + text.substr(slash + 1, colon - slash - 1)).substr(0, kTagBytesMax),
                .policy = {}};
  for (std::size_t begin = colon + 1; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string rule = text.substr(begin, end - begin);
    const auto equals = rule.find('=');
    const auto word = std::find_if(std::begin(kWords), std::end(kWords), [&](const char* one) {
      return equals != std::string::npos && rule.substr(0, equals) == one;
    });
    if (word == std::end(kWords)) {
      return invalid("'" + rule + "' is no rule");
    }
    FIRN_LET(out.policy.counts[word - std::begin(kWords)],
             in("--retain " + text, retention::parse_count(rule.substr(equals + 1))));
    begin = end + 1;
  }
  if (out.policy.empty()) {
    return invalid("it keeps nothing");
  }
  return out;
}

/// The store's authority may lie beside the key.
void take_authority(Globals& globals, const TendCommand& command) {
  const std::string path = command.key_dir + "/" + command.name + ".ca.crt";
  if (!globals.cacert && ::access(path.c_str(), R_OK) == 0) {
    globals.cacert = path;
  }
}

/// The key file or password that is called after the Repository object.
std::optional<Report> take_key(Place& place, const TendCommand& command) {
  const std::string path = command.key_dir + "/" + command.name;
  place.key_file.reset();
  place.password_file.reset();
  place.password_command.reset();
  if (::access((path + ".key").c_str(), R_OK) == 0) {
    place.key_file = path + ".key";
    return std::nullopt;
  }
  if (::access((path + ".password").c_str(), R_OK) == 0) {
    place.password_file = path + ".password";
    return std::nullopt;
  }
  return failure("KeyMissing", "the Secret has no " + command.name + ".key and no " + command.name +
                                   ".password (docs/OPERATING.md says which key goes where)");
}

/// Asks the store what is there, with nothing but its own credentials.
std::optional<Report> look(Context& context, const TendCommand& command, Report& report, bool& is_there,
                           std::uint64_t& snapshots) {
  const auto url = repository_url(context.globals.place);
  const auto options = store_options(context.globals);
  if (!url || !options) {
    return failure(url ? options.error() : url.error());
  }
  const store::StoreSeams seams{.executor = context.world.executor,
                                .rng = context.world.rng,
                                .stop = &context.world.stop,
                                .variables = context.world.variable};
  auto store = command.task == "init" ? store::init_store(*url, *options, seams)
                                      : store::open_store(*url, *options, seams);
  if (!store) {
    Report told = failure(store.error());
    if (store.error().code == ErrorCode::NotFound) {
      told.reason = "StoreNotFound";
    }
    return told;
  }
  const auto numbers = (*store)->list(format::kConfigPrefix, {}, 1);
  if (!numbers) {
    Report told = failure(numbers.error());
    if (numbers.error().code == ErrorCode::NotFound) {
      told.reason = "StoreNotFound";
      told.message = numbers.error().message;
      told.credentials = true;
    } else if (numbers.error().code == ErrorCode::Denied) {
      told.credentials = false;
    }
    return told;
  }
  report.credentials = true;
  is_there = !numbers->objects.empty();
  if (is_there) {
    const auto counted = store::list_all(**store, format::kSnapshotsPrefix, [&](const auto&) -> Result<> {
      snapshots += 1;
      return {};
    });
    if (!counted) {
      return failure(counted.error());
    }
  }
  return std::nullopt;
}

Report no_repository(const Context& context) {
  return failure("RepositoryNotFound",
                 "there is no repository at " + context.globals.place.repository.value_or("its place") +
                     " yet: make one with 'firn init', or put the administrator's password into the Secret "
                     "firn-admin-keys");
}

/// Opens it, and says who it is. Nothing in `open` when it fails.
std::optional<Report> open_it(Context& context, std::unique_ptr<OpenRepository>& open, Report& report) {
  auto opened = OpenRepository::open(context);
  if (!opened) {
    return failure(opened.error());
  }
  open = *std::move(opened);
  report.fact("repositoryID", open->repository().id().hex());
  return std::nullopt;
}

Report verify(Context& context, const TendCommand& command) {
  Report report{
      .ok = true, .reason = "Verified", .message = "it can be used", .credentials = {}, .facts = {}};
  bool is_there = false;
  std::uint64_t snapshots = 0;
  if (auto failed = look(context, command, report, is_there, snapshots)) {
    return *failed;
  }
  if (!is_there) {
    Report told = no_repository(context);
    told.credentials = true;
    return told;
  }
  report.fact("snapshots", snapshots);
  if (take_key(context.globals.place, command)) {
    report.reason = "KeyNotTried";
    report.message =
        "it is there; the Secret firn-maintainer-keys has no key to open it with, so none was tried";
    return report;
  }
  std::unique_ptr<OpenRepository> open;
  if (auto failed = open_it(context, open, report)) {
    failed->credentials = true;
    return *failed;
  }
  return report;
}

Report make(Context& context, const TendCommand& command) {
  Report report{
      .ok = true, .reason = "Made", .message = "the repository was made", .credentials = {}, .facts = {}};
  bool is_there = false;
  std::uint64_t snapshots = 0;
  if (auto failed = look(context, command, report, is_there, snapshots)) {
    return *failed;
  }
  if (is_there) {
    report.reason = "ThereAlready";
    report.message = "there is a repository already";
    return report;
  }
  if (take_key(context.globals.place, command)) {
    Report told = no_repository(context);
    told.message += " as " + command.name + ".password";
    told.credentials = true;
    return told;
  }
  repo::InitOptions options;
  options.user = user_name_here(context.world);
  options.host = host_name(context.world);
  const auto made = OpenRepository::init(context, options);
  if (!made) {
    // Two Jobs at once: the other one was faster.
    return made.error().code == ErrorCode::Exists ? report : failure(made.error());
  }
  report.fact("repositoryID", (*made)->repository().id().hex());
  return report;
}

/// What the policies do not keep; of volumes of this cluster alone.
Result<std::vector<format::SnapshotName>> choose_forgotten(const TendCommand& command,
                                                           const std::vector<Retention>& rules,
                                                           const repo::SnapshotList& list,
                                                           base::WallTime now) {
  std::vector<format::SnapshotName> doomed;
  for (const Retention& rule : rules) {
    std::map<Bytes, std::vector<const repo::SnapshotInfo*>> volumes;
    // The list is sorted by time, oldest first.
    for (auto info = list.snapshots.rbegin(); info != list.snapshots.rend(); ++info) {
      const format::Source& source = info->snapshot.source;
      const bool tagged = std::find(source.tags.begin(), source.tags.end(), rule.tag) != source.tags.end();
      if (source.cluster == command.cluster && source.ns == rule.ns && tagged) {
        volumes[source.id].push_back(&*info);
      }
    }
    for (const auto& [id, newest_first] : volumes) {
      std::vector<retention::Candidate> candidates;
      for (const repo::SnapshotInfo* info : newest_first) {
        candidates.push_back({.time = info->snapshot.time, .tags = info->snapshot.source.tags});
      }
      const auto decisions =
          retention::decide(rule.policy, candidates, now, [](base::WallTime) { return std::int64_t{0}; });
      for (std::size_t i = 0; i < newest_first.size(); ++i) {
        if (!decisions[i].keep) {
          doomed.push_back(newest_first[i]->snapshot.name);
        }
      }
    }
  }
  return doomed;
}

Result<Report> forget_and_prune(Context& context, const TendCommand& command, OpenRepository& open,
                                const std::vector<Retention>& rules) {
  Report report{.ok = true, .reason = "Succeeded", .message = {}, .credentials = {}, .facts = {}};
  std::uint64_t forgotten = 0;
  std::vector<std::string> problems;
  if (!rules.empty()) {
    FIRN_LET(const repo::SnapshotList* list, open.snapshots());
    FIRN_LET(const base::WallTime now, open.repository().store().now());
    FIRN_LET(const auto doomed, choose_forgotten(command, rules, *list, now));
    FIRN_LET(const repo::ForgetReport done, repo::forget_snapshots(open.repository(), doomed));
    forgotten = done.forgotten;
    for (const auto& kept : done.kept) {
      problems.push_back("a snapshot could not be forgotten: " + message_of(kept.why));
    }
  }
  repo::MaintenanceOptions options;
  repo::MaintenanceProgress progress;
  FIRN_LET(const repo::MaintenanceReport done, run_maintenance(context, open, options, progress));
  problems.insert(problems.end(), done.problems.begin(), done.problems.end());
  report.fact("snapshots", done.snapshots);
  report.fact("forgotten", forgotten);
  report.fact("bytesFreed", done.bytes_deleted);
  report.fact("sizeBytes", done.counts.bytes.remaining + done.bytes_waiting);
  report.fact("reclaimableBytes", done.counts.bytes.remaining_unused + done.bytes_waiting);
  report.message = std::to_string(forgotten) + " snapshots forgotten, " + std::to_string(done.bytes_deleted) +
                   " bytes freed";
  if (!problems.empty()) {
    report.ok = false;
    report.reason = "NotAllFreed";
    report.message = problems.front();
    if (problems.size() > 1) {
      report.message += "; and " + std::to_string(problems.size() - 1) + " more: see the Job's log";
    }
    for (const std::string& problem : problems) {
      context.out.warn(printable(problem));
    }
  }
  return report;
}

Report maintain(Context& context, const TendCommand& command) {
  std::vector<Retention> rules;
  for (const std::string& text : command.retain) {
    auto rule = parse_retention(text);
    if (!rule) {
      return failure(rule.error());
    }
    rules.push_back(*std::move(rule));
  }
  if (!rules.empty() && command.cluster.empty()) {
    return failure("Invalid", "--retain needs --cluster-id: other clusters' snapshots are not to be touched");
  }
  if (auto failed = take_key(context.globals.place, command)) {
    return *failed;
  }
  Report opened;
  std::unique_ptr<OpenRepository> open;
  if (auto failed = open_it(context, open, opened)) {
    return *failed;
  }
  auto report = forget_and_prune(context, command, *open, rules);
  if (!report) {
    return failure(report.error());
  }
  report->facts.insert(report->facts.end(), opened.facts.begin(), opened.facts.end());
  return *report;
}

Result<Report> check_it(Context& context, const TendCommand& command, OpenRepository& open) {
  repo::CheckOptions options;
  if (command.subset) {
    FIRN_LET(options.data, in("--read-data-subset", parse_subset(*command.subset)));
  }
  options.memory_bytes = open.memory().work + open.memory().packs;
  FIRN_LET(index::ChunkIndex * chunks, open.index());
  FIRN_LET(repo::ObjectCache * cache, open.cache());
  FIRN_LET(kv::LocalKv * state, open.state());
  repo::CheckProgress progress;
  std::vector<std::string> damage;
  FIRN_LET(const repo::CheckReport done,
           repo::check_repository(open.repository(), *chunks, *cache, *state, options, context.world.stop,
                                  progress, [&](const repo::Finding& finding) {
                                    if (finding.kind != repo::Finding::Kind::Damage) {
                                      return;
                                    }
                                    context.out.warn(printable(finding.message));
                                    for (const std::string& one : finding.affects) {
                                      context.out.error_line("      touches " + printable(one));
                                    }
                                    if (damage.size() < kFindingsTold) {
                                      damage.push_back(finding.message);
                                    }
                                  }));
  Report report{.ok = true,
                .reason = "Succeeded",
                .message = std::to_string(done.packs_read) + " packs read, nothing is damaged",
                .credentials = {},
                .facts = {}};
  if (done.errors > 0) {
    report.ok = false;
    report.reason = "DamageFound";
    report.message =
        std::to_string(done.errors) + " errors were found; see the Job's log, and 'firn repair --help'";
    for (const std::string& one : damage) {
      report.message += "; " + one;
    }
  }
  report.fact("errors", done.errors);
  report.fact("packsRead", done.packs_read);
  report.fact("contentsOpened", done.contents_opened);
  return report;
}

Report check_data(Context& context, const TendCommand& command) {
  if (auto failed = take_key(context.globals.place, command)) {
    return *failed;
  }
  Report opened;
  std::unique_ptr<OpenRepository> open;
  if (auto failed = open_it(context, open, opened)) {
    return *failed;
  }
  auto report = check_it(context, command, *open);
  return report ? *report : failure(report.error());
}

std::string text_of(const TendCommand& command, const Report& report) {
  Json json = Json::object();
  json["task"] = command.task;
  json["ok"] = report.ok;
  json["reason"] = report.reason;
  json["message"] = report.message.substr(0, kMessageBytesMax);
  if (report.credentials) {
    json["credentialsValid"] = *report.credentials;
  }
  for (const auto& [name, value] : report.facts) {
    json[name] = value;
  }
  return json_text(json);
}

Result<int> run_tend(Context& context, const TendCommand& command) {
  if (command.name.empty()) {
    return fail(ErrorCode::Invalid, "--name: what is the Repository object called?");
  }
  take_authority(context.globals, command);
  const Report report = command.task == "init"          ? make(context, command)
                        : command.task == "maintenance" ? maintain(context, command)
                        : command.task == "check"       ? check_data(context, command)
                                                        : verify(context, command);
  const std::string text = text_of(command, report);
  context.out.line(text);
  if (command.report) {
    // A pod's termination message is a file that is mounted: it can be written, not replaced.
    FIRN_LET(const base::FileDescriptor file,
             in("--report", base::open_at(AT_FDCWD, *command.report, O_WRONLY | O_CREAT | O_TRUNC, 0600)));
    FIRN_TRY(base::write_all(file.get(), as_bytes(text), *command.report));
  }
  return report.ok ? kExitOk : kExitFailed;
}

}  // namespace

void add_tend(CommandSet& set) {
  auto options = std::make_shared<TendCommand>();
  Command command{
      .name = "tend",
      .summary = "Look after a repository once, and report in JSON",
      .text =
          "What the controller of a cluster has its Jobs run; by hand, init, forget, prune and check tell "
          "more. "
          "Prints one JSON object: whether it went well, a reason in one word, what to do, and what was "
          "counted. "
          "verify: is the store there, does it let us in, does the key open the repository. init: makes it "
          "where "
          "there is none. maintenance: forgets what the policies do not keep, then frees what nobody needs. "
          "check: as 'firn check'. Exit code 1: the report says what went wrong.",
      .examples = {{"firn tend -r /srv/firn --task verify --name main", ""},
                   {"firn tend -r /srv/firn --task maintenance --name main --cluster-id 5c0e --retain "
                    "shop/nightly:last=3,daily=7",
                    "Of each volume that policy nightly of namespace shop backed up."}},
      .flags = {},
      .arguments = {},
      .run = [options](Context& context) { return run_tend(context, *options); }};
  command.flag({.names = "--task",
                .value = "WHAT",
                .help = "What is to be done",
                .choices = {"verify", "init", "maintenance", "check"},
                .target = &options->task});
  command.flag({.names = "--name",
                .value = "NAME",
                .help = "The Repository object's name: the key is NAME.key or NAME.password",
                .choices = {},
                .target = &options->name});
  command.flag({.names = "--key-dir",
                .value = "DIR",
                .help = "Where the key is",
                .choices = {},
                .hint = Hint::Directory,
                .target = &options->key_dir});
  command.flag({.names = "--report",
                .value = "FILE",
                .help = "Write the report there, too",
                .choices = {},
                .hint = Hint::File,
                .target = &options->report});
  command.flag({.names = "--read-data-subset",
                .value = "SUBSET",
                .help = "check: read part of the packs: n/t, a percentage, or a size",
                .choices = {},
                .target = &options->subset});
  command.flag({.names = "--cluster-id",
                .value = "ID",
                .help = "maintenance: only snapshots of this cluster are forgotten",
                .choices = {},
                .target = &options->cluster});
  command.flag({.names = "--retain",
                .value = "RULE",
                .help = "maintenance: NAMESPACE/POLICY:last=3,daily=7; repeatable",
                .choices = {},
                .target = &options->retain});
  set.add(std::move(command));
}

}  // namespace firn::cli
