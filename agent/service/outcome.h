// How a request fails: with a reason for programs, and a sentence for people that says what to do.
#pragma once

#include <string>

#include "repo/base/result.h"

namespace firn::service {

struct Refusal {
  std::string reason;   // CamelCase, as a condition has it
  std::string message;  // what happened and what to do
  /// Trying again soon may help: the store or the API server is away, the session was fenced.
  bool passes = false;
};

template <class T = void>
using Outcome = tl::expected<T, Refusal>;

inline tl::unexpected<Refusal> refuse(std::string reason, std::string message) {
  return tl::unexpected<Refusal>(Refusal{std::move(reason), std::move(message), false});
}

/// The refusal that an error of the engine, the repository or the API server stands for.
Refusal refusal_of(const Error& error, std::string_view doing);

}  // namespace firn::service

/// As FIRN_LET and FIRN_TRY, for outcomes.
#define FIRN_GET(declaration, expression) \
  FIRN_GET_(FIRN_CONCAT(firn_outcome_, __COUNTER__), declaration, expression)
#define FIRN_GET_(outcome, declaration, expression)      \
  auto outcome = (expression);                           \
  if (!outcome) {                                        \
    return ::tl::unexpected(std::move(outcome).error()); \
  }                                                      \
  declaration = *std::move(outcome)
