// firn ls: what is in a snapshot.
#include <algorithm>
#include <memory>

#include "agent/cli/commands.h"
#include "agent/cli/errors.h"
#include "agent/cli/nodes.h"
#include "agent/cli/text.h"

namespace firn::cli {
namespace {

using format::EntryView;
using format::FileType;

struct LsCommand {
  std::string snapshot;
  std::vector<std::string> paths;
  SnapshotFilter filter;
  bool long_format = false;
  bool recursive = false;
  bool human = false;
  std::string sort = "name";
  bool reverse = false;
  bool ncdu = false;
};

/// An entry on its own, for sorting.
struct Row {
  std::string path;
  std::string name;
  std::string target;
  format::EntryFields fields;
};

class Lister {
 public:
  Lister(Context& context, const LsCommand& command) : context_(context), command_(command) {}

  /// Prints now, or keeps for sorting.
  void add(const format::Key& key, const EntryView& entry) {
    Row row{.path = shown_path(key),
            .name = std::string(entry.name),
            .target = std::string(entry.target),
            .fields = entry};
    if (sorts()) {
      rows_.push_back(std::move(row));
    } else {
      print(row);
    }
  }

  void finish() {
    if (!sorts()) {
      return;
    }
    const auto extension = [](const std::string& name) {
      const auto dot = name.rfind('.');
      return dot == std::string::npos ? std::string_view() : std::string_view(name).substr(dot);
    };
    const auto less = [&](const Row& a, const Row& b) {
      if (command_.sort == "size") {
        return a.fields.size_bytes < b.fields.size_bytes;
      }
      if (command_.sort == "time" || command_.sort == "mtime") {
        return a.fields.mtime < b.fields.mtime;
      }
      if (command_.sort == "atime") {
        return a.fields.atime.value_or(a.fields.mtime) < b.fields.atime.value_or(b.fields.mtime);
      }
      if (command_.sort == "ctime") {
        return a.fields.ctime < b.fields.ctime;
      }
      if (command_.sort == "extension") {
        return extension(a.name) < extension(b.name);
      }
      return a.path < b.path;
    };
    std::stable_sort(rows_.begin(), rows_.end(), less);
    if (command_.reverse) {
      std::reverse(rows_.begin(), rows_.end());
    }
    for (const Row& row : rows_) {
      print(row);
    }
  }

 private:
  bool sorts() const { return command_.sort != "name" || command_.reverse; }

  void print(const Row& row) {
    if (context_.out.json()) {
      Json json = node_json(row.path, row.name, row.fields);
      json["message_type"] = "node";
      json["struct_type"] = "node";
      if (!row.target.empty()) {
        json["linktarget"] = row.target;
      }
      context_.out.line(json_text(json));
    } else if (command_.long_format) {
      context_.out.line(long_line(row.path, row.fields, row.target, {.human_sizes = command_.human}));
    } else {
      context_.out.line(printable(row.path));
    }
  }

  Context& context_;
  const LsCommand& command_;
  std::vector<Row> rows_;
};

/// Everything below `directory`, or its children only.
Result<> list_below(Context& context, const tree::TreeReader& reader, const std::string& directory,
                    bool recursive, Lister& lister) {
  tree::TreeReader entries = recursive ? reader.list_below(directory) : reader.list_directory(directory);
  while (true) {
    FIRN_LET(const bool more, entries.next());
    if (!more) {
      return {};
    }
    FIRN_TRY(context.world.stop.check());
    lister.add(entries.key(), entries.entry());
  }
}

Json ncdu_entry(const std::string& name, const EntryView& entry) {
  Json json = Json::object();
  json["name"] = name;
  json["asize"] = entry.size_bytes;
  json["dsize"] = entry.content.length;  // without the holes
  json["dev"] = entry.device;
  json["ino"] = entry.inode;
  json["nlink"] = entry.nlink;
  if (entry.nlink > 1 && entry.type != FileType::Directory) {
    json["hlnkc"] = true;  // counted once, by device and inode
  }
  if (entry.type != FileType::Regular && entry.type != FileType::Directory) {
    json["notreg"] = true;
  }
  json["uid"] = entry.uid;
  json["gid"] = entry.gid;
  json["mode"] = entry.mode;
  json["mtime"] = entry.mtime.seconds;
  return json;
}

/// A directory's part of ncdu's nested arrays: its files, then the directories below.
Result<> write_ncdu(Context& context, const tree::TreeReader& reader, const std::string& directory) {
  std::vector<std::pair<std::string, Json>> below;
  tree::TreeReader entries = reader.list_directory(directory);
  while (true) {
    FIRN_LET(const bool more, entries.next());
    if (!more) {
      break;
    }
    FIRN_TRY(context.world.stop.check());
    const std::string name(entries.entry().name);
    Json json = ncdu_entry(name, entries.entry());
    if (entries.entry().type == FileType::Directory) {
      below.emplace_back(format::path_of({.directory = directory, .name = name}), std::move(json));
    } else {
      context.out.write(",\n" + json_text(json));
    }
  }
  for (const auto& [path, json] : below) {
    context.out.write(",\n[" + json_text(json));
    FIRN_TRY(write_ncdu(context, reader, path));
    context.out.write("]");
  }
  return {};
}

Result<int> run_ls(Context& context, const LsCommand& command) {
  const SnapshotPath wanted = parse_snapshot_path(command.snapshot);
  FIRN_LET(const std::string subpath, tree_path(wanted.subpath));
  FIRN_LET(const auto open, OpenRepository::open(context));
  FIRN_LET(const repo::SnapshotList* list, open->snapshots());
  FIRN_LET(const repo::SnapshotInfo* info, select_snapshot(*list, command.filter, wanted.snapshot));
  FIRN_LET(const OpenTree tree, open_tree(*open, *info));
  repo::RepositoryPages pages(*tree.reader);
  tree::TreeReader reader(pages, tree.root);

  if (command.ncdu) {
    Json head = Json::object({{"progname", "firn"}, {"progver", FIRN_VERSION}});
    head["timestamp"] = timestamp_of(info->snapshot.time).seconds;
    context.out.write("[1,2," + json_text(head) + ",\n[{\"name\":\"/" + json_text(Json(subpath)).substr(1) +
                      "}");
    FIRN_TRY(write_ncdu(context, reader, subpath));
    context.out.write("]]\n");
    return kExitOk;
  }
  if (context.out.json()) {
    Json json = snapshot_json(*info);
    json["message_type"] = "snapshot";
    json["struct_type"] = "snapshot";
    context.out.line(json_text(json));
  } else {
    context.out.detail(1, "snapshot " + short_id(info->id) + " of " + plain_time(info->snapshot.time));
  }

  Lister lister(context, command);
  if (command.paths.empty()) {
    FIRN_TRY(list_below(context, reader, subpath, true, lister));
  }
  for (const std::string& given : command.paths) {
    FIRN_LET(std::string path, tree_path(given));
    path = joined_path(subpath, path);
    FIRN_LET(const auto found, reader.find(path));
    if (!found) {
      return fail(ErrorCode::NotFound, "snapshot " + short_id(info->id) + " does not hold /" + path);
    }
    if (!path.empty()) {
      EntryView view;
      static_cast<format::EntryFields&>(view) = *found;
      view.name = found->name;
      view.target = found->target;
      lister.add(format::key_of(path), view);
    }
    if (found->type == FileType::Directory) {
      FIRN_TRY(list_below(context, reader, path, command.recursive, lister));
    }
  }
  lister.finish();
  return kExitOk;
}

}  // namespace

void add_ls(CommandSet& set) {
  auto options = std::make_shared<LsCommand>();
  Command command{.name = "ls",
                  .summary = "List what is in a snapshot",
                  .text = "Lists everything in a snapshot, or the named files and directories in it.",
                  .examples = {{"firn ls -l latest /home/ann", "A directory and what stands in it."},
                               {"firn ls --recursive --sort size --reverse -l latest /var", ""},
                               {"firn ls latest --ncdu | ncdu -f -", "To look around in it."}},
                  .flags = filter_flags(options->filter),
                  .arguments = {},
                  .run = [options](Context& context) { return run_ls(context, *options); }};
  const auto toggle = [&](const char* names, bool& target, const char* help) {
    command.flag({.names = names, .value = "", .help = help, .choices = {}, .target = &target});
  };
  toggle("-l,--long", options->long_format, "Show type, permissions, owner, size and time, too");
  toggle("--recursive", options->recursive, "Show what is below named directories, too");
  toggle("--human-readable", options->human, "Sizes as 1.23 MiB");
  command.flag({.names = "-s,--sort",
                .value = "KEY",
                .help = "Sort by this; needs memory for all that is listed",
                .choices = {"name", "size", "time", "mtime", "atime", "ctime", "extension"},
                .target = &options->sort});
  toggle("--reverse", options->reverse, "Sort the other way round");
  toggle("--ncdu", options->ncdu, "JSON that ncdu -f reads");
  command.argument({.name = "SNAP",
                    .help = "An id, or latest; with :SUBPATH only what is inside of it",
                    .required = true,
                    .choices = {},
                    .hint = Hint::Snapshot,
                    .target = &options->snapshot});
  command.argument({.name = "PATH",
                    .help = "Absolute paths in the snapshot",
                    .required = false,
                    .choices = {},
                    .target = &options->paths});
  set.add(std::move(command));
}

}  // namespace firn::cli
