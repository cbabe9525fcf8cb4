// Errors as values: every function whose failure the world can cause returns a Result.
//
// An Error says with its code what the caller can do about it, and with its message where it happened and
// what a person should do. Context is added on the way up; it is logged once, at the top (agent/cli,
// agent/service).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace firn {

enum class ErrorCode : std::uint8_t {
  NotFound,     // the named thing is not there
  Exists,       // it is there already, with other content
  Denied,       // permission or credentials
  Exhausted,    // disk, quota, memory budget or descriptor limit is used up
  Unavailable,  // the server or device does not answer; later may help
  Corrupt,      // bytes that are not what they must be
  Unsupported,  // valid, but needs a feature that this program or platform lacks
  Invalid,      // the caller's input is wrong
  WrongKey,     // password or key does not open this repository
  Cancelled,    // somebody asked to stop
  Changed,      // the source changed under us, or a session was fenced: doing it again may help
};

/// The name of a code, for messages and JSON: "not found", "denied", …
std::string_view to_string(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::Invalid;
  std::string message;

  /// The same error, said one level up: "<where>: <message>"; as it is when it names `where` first already.
  Error in(std::string_view where) &&;
};

template <class T = void>
using Result = tl::expected<T, Error>;

using Failure = tl::unexpected<Error>;

inline Failure fail(ErrorCode code, std::string message) { return Failure(Error{code, std::move(message)}); }

/// An Error from errno, with the call and its object: "open /a/b: No space left on device".
Failure fail_errno(int errno_value, std::string_view call, std::string_view object);
ErrorCode code_of_errno(int errno_value);

/// Adds context to a failed result and leaves a good one alone.
template <class T>
Result<T> in(std::string_view where, Result<T> result) {
  if (!result) {
    return Failure(std::move(result).error().in(where));
  }
  return result;
}

}  // namespace firn

#define FIRN_CONCAT_(a, b) a##b
#define FIRN_CONCAT(a, b) FIRN_CONCAT_(a, b)

/// FIRN_LET(const auto bytes, store.get(name)): declares `bytes`, or returns the error.
#define FIRN_LET(declaration, expression) \
  FIRN_LET_(FIRN_CONCAT(firn_result_, __COUNTER__), declaration, expression)
#define FIRN_LET_(result, declaration, expression)     \
  auto result = (expression);                          \
  if (!result) {                                       \
    return ::firn::Failure(std::move(result).error()); \
  }                                                    \
  declaration = *std::move(result)

/// FIRN_TRY(store.remove(name)): returns the error, if there is one.
#define FIRN_TRY(expression)                                 \
  do {                                                       \
    if (auto firn_tried = (expression); !firn_tried) {       \
      return ::firn::Failure(std::move(firn_tried).error()); \
    }                                                        \
  } while (false)
