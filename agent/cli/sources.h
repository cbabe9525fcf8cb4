// What a backup is asked to read: paths, lists of paths, and the files that exclude patterns come from.
//
// Threads: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/cli/globals.h"
#include "repo/base/result.h"

namespace firn::cli {

/// An absolute path without ".", ".." and double slashes, by its text alone: links are not resolved.
Result<std::string> absolute_path(const std::string& path);
/// The same for a path in the directory `current`.
std::string absolute_path(std::string_view path, std::string_view current);

struct SourceLists {
  std::vector<std::string> patterns;  // --files-from: a path or glob a line, '#' comments
  std::vector<std::string> verbatim;  // --files-from-verbatim: a path a line
  std::vector<std::string> raw;       // --files-from-raw: paths that end in NUL
};
/// Appends what the lists name; "-" is standard input. Errors: Invalid (a glob that matches nothing, a list
/// without a path), those of reading.
Result<> append_listed(const SourceLists& lists, std::vector<std::string>& paths);

/// The paths in the text of such a list.
std::vector<std::string> parse_lines(std::string_view text);
Result<std::vector<std::string>> parse_nul_separated(std::string_view text);

/// The patterns in exclude or include files, one after the other.
Result<std::vector<std::string>> read_pattern_files(const std::vector<std::string>& files,
                                                    const Variables& variables);

}  // namespace firn::cli
