// The chunk cache of a repository: what a ChunkCache fetches through a repo::ChunkReader, and with how many
// tasks.
//
// Threads: any.
#pragma once

#include "agent/mount/chunk_cache.h"
#include "repo/chunk_reader.h"

namespace firn::mount {

/// `reader` outlives the cache. As many tasks as its store takes requests at once, within reason.
ChunkCache cache_of(repo::ChunkReader& reader, std::size_t bytes_max);

}  // namespace firn::mount
