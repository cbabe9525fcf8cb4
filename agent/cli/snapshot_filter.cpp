#include "agent/cli/snapshot_filter.h"

#include <algorithm>

#include "agent/cli/text.h"

namespace firn::cli {
namespace {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const auto end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

std::string joined(const std::vector<std::string>& parts, const char* separator) {
  std::string text;
  for (const std::string& part : parts) {
    text += (text.empty() ? "" : separator) + part;
  }
  return text;
}

bool has_all(const std::vector<std::string>& all, const std::vector<std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  });
}

std::vector<std::string> sorted(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  return texts;
}

}  // namespace

bool SnapshotFilter::takes(const format::Snapshot& snapshot) const {
  const format::Source& source = snapshot.source;
  const bool host_fits = hosts.empty() || std::find(hosts.begin(), hosts.end(), source.host) != hosts.end();
  const bool tags_fit =
      tags.empty() || std::any_of(tags.begin(), tags.end(), [&](const std::string& wanted) {
        return wanted.empty() ? source.tags.empty() : has_all(source.tags, split(wanted, ','));
      });
  return host_fits && tags_fit && has_all(source.paths, paths);
}

std::vector<Flag> filter_flags(SnapshotFilter& filter) {
  return {
      {.names = "-H,--host",
       .value = "HOST",
       .help = "Only snapshots of this host",
       .choices = {},
       .target = &filter.hosts},
      {.names = "--tag",
       .value = "TAG[,TAG]",
       .help = "Only snapshots with these tags",
       .choices = {},
       .target = &filter.tags},
      {.names = "--path",
       .value = "PATH",
       .help = "Only snapshots of this absolute path",
       .choices = {},
       .hint = Hint::Directory,
       .target = &filter.paths},
  };
}

Result<GroupBy> parse_group_by(std::string_view text) {
  GroupBy by;
  if (text.empty()) {
    return by;
  }
  for (const std::string& part : split(text, ',')) {
    if (part == "host" || part == "hosts") {
      by.host = true;
    } else if (part == "path" || part == "paths") {
      by.paths = true;
    } else if (part == "tag" || part == "tags") {
      by.tags = true;
    } else if (!part.empty()) {
      return fail(ErrorCode::Invalid, "--group-by: \"" + part + "\" is not host, paths or tags");
    }
  }
  return by;
}

bool same_group(const GroupBy& by, const format::Source& a, const format::Source& b) {
  return (!by.host || a.host == b.host) && (!by.paths || sorted(a.paths) == sorted(b.paths)) &&
         (!by.tags || sorted(a.tags) == sorted(b.tags));
}

Json SnapshotGroup::key(const GroupBy& by) const {
  Json json = Json::object();
  json["hostname"] = by.host ? host : std::string();
  json["paths"] = by.paths ? Json(paths) : Json(nullptr);
  json["tags"] = by.tags ? Json(tags) : Json(nullptr);
  return json;
}

std::string SnapshotGroup::title(const GroupBy& by) const {
  std::vector<std::string> parts;
  if (by.host) {
    parts.push_back("host " + host);
  }
  if (by.tags) {
    parts.push_back("tags [" + joined(tags, ", ") + "]");
  }
  if (by.paths) {
    parts.push_back("paths [" + joined(paths, ", ") + "]");
  }
  return joined(parts, ", ");
}

std::vector<SnapshotGroup> grouped(const std::vector<const repo::SnapshotInfo*>& snapshots,
                                   const GroupBy& by) {
  std::vector<SnapshotGroup> groups;
  std::map<std::vector<std::vector<std::string>>, std::size_t> places;
  for (const repo::SnapshotInfo* info : snapshots) {
    const format::Source& source = info->snapshot.source;
    SnapshotGroup group;
    group.host = by.host ? source.host : std::string();
    group.paths = by.paths ? sorted(source.paths) : std::vector<std::string>();
    group.tags = by.tags ? sorted(source.tags) : std::vector<std::string>();
    const auto [place, is_new] = places.try_emplace({{group.host}, group.paths, group.tags}, groups.size());
    if (is_new) {
      groups.push_back(std::move(group));
    }
    groups[place->second].snapshots.push_back(info);
  }
  return groups;
}

Result<const repo::SnapshotInfo*> select_snapshot(const repo::SnapshotList& list,
                                                  const SnapshotFilter& filter, const std::string& id) {
  if (id == "latest" && !list.problems.empty()) {
    // The one that cannot be read may be the latest; an older one in its place would be a silent lie.
    return fail(ErrorCode::Corrupt, "which snapshot is the latest cannot be told, because " +
                                        list.problems.front() + "; name a snapshot by its id");
  }
  if (id == "latest") {
    for (auto info = list.snapshots.rbegin(); info != list.snapshots.rend(); ++info) {
      if (filter.takes(info->snapshot)) {
        return &*info;
      }
    }
    return fail(ErrorCode::NotFound, list.snapshots.empty()
                                         ? "there is no snapshot in this repository"
                                         : "no snapshot fits the filters: see 'firn snapshots'");
  }
  const bool is_hex =
      !id.empty() && id.size() <= 64 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!is_hex) {
    return fail(ErrorCode::Invalid,
                "\"" + id + "\" is no snapshot: give \"latest\" or the first digits of an id");
  }
  return repo::find_by_prefix(list, id);
}

Result<std::vector<const repo::SnapshotInfo*>> select_snapshots(const repo::SnapshotList& list,
                                                                const SnapshotFilter& filter,
                                                                const std::vector<std::string>& ids) {
  std::vector<const repo::SnapshotInfo*> chosen;
  if (ids.empty()) {
    for (const repo::SnapshotInfo& info : list.snapshots) {
      if (filter.takes(info.snapshot)) {
        chosen.push_back(&info);
      }
    }
    return chosen;
  }
  for (const std::string& id : ids) {
    FIRN_LET(const repo::SnapshotInfo* info, select_snapshot(list, filter, id));
    if (std::find(chosen.begin(), chosen.end(), info) == chosen.end()) {
      chosen.push_back(info);
    }
  }
  return chosen;
}

SnapshotPath parse_snapshot_path(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == std::string::npos) {
    return {.snapshot = text, .subpath = {}};
  }
  return {.snapshot = text.substr(0, colon), .subpath = text.substr(colon + 1)};
}

Result<std::string> tree_path(std::string_view text) {
  std::string path;
  for (const std::string& part : split(text, '/')) {
    if (part.empty() || part == ".") {
      continue;
    }
    if (part == "..") {
      return fail(ErrorCode::Invalid, "\"" + std::string(text) + "\": write the path without \"..\"");
    }
    path += (path.empty() ? "" : "/") + part;
  }
  return path;
}

std::string joined_path(std::string_view directory, std::string_view below) {
  std::string path(directory);
  if (!directory.empty() && !below.empty()) {
    path += '/';
  }
  return path.append(below);
}

std::string short_id(const format::SnapshotId& id) { return id.hex().substr(0, 8); }

void add_counters(Json& target, const format::Snapshot& snapshot) {
  const format::Counters& counters = snapshot.counters;
  target["backup_start"] = json_time(snapshot.backup_start);
  target["backup_end"] = json_time(snapshot.backup_end);
  target["files_new"] = counters.files_new;
  target["files_changed"] = counters.files_changed;
  target["files_unmodified"] = counters.files_unmodified;
  target["dirs_new"] = counters.dirs_new;
  target["dirs_changed"] = counters.dirs_changed;
  target["dirs_unmodified"] = counters.dirs_unmodified;
  target["data_blobs"] = counters.data_blobs;
  target["tree_blobs"] = counters.tree_blobs;
  target["data_added"] = counters.data_added;
  target["data_added_packed"] = counters.data_added_packed;
  target["total_files_processed"] = counters.total_files_processed;
  target["total_bytes_processed"] = counters.total_bytes_processed;
  target["errors"] = counters.errors;
  target["files_changed_while_reading"] = counters.files_changed_while_reading;
  target["files_vanished"] = counters.files_vanished;
}

Json snapshot_json(const repo::SnapshotInfo& info) {
  const format::Snapshot& snapshot = info.snapshot;
  const format::Source& source = snapshot.source;
  Json json = Json::object();
  json["time"] = json_time(snapshot.time);
  if (snapshot.parent) {
    json["parent"] = snapshot.parent->hex();
  }
  json["tree"] = snapshot.root.hex();
  json["paths"] = source.paths;
  json["hostname"] = source.host;
  json["username"] = source.user;
  json["uid"] = source.uid;
  json["gid"] = source.gid;
  json["excludes"] = source.excludes;
  json["tags"] = source.tags;
  if (snapshot.original) {
    json["original"] = snapshot.original->hex();
  }
  json["program_version"] = source.program;
  Json summary = Json::object();
  add_counters(summary, snapshot);
  json["summary"] = std::move(summary);
  const std::pair<const char*, const std::string*> cluster[] = {
      {"cluster", &source.cluster},        {"node", &source.node},
      {"namespace", &source.ns},           {"pod", &source.pod},
      {"volume", &source.volume},          {"pvc_uid", &source.pvc_uid},
      {"request_uid", &source.request_uid}};
  for (const auto& [name, value] : cluster) {
    if (!value->empty()) {
      json[name] = *value;
    }
  }
  if (!snapshot.notes.empty()) {
    json["notes"] = snapshot.notes;
  }
  json["id"] = info.id.hex();
  json["short_id"] = short_id(info.id);
  return json;
}

}  // namespace firn::cli
