// FIRN_CHECK states what only a bug in firn could break. It stays on in release: a process that is wrong
// about its own state must not go on to write backups. Bytes from outside never meet a check.
#pragma once

namespace firn::base {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}  // namespace firn::base

#define FIRN_CHECK(expression)                                     \
  do {                                                             \
    if (!(expression)) [[unlikely]] {                              \
      ::firn::base::check_failed(#expression, __FILE__, __LINE__); \
    }                                                              \
  } while (false)
