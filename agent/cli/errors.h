// How errors end: the exit code of each, and the words after which a person knows what to do.
//
// Threads: any.
#pragma once

#include <string>

#include "repo/base/result.h"

namespace firn::cli {

/// The exit codes that scripts rely on.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,
  kExitSourceUnreadable = 3,  // the snapshot exists, and lacks what could not be read
  kExitNoRepository = 10,
  kExitWrongKey = 12,
  kExitInterrupted = 130,
};

/// `no_repository`: the error came from looking for the repository itself.
int exit_code_of(const Error& error, bool no_repository);

/// The error as one line of text; names and bytes from outside cannot forge another line or move the cursor.
std::string message_of(const Error& error);

/// Control bytes as \n, \t or \xNN, everything else as it is.
std::string printable(std::string_view text);

}  // namespace firn::cli
