// What must hold of an LMDB data file before LMDB may map it.
//
// LMDB believes every page that it maps: a damaged offset or page number makes it read outside the map, and a
// file that ends early makes the kernel send SIGBUS. check_lmdb_file() reads the file with pread and walks
// everything that is reachable. It promises of a file that it accepts: all pages lie inside it; the nodes of
// each page lie inside the page and do not overlap; keys are in order, in the page and between its
// separators; depths and counts are what the roots say; free pages are free. A file that meets this can be
// read and written by LMDB 0.9 without a crash.
//
// Not here: whether keys and values are those that somebody once wrote (the owner of the rows checks them).
// Threads: any. Only the format of LMDB 0.9 (data version 1) on this machine's byte order and page size.
#pragma once

#include <cstdint>
#include <string_view>

#include "repo/base/result.h"

namespace firn::kv {

struct LmdbFileFacts {
  std::uint64_t transaction = 0;  // number of the last commit
  std::uint64_t page_last = 0;    // the highest page ever used
};

enum class LmdbCheck : std::uint8_t {
  Roots,  // the two meta pages: for a file that is known to be as it was left
  Pages,  // also every page that can be reached
};

/// Checks the file behind `fd`, of which LMDB will map `map_size_bytes`; `name` is for messages. Memory: one
/// bit a page. Errors: Corrupt, Unavailable (the disk does not give the bytes).
Result<LmdbFileFacts> check_lmdb_file(int fd, std::uint64_t map_size_bytes, LmdbCheck what,
                                      std::string_view name);

}  // namespace firn::kv
