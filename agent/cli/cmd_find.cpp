// firn find: in which snapshots a file is.
#include <algorithm>
#include <map>
#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/nodes.h"
#include "agent/cli/text.h"
#include "agent/scan/filter.h"
#include "repo/tree/tree_diff.h"

namespace firn::cli {
namespace {

using format::EntryView;

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

/// Matches that are kept to be compared with: more are printed as they come, and looked for anew.
constexpr std::size_t kKeptMatchesMax = 100'000;

/// The matches of a snapshot by their place in the tree: a line, or JSON.
using Matches = std::map<Bytes, std::string>;

/// A snapshot that was searched whole, and all that was found.
struct Searched {
  format::ChunkSecret root;
  Matches matches;
};

class Finder {
 public:
  Finder(Context& context, const FindCommand& command, const Wanted& wanted)
      : context_(context), command_(command), wanted_(wanted) {}

  /// Searches a snapshot and prints what it holds. What the one before it of the same source shares with it
  /// is not read again.
  Result<> search(const OpenTree& tree) {
    repo::RepositoryPages pages(*tree.reader);
    snapshot_ = tree.info;
    hits_ = 0;
    const Bytes& source = tree.info->snapshot.source.id;
    const auto before = searched_.find(source);
    Matches matches;
    if (before != searched_.end()) {
      matches = std::move(before->second.matches);
      kept_ -= matches.size();
      const format::ChunkSecret root = before->second.root;
      searched_.erase(before);
      const auto change = [&](const format::Key& key, const EntryView*, const EntryView* now) -> Result<> {
        matches.erase(format::sort_key(key));
        if (now != nullptr) {
          add(key, *now, matches);
        }
        return context_.world.stop.check();
      };
      FIRN_TRY(tree::diff_trees({pages, root}, {pages, tree.root}, change));
    } else {
      FIRN_TRY(search_whole(pages, tree.root, matches));
    }
    const bool is_whole = hits_ == 0;
    for (const auto& [place, text] : matches) {
      print(text);
    }
    end_snapshot();
    if (is_whole && kept_ + matches.size() <= kKeptMatchesMax) {
      kept_ += matches.size();
      searched_.emplace(source, Searched{.root = tree.root, .matches = std::move(matches)});
    }
    return {};
  }

  std::uint64_t hits() const { return hits_all_; }

  void finish() {
    if (context_.out.json()) {
      context_.out.write(any_snapshot_ ? "]\n" : "[]\n");
    }
  }

 private:
  Result<> search_whole(tree::PageSource& pages, const format::ChunkSecret& root, Matches& matches) {
    tree::TreeReader entries(pages, root);
    while (true) {
      FIRN_LET(const bool more, entries.next());
      if (!more) {
        return {};
      }
      FIRN_TRY(context_.world.stop.check());
      add(entries.key(), entries.entry(), matches);
      if (matches.size() > kKeptMatchesMax) {
        for (const auto& [place, text] : matches) {
          print(text);
        }
        matches.clear();
      }
    }
  }

  void add(const format::Key& key, const EntryView& entry, Matches& matches) {
    const std::string path = shown_path(key);
    if (entry.name.empty() || !wanted_.takes(path, entry)) {
      return;
    }
    std::string text = context_.out.json() ? json_text(match_json(context_.world, path, entry))
                       : command_.long_format
                           ? long_line(path, entry, entry.target, {.human_sizes = command_.human})
                           : printable(path);
    matches.emplace(format::sort_key(key), std::move(text));
  }

  void print(const std::string& text) {
    if (context_.out.json()) {
      const char* begin = any_snapshot_ ? ",{\"matches\":[" : "[{\"matches\":[";
      context_.out.write((hits_ == 0 ? begin : ",") + text);
      any_snapshot_ = true;
    } else {
      if (hits_ == 0) {
        context_.out.note("in snapshot " + short_id(snapshot_->id) + " of " +
                          plain_time(snapshot_->snapshot.time) + ":");
      }
      context_.out.line(text);
    }
    ++hits_;
    ++hits_all_;
  }

  void end_snapshot() {
    if (hits_ == 0) {
      return;
    }
    if (context_.out.json()) {
      context_.out.write("],\"hits\":" + std::to_string(hits_) + ",\"snapshot\":\"" + snapshot_->id.hex() +
                         "\"}");
    } else {
      context_.out.note("");
    }
  }

  Context& context_;
  const FindCommand& command_;
  const Wanted& wanted_;
  const repo::SnapshotInfo* snapshot_ = nullptr;
  std::uint64_t hits_ = 0;  // of this snapshot, printed
  std::uint64_t hits_all_ = 0;
  bool any_snapshot_ = false;
  std::map<Bytes, Searched> searched_;  // the last snapshot of each source
  std::size_t kept_ = 0;                // matches in all of them
};

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
  Finder finder(context, command, wanted);
  for (const repo::SnapshotInfo* info : chosen) {
    FIRN_LET(const OpenTree tree, open_tree(*open, *info));
    FIRN_TRY(finder.search(tree));
  }
  finder.finish();
  if (finder.hits() == 0) {
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
          "part of a path; what is below a directory that matches is found, too. What snapshots of one "
          "source "
          "share is read once.",
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
