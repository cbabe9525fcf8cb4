#include "agent/cli/sources.h"

#include <glob.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "agent/scan/filter.h"
#include "repo/base/files.h"

namespace firn::cli {
namespace {

constexpr std::size_t kListBytesMax = 1U << 30;
constexpr std::size_t kPatternFileBytesMax = 64 << 20;

Result<Bytes> read_list(const std::string& path) {
  return base::read_file(path == "-" ? "/dev/stdin" : path, kListBytesMax);
}

std::string_view trimmed(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\r";
  const auto begin = line.find_first_not_of(kBlanks);
  return begin == std::string_view::npos ? std::string_view()
                                         : line.substr(begin, line.find_last_not_of(kBlanks) - begin + 1);
}

/// Every path that a shell would make of `pattern`.
Result<> append_matches(const std::string& pattern, std::vector<std::string>& paths) {
  glob_t found{};
  const int code = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
  for (std::size_t i = 0; i < found.gl_pathc; ++i) {
    paths.emplace_back(found.gl_pathv[i]);
  }
  ::globfree(&found);
  if (code == GLOB_NOMATCH) {
    return fail(ErrorCode::Invalid, "\"" + pattern + "\" matches nothing");
  }
  return code == 0 ? Result<>() : fail(ErrorCode::Unavailable, "glob " + pattern + " failed");
}

}  // namespace

std::string absolute_path(std::string_view path, std::string_view current) {
  std::vector<std::string_view> parts;
  const auto take = [&](std::string_view text) {
    while (!text.empty()) {
      const auto end = text.find('/');
      const std::string_view part = text.substr(0, end);
      if (part == "..") {
        if (!parts.empty()) {
          parts.pop_back();
        }
      } else if (!part.empty() && part != ".") {
        parts.push_back(part);
      }
      text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    }
  };
  if (!path.starts_with('/')) {
    take(current);
  }
  take(path);
  std::string absolute;
  for (const std::string_view part : parts) {
    absolute += "/" + std::string(part);
  }
  return absolute.empty() ? "/" : absolute;
}

Result<std::string> absolute_path(const std::string& path) {
  if (path.empty()) {
    return fail(ErrorCode::Invalid, "a path is empty");
  }
  if (path.front() == '/') {
    return absolute_path(path, "/");
  }
  const std::unique_ptr<char, decltype(&::free)> current(::getcwd(nullptr, 0), ::free);
  if (!current) {
    return fail_errno(errno, "getcwd", ".");
  }
  return absolute_path(path, current.get());
}

std::vector<std::string> parse_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (end != 0) {
      lines.emplace_back(text.substr(0, end));
    }
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return lines;
}

Result<std::vector<std::string>> parse_nul_separated(std::string_view text) {
  std::vector<std::string> paths;
  while (!text.empty()) {
    const auto end = text.find('\0');
    if (end == std::string_view::npos) {
      return fail(ErrorCode::Invalid, "the last path of the list does not end in NUL");
    }
    if (end == 0) {
      return fail(ErrorCode::Invalid, "the list holds an empty path");
    }
    paths.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return paths;
}

Result<> append_listed(const SourceLists& lists, std::vector<std::string>& paths) {
  for (const std::string& list : lists.patterns) {
    FIRN_LET(const Bytes bytes, in("--files-from", read_list(list)));
    for (const std::string& line : parse_lines(as_text(bytes))) {
      const std::string_view pattern = trimmed(line);
      if (!pattern.empty() && pattern.front() != '#') {
        FIRN_TRY(in("--files-from " + list, append_matches(std::string(pattern), paths)));
      }
    }
  }
  for (const std::string& list : lists.verbatim) {
    FIRN_LET(const Bytes bytes, in("--files-from-verbatim", read_list(list)));
    for (std::string& line : parse_lines(as_text(bytes))) {
      paths.push_back(std::move(line));
    }
  }
  for (const std::string& list : lists.raw) {
    FIRN_LET(const Bytes bytes, in("--files-from-raw", read_list(list)));
    FIRN_LET(std::vector<std::string> found,
             in("--files-from-raw " + list, parse_nul_separated(as_text(bytes))));
    paths.insert(paths.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  }
  return {};
}

Result<std::vector<std::string>> read_pattern_files(const std::vector<std::string>& files,
                                                    const Variables& variables) {
  std::vector<std::string> patterns;
  const scan::Environment environment = [&](std::string_view name) {
    return variables(std::string(name)).value_or("");
  };
  for (const std::string& file : files) {
    FIRN_LET(const Bytes bytes, in("pattern file", base::read_file(file, kPatternFileBytesMax)));
    for (std::string& pattern : scan::parse_pattern_file(as_text(bytes), environment)) {
      patterns.push_back(std::move(pattern));
    }
  }
  return patterns;
}

}  // namespace firn::cli
