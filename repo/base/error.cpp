// The names of error codes, and errno as an Error.
#include <array>
#include <cerrno>
#include <cstring>

#include "repo/base/result.h"

namespace firn {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::NotFound:
      return "not found";
    case ErrorCode::Exists:
      return "exists";
    case ErrorCode::Denied:
      return "denied";
    case ErrorCode::Exhausted:
      return "exhausted";
    case ErrorCode::Unavailable:
      return "unavailable";
    case ErrorCode::Corrupt:
      return "corrupt";
    case ErrorCode::Unsupported:
      return "unsupported";
    case ErrorCode::Invalid:
      return "invalid";
    case ErrorCode::WrongKey:
      return "wrong key";
    case ErrorCode::Cancelled:
      return "cancelled";
    case ErrorCode::Changed:
      return "changed";
  }
  return "unknown";
}

Error Error::in(std::string_view where) && {
  if (!message.starts_with(where)) {
    message.insert(0, ": ");
    message.insert(0, where);
  }
  return std::move(*this);
}

ErrorCode code_of_errno(int errno_value) {
  switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
      return ErrorCode::NotFound;
    case EEXIST:
    case ENOTEMPTY:
      return ErrorCode::Exists;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::Denied;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return ErrorCode::Exhausted;
    case ESTALE:
      return ErrorCode::Changed;
    case ENOTSUP:
    case ENOTTY:
    case ENOSYS:
      return ErrorCode::Unsupported;
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
    case EISDIR:
      return ErrorCode::Invalid;
    default:
      return ErrorCode::Unavailable;
  }
}

Failure fail_errno(int errno_value, std::string_view call, std::string_view object) {
  std::array<char, 128> buffer{};
  std::string message(call);
  message.append(" ").append(object).append(": ");
  message.append(strerror_r(errno_value, buffer.data(), buffer.size()));
  return fail(code_of_errno(errno_value), std::move(message));
}

}  // namespace firn
