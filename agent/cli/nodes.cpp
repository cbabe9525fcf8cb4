#include "agent/cli/nodes.h"

#include <array>
#include <cstdio>

#include "agent/cli/errors.h"
#include "agent/cli/text.h"

namespace firn::cli {
namespace {

using format::FileType;

// Bits of Go's os.FileMode.
constexpr std::uint32_t kGoDirectory = 1U << 31;
constexpr std::uint32_t kGoSymlink = 1U << 27;
constexpr std::uint32_t kGoDevice = 1U << 26;
constexpr std::uint32_t kGoNamedPipe = 1U << 25;
constexpr std::uint32_t kGoSocket = 1U << 24;
constexpr std::uint32_t kGoSetuid = 1U << 23;
constexpr std::uint32_t kGoSetgid = 1U << 22;
constexpr std::uint32_t kGoCharacterDevice = 1U << 21;
constexpr std::uint32_t kGoSticky = 1U << 20;

}  // namespace

const char* node_type(FileType type) {
  switch (type) {
    case FileType::Regular:
      return "file";
    case FileType::Directory:
      return "dir";
    case FileType::Symlink:
      return "symlink";
    case FileType::Fifo:
      return "fifo";
    case FileType::Socket:
      return "socket";
    case FileType::Block:
      return "dev";
    case FileType::Character:
      return "chardev";
    case FileType::Unknown:
      break;
  }
  return "";
}

std::uint32_t node_mode(const format::EntryFields& entry) {
  std::uint32_t mode = entry.mode & 0777U;
  switch (entry.type) {
    case FileType::Directory:
      mode |= kGoDirectory;
      break;
    case FileType::Symlink:
      mode |= kGoSymlink;
      break;
    case FileType::Fifo:
      mode |= kGoNamedPipe;
      break;
    case FileType::Socket:
      mode |= kGoSocket;
      break;
    case FileType::Block:
      mode |= kGoDevice;
      break;
    case FileType::Character:
      mode |= kGoDevice | kGoCharacterDevice;
      break;
    case FileType::Regular:
    case FileType::Unknown:
      break;
  }
  mode |= (entry.mode & 04000U) != 0 ? kGoSetuid : 0;
  mode |= (entry.mode & 02000U) != 0 ? kGoSetgid : 0;
  mode |= (entry.mode & 01000U) != 0 ? kGoSticky : 0;
  return mode;
}

std::string node_permissions(const format::EntryFields& entry) {
  // The letters of the bits from 31 down to 20.
  constexpr std::string_view kLetters = "dalTLDpSugct";
  const std::uint32_t mode = node_mode(entry);
  std::string text;
  for (std::size_t i = 0; i < kLetters.size(); ++i) {
    if ((mode >> (31 - i) & 1U) != 0) {
      text += kLetters[i];
    }
  }
  if (text.empty()) {
    text = "-";
  }
  for (int bit = 8; bit >= 0; --bit) {
    text += (mode >> bit & 1U) != 0 ? "xwr"[bit % 3] : '-';
  }
  return text;
}

Json node_json(const std::string& path, std::string_view name, const format::EntryFields& entry) {
  Json json = Json::object();
  json["name"] = name;
  json["type"] = node_type(entry.type);
  json["path"] = path;
  json["uid"] = entry.uid;
  json["gid"] = entry.gid;
  if (entry.type == FileType::Regular) {
    json["size"] = entry.size_bytes;
  }
  json["mode"] = node_mode(entry);
  json["permissions"] = node_permissions(entry);
  // Where access times were not kept restic shows the modification time, too.
  json["atime"] = json_time(entry.atime.value_or(entry.mtime));
  json["mtime"] = json_time(entry.mtime);
  json["ctime"] = json_time(entry.ctime);
  json["inode"] = entry.inode;
  return json;
}

std::string long_line(const std::string& path, const format::EntryFields& entry, std::string_view target,
                      const LongFormat& format) {
  std::array<char, 96> owners{};
  std::snprintf(owners.data(), owners.size(), " %5u %5u ", entry.uid, entry.gid);
  const std::string size = entry.type != FileType::Regular ? std::string("-")
                           : format.human_sizes            ? size_text(entry.size_bytes)
                                                           : std::to_string(entry.size_bytes);
  const std::size_t width = format.human_sizes ? 8 : 12;
  std::string line = permissions_text(entry.type, entry.mode) + owners.data();
  line += std::string(size.size() < width ? width - size.size() : 0, ' ') + size;
  line += " " + plain_time(entry.mtime) + " " + printable(path);
  return target.empty() ? line : line + " -> " + printable(target);
}

Result<OpenTree> open_tree(OpenRepository& open, const repo::SnapshotInfo& info) {
  OpenTree tree{.info = &info, .root = {}, .reader = nullptr};
  FIRN_LET(tree.root, repo::open_root(open.repository(), info));
  FIRN_LET(tree.reader, open.reader());
  return tree;
}

std::string shown_path(const format::Key& key) { return "/" + format::path_of(key); }

}  // namespace firn::cli
