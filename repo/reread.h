// Reading again what looks damaged: a bad link may spoil bytes that lie whole in the store.
//
// Promise: what is called damaged was so each of kReadsMax times. Not here: answers that a store itself sees
// to be cut off, and servers that do not answer (store/retry_store.h). Threads: any.
#pragma once

#include "repo/base/result.h"

namespace firn::repo {

inline constexpr int kReadsMax = 3;

/// What `read` gives, which reads from a store and judges what came; called again while it says Corrupt.
template <class Read>
auto read_again_if_damaged(const Read& read) -> decltype(read()) {
  auto result = read();
  for (int reads = 1; reads < kReadsMax && !result && result.error().code == ErrorCode::Corrupt; ++reads) {
    result = read();
  }
  return result;
}

}  // namespace firn::repo
