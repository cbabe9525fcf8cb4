#include "agent/cli/errors.h"

namespace firn::cli {

int exit_code_of(const Error& error, bool no_repository) {
  if (error.code == ErrorCode::WrongKey) {
    return kExitWrongKey;
  }
  if (error.code == ErrorCode::Cancelled) {
    return kExitInterrupted;
  }
  if (error.code == ErrorCode::NotFound && no_repository) {
    return kExitNoRepository;
  }
  return kExitFailed;
}

std::string message_of(const Error& error) {
  return printable(error.message.empty() ? to_string(error.code) : std::string_view(error.message));
}

std::string printable(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace firn::cli
