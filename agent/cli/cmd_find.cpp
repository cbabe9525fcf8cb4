// firn find: in which snapshots a file is.
#include <algorithm>
#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/nodes.h"
#include "agent/cli/text.h"
#include "agent/scan/filter.h"

namespace firn::cli {
namespace {

struct FindCommand {
  std::vector<std::string> patterns;
  SnapshotFilter filter;
  std::optional<std::string> oldest;
  std::optional<std::string> newest;
  std::vector<std::string> snapshots;
  bool ignore_case = false;
  bool long_format = false;
  bool human = false;
  bool reverse = false;
};

struct Wanted {
  scan::PatternList patterns;
  std::optional<format::Timestamp> oldest;
  std::optional<format::Timestamp> newest;

  bool takes(const std::string& path, const format::EntryFields& entry) const {
    return patterns.match_path(path).matched && (!oldest || entry.mtime >= *oldest) &&
           (!newest || entry.mtime <= *newest);
  }
};

Json match_json(World& world, const std::string& path, const format::EntryView& entry) {
  Json json = Json::object();
  json["path"] = path;
  json["permissions"] = node_permissions(entry);
  json["name"] = entry.name;
  json["type"] = node_type(entry.type);
  json["atime"] = json_time(entry.atime.value_or(entry.mtime));
  json["mtime"] = json_time(entry.mtime);
  json["ctime"] = json_time(entry.ctime);
  // Names of this machine: a snapshot holds numbers.
  json["user"] = world.source.user_name(entry.uid);
  json["group"] = world.source.group_name(entry.gid);
  json["inode"] = entry.inode;
  json["mode"] = node_mode(entry);
  json["device_id"] = entry.device;
  json["links"] = entry.nlink;
  if (!entry.target.empty()) {
    json["linktarget"] = entry.target;
  }
  json["uid"] = entry.uid;
  json["gid"] = entry.gid;
  if (entry.type == format::FileType::Regular) {
    json["size"] = entry.size_bytes;
  }
  return json;
}

/// Matches of one snapshot; printed as they come, or gathered for JSON.
Result<std::uint64_t> find_in(Context& context, const FindCommand& command, const Wanted& wanted,
                              const OpenTree& tree, Json& matches) {
  repo::RepositoryPages pages(*tree.reader);
  tree::TreeReader entries(pages, tree.root);
  std::uint64_t hits = 0;
  while (true) {
    FIRN_LET(const bool more, entries.next());
    if (!more) {
      return hits;
    }
    FIRN_TRY(context.world.stop.check());
    const format::EntryView& entry = entries.entry();
    const std::string path = shown_path(entries.key());
    if (entry.name.empty() || !wanted.takes(path, entry)) {
      continue;
    }
    if (context.out.json()) {
      matches.push_back(match_json(context.world, path, entry));
    } else {
      if (hits == 0) {
        context.out.note("in snapshot " + short_id(tree.info->id) + " of " +
                         plain_time(tree.info->snapshot.time) + ":");
      }
      context.out.line(command.long_format
                           ? long_line(path, entry, entry.target, {.human_sizes = command.human})
                           : printable(path));
    }
    ++hits;
  }
}

Result<int> run_find(Context& context, const FindCommand& command) {
  Wanted wanted;
  FIRN_LET(wanted.patterns,
           scan::PatternList::parse(command.patterns,
                                    command.ignore_case ? scan::Case::Insensitive : scan::Case::Sensitive));
  const base::WallTime now = context.world.clock.wall();
  if (command.oldest) {
    FIRN_LET(const base::WallTime time, in("--oldest", parse_time(*command.oldest, now)));
    wanted.oldest = timestamp_of(time);
  }
  if (command.newest) {
    FIRN_LET(const base::WallTime time, in("--newest", parse_time(*command.newest, now)));
    wanted.newest = timestamp_of(time);
  }
  FIRN_LET(const auto open, OpenRepository::open(context));
  FIRN_LET(const repo::SnapshotList* list, open->snapshots());
  FIRN_LET(auto chosen, select_snapshots(*list, command.filter, command.snapshots));
  if (!command.reverse) {
    std::reverse(chosen.begin(), chosen.end());  // the newest first
  }
  Json found = Json::array();
  std::uint64_t hits_all = 0;
  for (const repo::SnapshotInfo* info : chosen) {
    FIRN_LET(const OpenTree tree, open_tree(*open, *info));
    Json matches = Json::array();
    FIRN_LET(const std::uint64_t hits, find_in(context, command, wanted, tree, matches));
    hits_all += hits;
    if (hits > 0 && context.out.json()) {
      Json one = Json::object();
      one["matches"] = std::move(matches);
      one["hits"] = hits;
      one["snapshot"] = info->id.hex();
      found.push_back(std::move(one));
    } else if (hits > 0) {
      context.out.note("");
    }
  }
  if (context.out.json()) {
    context.out.line(json_text(found));
  } else if (hits_all == 0) {
    context.out.note("nothing was found in " + count_text(chosen.size()) + " snapshots");
  }
  return list->problems.empty() ? kExitOk : kExitFailed;
}

}  // namespace

void add_find(CommandSet& set) {
  auto options = std::make_shared<FindCommand>();
  Command command{
      .name = "find",
      .summary = "Find files in snapshots",
      .text =
          "Looks for names and paths in snapshots, the newest first. A pattern without a slash matches any "
          "part of a path; what is below a directory that matches is found, too.",
      .examples = {{"firn find '*.sql' --newest '2026-01-31 00:00'", ""},
                   {"firn find -l -s latest /etc/fstab", ""}},
      .flags = filter_flags(options->filter),
      .arguments = {},
      .run = [options](Context& context) { return run_find(context, *options); }};
  command.flag({.names = "-O,--oldest",
                .value = "TIME",
                .help = "Modified at this time or later",
                .choices = {},
                .target = &options->oldest});
  command.flag({.names = "-N,--newest",
                .value = "TIME",
                .help = "Modified at this time or earlier",
                .choices = {},
                .target = &options->newest});
  command.flag({.names = "-s,--snapshot",
                .value = "SNAP",
                .help = "Look only in this snapshot",
                .choices = {},
                .hint = Hint::Snapshot,
                .target = &options->snapshots});
  command.flag({.names = "-i,--ignore-case",
                .value = "",
                .help = "Any case of letters",
                .choices = {},
                .target = &options->ignore_case});
  command.flag({.names = "-l,--long",
                .value = "",
                .help = "Show type, permissions, owner, size and time, too",
                .choices = {},
                .target = &options->long_format});
  command.flag({.names = "--human-readable",
                .value = "",
                .help = "Sizes as 1.23 MiB",
                .choices = {},
                .target = &options->human});
  command.flag({.names = "-R,--reverse",
                .value = "",
                .help = "The oldest snapshot first",
                .choices = {},
                .target = &options->reverse});
  command.argument({.name = "PATTERN",
                    .help = "What to look for",
                    .required = true,
                    .choices = {},
                    .target = &options->patterns});
  set.add(std::move(command));
}

}  // namespace firn::cli
