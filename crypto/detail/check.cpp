// The end of a process that cannot go on.
#include "crypto/detail/check.h"

#include <openssl/err.h>

#include <array>
#include <cstdio>
#include <cstdlib>

namespace firn::crypto::detail {

void check_failed(const char* expression, const char* file, int line) {
  std::array<char, 256> reason{};
  ERR_error_string_n(ERR_peek_last_error(), reason.data(), reason.size());
  std::fprintf(stderr, "firn: check failed: %s at %s:%d (%s)\n", expression, file, line, reason.data());
  std::abort();
}

}  // namespace firn::crypto::detail
