// firn snapshots: which snapshots there are.
#include <algorithm>
#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/open.h"
#include "agent/cli/snapshot_filter.h"
#include "agent/cli/text.h"

namespace firn::cli {
namespace {

struct SnapshotsCommand {
  SnapshotFilter filter;
  bool compact = false;
  bool last = false;
  std::optional<std::uint64_t> latest;
  std::string group_by;
  std::vector<std::string> ids;
};

using Infos = std::vector<const repo::SnapshotInfo*>;

/// The newest `count` of each host and set of paths.
Infos newest(const Infos& all, std::uint64_t count) {
  Infos kept;
  for (const SnapshotGroup& group : grouped(all, {.host = true, .paths = true})) {
    const auto skip = group.snapshots.size() - std::min<std::size_t>(group.snapshots.size(), count);
    kept.insert(kept.end(), group.snapshots.begin() + static_cast<std::ptrdiff_t>(skip),
                group.snapshots.end());
  }
  std::sort(kept.begin(), kept.end(),
            [](const auto* a, const auto* b) { return a->snapshot.time < b->snapshot.time; });
  return kept;
}

std::string lines_of(const std::vector<std::string>& texts) {
  std::string lines;
  for (const std::string& text : texts) {
    lines += (lines.empty() ? "" : "\n") + printable(text);
  }
  return lines;
}

std::string table_of(const Infos& snapshots, bool compact) {
  Table table = compact ? Table({"ID", "Time", "Host", "Tags", "Size"}, {false, false, false, false, true})
                        : Table({"ID", "Time", "Host", "Tags", "Paths", "Size"},
                                {false, false, false, false, false, true});
  for (const repo::SnapshotInfo* info : snapshots) {
    const format::Snapshot& snapshot = info->snapshot;
    const format::Source& source = snapshot.source;
    std::vector<std::string> row = {short_id(info->id), plain_time(snapshot.time), printable(source.host),
                                    lines_of(source.tags)};
    if (!compact) {
      row.push_back(lines_of(source.paths));
    }
    row.push_back(size_text(snapshot.counters.total_bytes_processed));
    table.add(std::move(row));
  }
  return table.text() + (snapshots.size() == 1 ? "1 snapshot" : count_text(snapshots.size()) + " snapshots") +
         "\n";
}

Json array_of(const Infos& snapshots) {
  Json array = Json::array();
  for (const repo::SnapshotInfo* info : snapshots) {
    array.push_back(snapshot_json(*info));
  }
  return array;
}

Result<int> run_snapshots(Context& context, const SnapshotsCommand& command) {
  FIRN_LET(const GroupBy by, parse_group_by(command.group_by));
  FIRN_LET(const auto open, OpenRepository::open(context));
  FIRN_LET(const repo::SnapshotList* list, open->snapshots());
  FIRN_LET(Infos chosen, select_snapshots(*list, command.filter, command.ids));
  if (command.last || command.latest) {
    chosen = newest(chosen, command.latest.value_or(1));
  }
  if (!by.any()) {
    context.out.write(context.out.json() ? json_text(array_of(chosen)) + "\n"
                                         : table_of(chosen, command.compact));
  } else {
    Json groups = Json::array();
    for (const SnapshotGroup& group : grouped(chosen, by)) {
      if (context.out.json()) {
        Json one = Json::object();
        one["group_key"] = group.key(by);
        one["snapshots"] = array_of(group.snapshots);
        groups.push_back(std::move(one));
      } else {
        context.out.line("snapshots of " + printable(group.title(by)));
        context.out.write(table_of(group.snapshots, command.compact) + "\n");
      }
    }
    if (context.out.json()) {
      context.out.line(json_text(groups));
    }
  }
  return list->problems.empty() ? 0 : 1;
}

}  // namespace

void add_snapshots(CommandSet& set) {
  auto options = std::make_shared<SnapshotsCommand>();
  Command command{
      .name = "snapshots",
      .summary = "List snapshots",
      .text =
          "Lists the snapshots of the repository, oldest first. An id is shown by its first eight "
          "digits; every command takes as many digits as make it unique.",
      .examples = {{"firn snapshots --host db1 --latest 3",
                    "The three newest snapshots of each set of paths of one host."},
                   {"firn snapshots --json --group-by host", ""}},
      .flags = filter_flags(options->filter),
      .arguments = {},
      .run = [options](Context& context) { return run_snapshots(context, *options); }};
  command.flag({.names = "-c,--compact",
                .value = "",
                .help = "Leave the paths out",
                .choices = {},
                .target = &options->compact});
  command.flag({.names = "--latest",
                .value = "N",
                .help = "Only the newest N of each host and set of paths",
                .choices = {},
                .target = &options->latest});
  command.flag({.names = "--last",
                .value = "",
                .help = "As --latest 1",
                .choices = {},
                .target = &options->last,
                .hidden = true});
  command.flag({.names = "-g,--group-by",
                .value = "KEYS",
                .help = "Show groups by host, paths, tags or several of them: \"host,paths\"",
                .choices = {},
                .target = &options->group_by});
  command.argument({.name = "SNAP",
                    .help = "Ids, or latest; all where none is given",
                    .required = false,
                    .choices = {},
                    .hint = Hint::Snapshot,
                    .target = &options->ids});
  set.add(std::move(command));
}

}  // namespace firn::cli
