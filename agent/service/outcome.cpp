#include "agent/service/outcome.h"

namespace firn::service {

Refusal refusal_of(const Error& error, std::string_view doing) {
  const std::string message = std::string(doing) + ": " + error.message;
  switch (error.code) {
    case ErrorCode::NotFound:
      return {"NotFound", message, false};
    case ErrorCode::Denied:
      return {"AccessDenied", message + "; check the credentials and what the key may do", false};
    case ErrorCode::Exhausted:
      return {"OutOfSpace", message, false};
    case ErrorCode::Unavailable:
      return {"Unavailable", message, true};
    case ErrorCode::Corrupt:
      return {"RepositoryDamaged", message + "; run 'firn check'", false};
    case ErrorCode::WrongKey:
      return {"WrongKey", message + "; the Secret holds a key or password of another repository", false};
    case ErrorCode::Cancelled:
      return {"Interrupted", message, true};
    case ErrorCode::Changed:
      return {"SessionFenced", message, true};
    case ErrorCode::Unsupported:
      return {"Unsupported", message, false};
    case ErrorCode::Exists:
    case ErrorCode::Invalid:
      break;
  }
  return {"Invalid", message, false};
}

}  // namespace firn::service
