#include "repo/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace firn::base {

void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "firn: internal error: %s is false at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace firn::base
