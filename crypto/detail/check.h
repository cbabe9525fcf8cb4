// CRYPTO_CHECK states what only a bug or an exhausted machine can break: a caller's broken contract, or
// OpenSSL failing where its inputs are fine. It stays on in release and aborts. Untrusted input never meets
// it.
#pragma once

namespace firn::crypto::detail {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}  // namespace firn::crypto::detail

#define CRYPTO_CHECK(expression)                                             \
  do {                                                                       \
    if (!(expression)) [[unlikely]] {                                        \
      ::firn::crypto::detail::check_failed(#expression, __FILE__, __LINE__); \
    }                                                                        \
  } while (false)
