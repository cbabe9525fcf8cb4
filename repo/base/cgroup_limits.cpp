#include "repo/base/cgroup_limits.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <vector>

#include "repo/base/files.h"

namespace firn::base {
namespace {

// v1 shows "no limit" as the largest multiple of a page that fits a signed 64-bit number.
constexpr std::uint64_t kMemoryUnlimitedBytes = 1ULL << 60;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

bool contains(const std::vector<std::string_view>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

std::string read_text(const std::string& path) {
  constexpr std::size_t kBytesMax = 4 << 20;
  const auto bytes = read_file(path, kBytesMax);
  return bytes ? std::string(as_text(*bytes)) : std::string();
}

/// The first line of a control file, without its end.
std::string read_line(const std::string& path) {
  const std::string text = read_text(path);
  return text.substr(0, text.find('\n'));
}

/// A cgroup as this process sees it: the directory of its own, and the mount point above which it cannot
/// look.
struct CgroupDirectory {
  std::string mount_point;
  std::string below;  // "" or "/a/b"
};

/// Mountinfo writes space, tab, newline and backslash as three octal digits.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out.push_back(
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

/// The path of this process below hierarchy `controller` ("" is v2) as /proc/self/cgroup has it.
std::optional<std::string> cgroup_path(std::string_view cgroup_text, std::string_view controller) {
  for (const std::string_view line : split(cgroup_text, '\n')) {
    const auto first = line.find(':');
    const auto second = line.find(':', first == std::string_view::npos ? first : first + 1);
    if (second == std::string_view::npos) {
      continue;
    }
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? controllers.empty() : contains(split(controllers, ','), controller)) {
      return std::string(line.substr(second + 1));
    }
  }
  return std::nullopt;
}

/// What of `path` lies below a mount whose root is `root`. A path outside it (a process that was moved, or
/// one without its own cgroup namespace) is looked for at the mount point itself.
std::string path_below_root(std::string_view path, std::string_view root) {
  if (root == "/") {
    return path == "/" ? std::string() : std::string(path);
  }
  if (path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/')) {
    return std::string(path.substr(root.size()));
  }
  return {};
}

std::optional<CgroupDirectory> find_cgroup(std::string_view cgroup_text, std::string_view mountinfo_text,
                                           std::string_view controller) {
  const auto path = cgroup_path(cgroup_text, controller);
  if (!path) {
    return std::nullopt;
  }
  for (const std::string_view line : split(mountinfo_text, '\n')) {
    const auto separator = line.find(" - ");
    if (separator == std::string_view::npos) {
      continue;
    }
    const auto left = split(line.substr(0, separator), ' ');
    const auto right = split(line.substr(separator + 3), ' ');
    if (left.size() < 5 || right.size() < 3) {
      continue;
    }
    const bool wanted = controller.empty()
                            ? right[0] == "cgroup2"
                            : right[0] == "cgroup" && contains(split(right[2], ','), controller);
    if (wanted) {
      return CgroupDirectory{unescape(left[4]), path_below_root(*path, unescape(left[3]))};
    }
  }
  return std::nullopt;
}

/// Calls `visit` with the directory of this process and of each cgroup above it.
template <class Visit>
void for_each_level(const CgroupDirectory& cgroup, Visit visit) {
  std::string below = cgroup.below;
  while (true) {
    visit(cgroup.mount_point + below);
    if (below.empty()) {
      return;
    }
    below.resize(below.rfind('/') == std::string::npos ? 0 : below.rfind('/'));
  }
}

template <class T>
void lower(std::optional<T>& limit, std::optional<T> other) {
  if (other && (!limit || *other < *limit)) {
    limit = other;
  }
}

std::optional<std::uint64_t> memory_limit(const std::string& file) {
  const auto bytes = parse_number(read_line(file));
  return bytes && *bytes < kMemoryUnlimitedBytes ? bytes : std::nullopt;
}

std::optional<double> cpu_limit(std::string_view quota, std::string_view period) {
  const auto quota_us = parse_number(quota);
  const auto period_us = parse_number(period);
  if (!quota_us || !period_us || *quota_us == 0 || *period_us == 0) {
    return std::nullopt;  // "max" and "-1" mean no limit
  }
  return static_cast<double>(*quota_us) / static_cast<double>(*period_us);
}

}  // namespace

CgroupLimits own_cgroup_limits(const CgroupPlaces& places) {
  const std::string cgroup_text = read_text(places.cgroup_file);
  const std::string mountinfo_text = read_text(places.mountinfo_file);
  CgroupLimits limits;
  if (const auto unified = find_cgroup(cgroup_text, mountinfo_text, "")) {
    for_each_level(*unified, [&](const std::string& directory) {
      lower(limits.memory_bytes, memory_limit(directory + "/memory.max"));
      lower(limits.memory_bytes, memory_limit(directory + "/memory.high"));
      const std::string line = read_line(directory + "/cpu.max");
      const auto words = split(line, ' ');
      if (words.size() == 2) {
        lower(limits.cpus, cpu_limit(words[0], words[1]));
      }
    });
  }
  if (const auto memory = find_cgroup(cgroup_text, mountinfo_text, "memory")) {
    for_each_level(*memory, [&](const std::string& directory) {
      lower(limits.memory_bytes, memory_limit(directory + "/memory.limit_in_bytes"));
    });
  }
  if (const auto cpu = find_cgroup(cgroup_text, mountinfo_text, "cpu")) {
    for_each_level(*cpu, [&](const std::string& directory) {
      lower(limits.cpus, cpu_limit(read_line(directory + "/cpu.cfs_quota_us"),
                                   read_line(directory + "/cpu.cfs_period_us")));
    });
  }
  return limits;
}

}  // namespace firn::base
