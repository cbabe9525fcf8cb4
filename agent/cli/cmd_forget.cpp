// firn forget: snapshots that are not wanted any more, by id or by policy.
#include <time.h>

#include <algorithm>
#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/open.h"
#include "agent/cli/pruning.h"
#include "agent/cli/snapshot_filter.h"
#include "agent/cli/text.h"
#include "agent/retention/policy.h"
#include "repo/forget.h"

namespace firn::cli {
namespace {

using retention::kPeriods;

struct ForgetCommand {
  SnapshotFilter filter;
  std::string group_by = "host,paths";
  std::string counts[kPeriods];
  std::string within[kPeriods];
  std::vector<std::string> keep_tags;
  bool dry_run = false;
  bool unsafe_remove_all = false;
  bool compact = false;
  bool prune = false;
  PruneFlags prune_flags;
  std::vector<std::string> ids;
};

using Infos = std::vector<const repo::SnapshotInfo*>;

/// What becomes of one group; both newest first.
struct GroupPlan {
  SnapshotGroup group;
  Infos keep;
  std::vector<std::vector<std::string>> reasons;  // of each in keep
  Infos remove;
};

std::vector<std::string> split_tags(const std::string& text) {
  std::vector<std::string> tags;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    tags.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return tags;
}

constexpr const char* kPeriodWords[kPeriods] = {"last", "hourly", "daily", "weekly", "monthly", "yearly"};

std::string within_flag(std::size_t period) {
  return period == 0 ? "--keep-within" : std::string("--keep-within-") + kPeriodWords[period];
}

Result<retention::Policy> policy_of(const ForgetCommand& command) {
  retention::Policy policy;
  for (std::size_t i = 0; i < kPeriods; ++i) {
    if (!command.counts[i].empty()) {
      FIRN_LET(policy.counts[i],
               in(std::string("--keep-") + kPeriodWords[i], retention::parse_count(command.counts[i])));
    }
    if (!command.within[i].empty()) {
      FIRN_LET(const retention::Span span, in(within_flag(i), retention::parse_span(command.within[i])));
      if (span != retention::Span{}) {
        policy.within[i] = span;
      }
    }
  }
  for (const std::string& tags : command.keep_tags) {
    policy.tags.push_back(split_tags(tags));
  }
  return policy;
}

/// East of UTC by the machine's time zone.
std::int64_t utc_offset(base::WallTime time) {
  const time_t seconds = timestamp_of(time).seconds;
  struct tm local {};
  return ::localtime_r(&seconds, &local) == nullptr ? 0 : local.tm_gmtoff;
}

GroupPlan plan_group(SnapshotGroup group, const retention::Policy& policy, base::WallTime now) {
  GroupPlan plan;
  Infos newest_first(group.snapshots.rbegin(), group.snapshots.rend());
  std::vector<retention::Candidate> candidates;
  for (const repo::SnapshotInfo* info : newest_first) {
    candidates.push_back({.time = info->snapshot.time, .tags = info->snapshot.source.tags});
  }
  std::vector<retention::Decision> decisions = retention::decide(policy, candidates, now, utc_offset);
  for (std::size_t i = 0; i < newest_first.size(); ++i) {
    if (decisions[i].keep) {
      plan.keep.push_back(newest_first[i]);
      plan.reasons.push_back(std::move(decisions[i].reasons));
    } else {
      plan.remove.push_back(newest_first[i]);
    }
  }
  plan.group = std::move(group);
  return plan;
}

/// Everything that is decided before anything is removed.
Result<std::vector<GroupPlan>> make_plan(const ForgetCommand& command, const Infos& chosen, const GroupBy& by,
                                         const retention::Policy& policy, base::WallTime now) {
  std::vector<GroupPlan> plans;
  for (SnapshotGroup& group : grouped(chosen, by)) {
    if (!command.ids.empty() || policy.empty()) {
      Infos named = group.snapshots;
      plans.push_back({.group = std::move(group), .keep = {}, .reasons = {}, .remove = std::move(named)});
      continue;
    }
    GroupPlan plan = plan_group(std::move(group), policy, now);
    if (!policy.empty() && plan.keep.empty() && !command.unsafe_remove_all) {
      const std::string title = plan.group.title(by);
      return fail(ErrorCode::Invalid, "nothing is forgotten: the policy keeps no snapshot " +
                                          (title.empty() ? std::string("at all") : "of " + title) +
                                          "; --unsafe-allow-remove-all says that this is meant");
    }
    plans.push_back(std::move(plan));
  }
  return plans;
}

Json plan_json(const std::vector<GroupPlan>& plans, const GroupBy& by) {
  Json groups = Json::array();
  for (const GroupPlan& plan : plans) {
    Json json = Json::object();
    json["tags"] = by.tags ? Json(plan.group.tags) : Json(nullptr);
    json["host"] = by.host ? plan.group.host : std::string();
    json["paths"] = by.paths ? Json(plan.group.paths) : Json(nullptr);
    json["keep"] = Json::array();
    json["remove"] = Json::array();
    json["reasons"] = Json::array();
    for (std::size_t i = 0; i < plan.keep.size(); ++i) {
      json["keep"].push_back(snapshot_json(*plan.keep[i]));
      json["reasons"].push_back(
          Json::object({{"snapshot", snapshot_json(*plan.keep[i])}, {"matches", plan.reasons[i]}}));
    }
    for (const repo::SnapshotInfo* info : plan.remove) {
      json["remove"].push_back(snapshot_json(*info));
    }
    groups.push_back(std::move(json));
  }
  return groups;
}

std::string lines_of(const std::vector<std::string>& texts) {
  std::string lines;
  for (const std::string& text : texts) {
    lines += (lines.empty() ? "" : "\n") + printable(text);
  }
  return lines;
}

std::string table_of(const Infos& snapshots, const std::vector<std::vector<std::string>>* reasons,
                     bool compact) {
  std::vector<std::string> heading = {"ID", "Time", "Host", "Tags"};
  if (reasons != nullptr) {
    heading.emplace_back("Reasons");
  }
  if (!compact) {
    heading.emplace_back("Paths");
  }
  Table table(std::move(heading));
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    const format::Snapshot& snapshot = snapshots[i]->snapshot;
    std::vector<std::string> row = {short_id(snapshots[i]->id), plain_time(snapshot.time),
                                    printable(snapshot.source.host), lines_of(snapshot.source.tags)};
    if (reasons != nullptr) {
      row.push_back(lines_of((*reasons)[i]));
    }
    if (!compact) {
      row.push_back(lines_of(snapshot.source.paths));
    }
    table.add(std::move(row));
  }
  return table.text();
}

std::string snapshots_text(std::size_t count) {
  return count_text(count) + (count == 1 ? " snapshot" : " snapshots");
}

void tell_plan(Output& out, const ForgetCommand& command, const std::vector<GroupPlan>& plans,
               const GroupBy& by) {
  if (out.quiet()) {
    return;
  }
  for (const GroupPlan& plan : plans) {
    if (const std::string title = plan.group.title(by); !title.empty()) {
      out.line("snapshots of " + printable(title));
    }
    if (!plan.keep.empty()) {
      out.line("keep " + snapshots_text(plan.keep.size()) + ":");
      out.write(table_of(plan.keep, &plan.reasons, command.compact) + "\n");
    }
    if (!plan.remove.empty()) {
      out.line((command.dry_run ? "would remove " : "remove ") + snapshots_text(plan.remove.size()) + ":");
      out.write(table_of(plan.remove, nullptr, command.compact) + "\n");
    }
  }
}

/// `code` is what forgetting ended with; it stands unless pruning fails.
Result<int> prune_after(Context& context, OpenRepository& open, const ForgetCommand& command,
                        const std::vector<format::SnapshotName>& doomed, int code) {
  PruneRequest request{.flags = command.prune_flags, .dry_run = command.dry_run, .as_if_forgotten = {}};
  for (const format::SnapshotName& name : doomed) {
    request.as_if_forgotten.insert(format::snapshot_id(name));
  }
  FIRN_LET(const int pruned, prune_repository(context, open, request));
  return pruned == kExitOk ? code : pruned;
}

Result<int> run_forget(Context& context, const ForgetCommand& command) {
  Output& out = context.out;
  FIRN_LET(const GroupBy by, parse_group_by(command.group_by));
  FIRN_LET(const retention::Policy policy, policy_of(command));
  FIRN_TRY(check(command.prune_flags));
  const SnapshotFilter& filter = command.filter;
  const bool filtered = !filter.hosts.empty() || !filter.tags.empty() || !filter.paths.empty();
  if (command.unsafe_remove_all && policy.empty() && !filtered) {
    return fail(ErrorCode::Invalid,
                "--unsafe-allow-remove-all without a policy needs a filter: --host, --tag or --path");
  }
  FIRN_LET(const auto open, OpenRepository::open(context));
  if (!command.dry_run) {
    FIRN_TRY(open->repository().keys().may_act_as(format::Role::Maintainer, context.world.clock.wall()));
  }
  const bool decides = !command.ids.empty() || !policy.empty() || command.unsafe_remove_all;
  if (!decides) {
    if (out.json()) {
      out.line("[]");
    }
    out.note("no policy and no snapshot was named: nothing is forgotten (see 'firn forget --help')");
    return kExitOk;
  }
  FIRN_LET(const repo::SnapshotList* list, open->snapshots());
  FIRN_LET(const Infos chosen, select_snapshots(*list, filter, command.ids));
  FIRN_LET(const base::WallTime now, open->repository().store().now());
  FIRN_LET(const std::vector<GroupPlan> plans, make_plan(command, chosen, by, policy, now));

  std::vector<format::SnapshotName> doomed;
  for (const GroupPlan& plan : plans) {
    for (const repo::SnapshotInfo* info : plan.remove) {
      doomed.push_back(info->snapshot.name);
    }
  }
  if (out.json()) {
    out.line(json_text(plan_json(plans, by)));
  } else {
    if (command.ids.empty()) {
      out.note("policy: " + retention::to_string(policy));
    }
    tell_plan(out, command, plans, by);
  }
  int code = list->problems.empty() ? kExitOk : kExitFailed;
  if (command.dry_run) {
    out.note("dry run: " + snapshots_text(doomed.size()) + " would be forgotten");
    return command.prune ? prune_after(context, *open, command, doomed, code) : Result<int>(code);
  }
  FIRN_LET(const repo::ForgetReport report, repo::forget_snapshots(open->repository(), doomed));
  for (const auto& kept : report.kept) {
    out.warn("snapshot " + short_id(format::snapshot_id(kept.snapshot)) +
             " could not be removed: " + message_of(kept.why));
    code = kExitSourceUnreadable;
  }
  if (!doomed.empty()) {
    out.note(snapshots_text(report.forgotten) + " forgotten" +
             (command.prune ? "" : "; 'firn prune' frees what nobody else needs"));
  }
  return command.prune ? prune_after(context, *open, command, doomed, code) : Result<int>(code);
}

}  // namespace

void add_forget(CommandSet& set) {
  auto options = std::make_shared<ForgetCommand>();
  Command command{
      .name = "forget",
      .summary = "Remove snapshots, by id or by policy",
      .text =
          "Removes the named snapshots; or groups the snapshots that pass the filters and removes, in each "
          "group, those that no --keep rule keeps. Hourly, daily … rules keep the newest snapshot of each "
          "hour, day …, and the oldest of all while they have counts left. Spans are counted back from the "
          "newest snapshot. A snapshot whose time lies in the future is kept and counts for no rule. What a "
          "snapshot alone needed is freed by 'firn prune'. Needs a maintainer key. Exit code 3: a snapshot "
          "could not be removed.",
      .examples = {{"firn forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12", ""},
                   {"firn forget --keep-within 14d --keep-tag keep --dry-run",
                    "What would be removed, and why the rest is kept."},
                   {"firn forget 5f0ac3d2", "One snapshot."}},
      .flags = {},
      .arguments = {},
      .run = [options](Context& context) { return run_forget(context, *options); }};
  struct KeepFlag {
    const char* names;
    const char* help;
  };
  // Without -H for the host: here it means --keep-hourly, as restic has it.
  const KeepFlag keep_flags[kPeriods] = {
      {"-l,--keep-last", "Keep the last N snapshots (\"unlimited\": all)"},
      {"-H,--keep-hourly", "Keep the newest of each of the last N hours with snapshots"},
      {"-d,--keep-daily", "Keep the newest of each of the last N days with snapshots"},
      {"-w,--keep-weekly", "Keep the newest of each of the last N weeks with snapshots"},
      {"-m,--keep-monthly", "Keep the newest of each of the last N months with snapshots"},
      {"-y,--keep-yearly", "Keep the newest of each of the last N years with snapshots"}};
  for (std::size_t i = 0; i < kPeriods; ++i) {
    command.flag({.names = keep_flags[i].names,
                  .value = "N",
                  .help = keep_flags[i].help,
                  .choices = {},
                  .target = &options->counts[i]});
  }
  for (std::size_t i = 0; i < kPeriods; ++i) {
    command.flag({.names = within_flag(i),
                  .value = "SPAN",
                  .help = std::string("Keep ") + (i == 0 ? "all" : kPeriodWords[i]) +
                          " snapshots of this span back from the newest: 1y2m3d4h",
                  .choices = {},
                  .target = &options->within[i]});
  }
  command.flag({.names = "--keep-tag",
                .value = "TAG[,TAG]",
                .help = "Keep snapshots with these tags",
                .choices = {},
                .target = &options->keep_tags});
  for (Flag& flag : filter_flags(options->filter)) {
    flag.names = flag.names == "-H,--host" ? "--host" : flag.names;
    command.flag(std::move(flag));
  }
  command.flag({.names = "-g,--group-by",
                .value = "KEYS",
                .help =
                    "Apply the policy to each host, paths, tags or several of them (host,paths); \"\" for "
                    "one group",
                .choices = {},
                .target = &options->group_by});
  command.flag({.names = "--prune",
                .value = "",
                .help = "Free what nobody needs afterwards, as 'firn prune' does",
                .choices = {},
                .target = &options->prune});
  for (Flag& flag : prune_flags(options->prune_flags)) {
    command.flag(std::move(flag));
  }
  command.flag({.names = "-n,--dry-run",
                .value = "",
                .help = "Say what would be removed, and remove nothing",
                .choices = {},
                .target = &options->dry_run});
  command.flag({.names = "--unsafe-allow-remove-all",
                .value = "",
                .help = "Let a policy remove every snapshot of a group; with filters also without a policy",
                .choices = {},
                .target = &options->unsafe_remove_all});
  command.flag({.names = "-c,--compact",
                .value = "",
                .help = "Leave the paths out of the tables",
                .choices = {},
                .target = &options->compact});
  command.argument({.name = "SNAP",
                    .help = "Ids of snapshots to remove; then no policy is looked at",
                    .required = false,
                    .choices = {},
                    .hint = Hint::Snapshot,
                    .target = &options->ids});
  set.add(std::move(command));
}

}  // namespace firn::cli
