#include "agent/mount/layout.h"

#include <algorithm>

namespace firn::mount {
namespace {

constexpr std::string_view kVariables = "iIThutpnPv";
// A name has at most 255 bytes; the rest is for the number behind it.
constexpr std::size_t kNameBytesMax = 240;
constexpr std::string_view kLatest = "latest";

std::vector<std::string> non_empty(std::vector<std::string> values) {
  std::erase(values, std::string());
  return values;
}

std::vector<std::string> values_of(char variable, const Listed& listed) {
  const format::Source& source = listed.snapshot->source;
  switch (variable) {
    case 'i':
      return {listed.id.hex().substr(0, 8)};
    case 'I':
      return {listed.id.hex()};
    case 'T':
      return {listed.time};
    case 'h':
      return non_empty({source.host});
    case 'u':
      return non_empty({source.user});
    case 't':
      return non_empty(source.tags);
    case 'p':
      return source.paths;
    case 'n':
      return non_empty({source.ns});
    case 'P':
      return non_empty({source.pod, source.pvc_uid});
    case 'v':
      return non_empty({source.volume});
    default:
      return {};
  }
}

/// A value inside of a name.
std::string as_name(std::string text) {
  std::replace(text.begin(), text.end(), '/', '_');
  std::replace(text.begin(), text.end(), '\0', '_');
  if (text == "." || text == "..") {
    std::fill(text.begin(), text.end(), '_');
  }
  return text;
}

/// The parts of a path, of which none is empty, "." or "..".
std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0) {
      parts.push_back(as_name(std::string(path.substr(0, std::min(slash, kNameBytesMax)))));
    }
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

/// Every text that the template makes of the snapshot.
std::vector<std::string> expand(std::string_view path_template, const Listed& listed) {
  std::vector<std::string> texts = {""};
  for (std::size_t at = 0; at < path_template.size(); ++at) {
    if (path_template[at] != '%' || at + 1 == path_template.size()) {
      for (std::string& text : texts) {
        text += path_template[at];
      }
      continue;
    }
    const char variable = path_template[++at];
    std::vector<std::string> longer;
    for (const std::string& value : values_of(variable, listed)) {
      for (const std::string& text : texts) {
        longer.push_back(text + (variable == 'p' ? value : as_name(value)));
      }
    }
    texts = std::move(longer);
  }
  return texts;
}

/// The directory itself, or nothing where something else has its name.
Layout::Node* directory_in(Layout::Node& parent, const std::string& name, base::WallTime time) {
  const auto [child, is_new] = parent.children.try_emplace(name);
  if (child->second.kind != Layout::Kind::Directory) {
    return nullptr;
  }
  parent.directories += is_new ? 1 : 0;
  child->second.time = std::max(child->second.time, time);
  return &child->second;
}

void place(Layout::Node& root, const std::string& path, std::size_t number, base::WallTime time) {
  std::vector<std::string> parts = parts_of(path);
  if (parts.empty()) {
    return;
  }
  const std::string name = std::move(parts.back());
  parts.pop_back();
  Layout::Node* directory = &root;
  for (const std::string& part : parts) {
    directory = directory_in(*directory, part, time);
    if (directory == nullptr) {
      return;
    }
  }
  std::string free_name = name;
  for (unsigned next = 1; directory->children.contains(free_name); ++next) {
    free_name = name + "-" + std::to_string(next);
  }
  Layout::Node snapshot;
  snapshot.kind = Layout::Kind::Snapshot;
  snapshot.snapshot = number;
  snapshot.time = time;
  directory->children.emplace(free_name, std::move(snapshot));
  directory->directories += 1;
}

void link_latest(Layout::Node& directory) {
  const std::string* newest = nullptr;
  std::size_t newest_number = 0;
  for (auto& [name, child] : directory.children) {
    if (child.kind == Layout::Kind::Directory) {
      link_latest(child);
    } else if (child.kind == Layout::Kind::Snapshot &&
               (newest == nullptr || child.snapshot > newest_number)) {
      newest = &name;
      newest_number = child.snapshot;
    }
  }
  if (newest != nullptr && !directory.children.contains(kLatest)) {
    Layout::Node link;
    link.kind = Layout::Kind::Link;
    link.target = *newest;
    link.time = directory.children.find(*newest)->second.time;
    directory.children.emplace(kLatest, std::move(link));
  }
}

}  // namespace

std::vector<std::string> default_templates() {
  return {"snapshots/%T", "ids/%i", "hosts/%h/%T", "tags/%t/%T", "paths/%p/%T", "volumes/%n/%P/%v/%T"};
}

Result<> check_template(std::string_view path_template) {
  const auto bad = [&](const std::string& why) {
    return fail(ErrorCode::Invalid, "path template \"" + std::string(path_template) + "\": " + why);
  };
  for (std::size_t at = path_template.find('%'); at != std::string_view::npos;
       at = path_template.find('%', at + 2)) {
    if (at + 1 == path_template.size() || kVariables.find(path_template[at + 1]) == std::string_view::npos) {
      return bad("after % stands one of " + std::string(kVariables));
    }
  }
  if (path_template.find_first_not_of('/') == std::string_view::npos) {
    return bad("it names nothing");
  }
  for (std::string_view rest = path_template; !rest.empty();) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    if (rest.substr(0, slash) == "." || rest.substr(0, slash) == "..") {
      return bad("write it without \".\" and \"..\"");
    }
    rest.remove_prefix(std::min(slash + 1, rest.size()));
  }
  return {};
}

Layout Layout::build(const std::vector<Listed>& snapshots, const std::vector<std::string>& templates) {
  Layout layout;
  // The first part stands there before the first snapshot does.
  for (const std::string& path_template : templates) {
    const std::vector<std::string> parts = parts_of(path_template);
    if (parts.size() > 1 && parts.front().find('%') == std::string::npos) {
      directory_in(layout.root_, parts.front(), {});
    }
  }
  for (std::size_t number = 0; number < snapshots.size(); ++number) {
    for (const std::string& path_template : templates) {
      for (const std::string& path : expand(path_template, snapshots[number])) {
        place(layout.root_, path, number, snapshots[number].snapshot->time);
      }
    }
  }
  link_latest(layout.root_);
  if (!snapshots.empty()) {
    layout.root_.time = snapshots.back().snapshot->time;
  }
  return layout;
}

const Layout::Node* Layout::find(std::string_view path) const {
  const Node* node = &root_;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const auto child = node->children.find(path.substr(0, slash));
    if (child == node->children.end()) {
      return nullptr;
    }
    node = &child->second;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return node;
}

}  // namespace firn::mount
