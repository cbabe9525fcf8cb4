// The trailer of a stored pack, read without the rest of it.
#pragma once

#include <cstdint>

#include "repo/base/result.h"
#include "repo/format/pack.h"
#include "repo/repository.h"

namespace firn::repo {

/// Three small requests. Says what lies in the pack, not that it is undamaged (format::open_pack). Errors:
/// Corrupt, Unsupported, NotFound, and those of the store.
Result<format::PackTrailer> read_trailer(const Repository& repository, const format::PackName& pack,
                                         std::uint64_t size_bytes);

}  // namespace firn::repo
