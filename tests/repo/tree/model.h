// What the tests compare a tree with: a std::map in an order that is written down a second time, and random
// trees to fill it with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "repo/format/blobs.h"
#include "repo/format/keys.h"
#include "repo/format/tree.h"

namespace firn::tree {

inline constexpr format::CutSeeds kSeeds{.bundle = 7, .page = 11};

/// A directory as its parts, and a name: std::vector's order is the tree's.
using ModelKey = std::pair<std::vector<std::string>, std::string>;

inline std::vector<std::string> parts_of(std::string_view directory) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < directory.size();) {
    const std::size_t end = std::min(directory.find('/', at), directory.size());
    parts.emplace_back(directory.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}
inline std::string join(const std::vector<std::string>& parts) {
  std::string path;
  for (const std::string& part : parts) {
    path += (path.empty() ? "" : "/") + part;
  }
  return path;
}
inline ModelKey model_key(const format::Key& key) { return {parts_of(key.directory), std::string(key.name)}; }

/// std::string orders by char_traits<char>, which compares as unsigned bytes.
using Model = std::map<ModelKey, format::Entry>;

class RandomTree {
 public:
  explicit RandomTree(std::uint64_t seed) : random_(seed) {}

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  /// Names that are near each other in the order: bytes around '/', prefixes of each other, high bytes.
  std::string name() {
    static constexpr std::string_view kBytes("\x01\x02-.0ab\x7f\x80\xff", 10);
    std::string name;
    const std::uint64_t length = 1 + (below(8) == 0 ? below(255) : below(4));
    for (std::uint64_t i = 0; i < length; ++i) {
      name += kBytes[below(kBytes.size())];
    }
    return name == "." || name == ".." ? "x" : name;
  }

  format::ChunkSecret secret() {
    format::ChunkSecret t;
    const std::uint64_t number = below(50);  // few, so that neighbours share chunks
    for (std::size_t i = 0; i < t.bytes.size(); ++i) {
      t.bytes[i] = static_cast<std::byte>(number * 31 + i);
    }
    return t;
  }

  format::Entry entry(std::string name, format::FileType type) {
    format::Entry entry;
    entry.name = std::move(name);
    entry.type = type;
    entry.mode = static_cast<std::uint16_t>(below(07777));
    entry.uid = static_cast<std::uint32_t>(below(70000));
    entry.mtime = {static_cast<std::int64_t>(below(1U << 31)),
                   static_cast<std::uint32_t>(below(1'000'000'000))};
    entry.ctime = entry.mtime;
    entry.inode = random_();
    if (type == format::FileType::Symlink) {
      entry.target = std::string(1 + below(100), 't');
    } else if (type == format::FileType::Regular) {
      content(entry);
    }
    if (below(4) == 0) {
      entry.xattrs.form = format::BlobForm::Inline;
      entry.xattrs.inline_bytes =
          format::encode_xattrs({{"user.x", Bytes(below(1000), std::byte{'x'})}}).value();
    }
    return entry;
  }

  Model tree(std::size_t entries) {
    Model model;
    std::vector<std::vector<std::string>> directories{{}};
    model.emplace(ModelKey{}, entry("", format::FileType::Directory));
    while (model.size() < entries) {
      const auto directory = directories[below(directories.size())];
      add(model, directories, directory);
    }
    return model;
  }

  /// Removes, adds and changes a few entries; directories stay.
  void mutate(Model& model, std::size_t changes) {
    std::vector<std::vector<std::string>> directories;
    for (const auto& [key, entry] : model) {
      if (entry.type == format::FileType::Directory) {
        directories.push_back(path_parts(key));
      }
    }
    for (std::size_t i = 0; i < changes; ++i) {
      auto at = model.begin();
      std::advance(at, static_cast<std::ptrdiff_t>(below(model.size())));
      const std::uint64_t what = below(3);
      if (what == 0 && at->second.type != format::FileType::Directory) {
        model.erase(at);
      } else if (what == 1) {
        at->second.mtime.seconds += 1;
      } else {
        add(model, directories, directories[below(directories.size())]);
      }
    }
  }

 private:
  static std::vector<std::string> path_parts(const ModelKey& key) {
    auto parts = key.first;
    if (!key.second.empty()) {
      parts.push_back(key.second);
    }
    return parts;
  }

  void add(Model& model, std::vector<std::vector<std::string>>& directories,
           const std::vector<std::string>& directory) {
    const ModelKey key{directory, name()};
    if (model.contains(key)) {
      return;
    }
    const bool is_directory = below(6) == 0 && directory.size() < 12;
    const auto type = is_directory    ? format::FileType::Directory
                      : below(5) == 0 ? format::FileType::Symlink
                                      : format::FileType::Regular;
    model.emplace(key, entry(key.second, type));
    if (is_directory) {
      directories.push_back(path_parts(key));
    }
  }

  void content(format::Entry& entry) {
    switch (below(3)) {
      case 0:
        entry.content.form = format::BlobForm::Inline;
        entry.content.inline_bytes.assign(1 + below(format::kInlineContentBytesMax), std::byte{'c'});
        break;
      case 1:
        entry.content.form = format::BlobForm::Slices;
        for (std::uint64_t i = 0, count = 1 + below(format::kEntrySlicesMax); i < count; ++i) {
          entry.content.slices.push_back({secret(), static_cast<std::uint32_t>(below(1000)),
                                          static_cast<std::uint32_t>(1 + below(100'000))});
        }
        break;
      default:
        break;
    }
    entry.size_bytes = entry.content.length();
  }

  std::mt19937_64 random_;
};

}  // namespace firn::tree
