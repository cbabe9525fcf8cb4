// A command line in one text, taken apart as a shell does it, without running a shell.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "repo/base/result.h"

namespace firn::cli {

/// Words between blanks; '…' is literal, "…" knows \" and \\, a backslash takes the next character literally.
/// No variables, no globs. Errors: Invalid (a quote that does not end).
Result<std::vector<std::string>> split_shell_words(std::string_view text);

}  // namespace firn::cli
