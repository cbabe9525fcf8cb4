// getrandom(2) until all is filled.
#include "crypto/random.h"

#include <sys/random.h>

#include <cerrno>

#include "crypto/detail/check.h"

namespace firn::crypto {

void system_random(MutableBytes out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    CRYPTO_CHECK(got > 0);
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace firn::crypto
