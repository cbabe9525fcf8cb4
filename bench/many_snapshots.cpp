// Fills a local repository with many snapshots of one tree, for figures of forget and snapshots.
//
// usage: many_snapshots REPOSITORY KEYFILE COUNT
// The repository holds at least one snapshot that the key reads; copies of the first, an hour apart and with
// different hosts, are committed in one session. Then, for example:
//   time firn -r REPOSITORY --key-file KEYFILE snapshots --quiet >/dev/null
//   time firn -r REPOSITORY --key-file KEYFILE forget --keep-last 900 --group-by host --quiet
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "repo/base/executor.h"
#include "repo/base/rng.h"
#include "repo/base/scratch.h"
#include "repo/index/chunk_index.h"
#include "repo/kv/memory_kv.h"
#include "repo/session.h"
#include "repo/snapshots.h"
#include "repo/store/local_store.h"

namespace {

using namespace firn;

constexpr std::int64_t kHourNs = 3'600'000'000'000;
constexpr int kHosts = 10;

Result<repo::Unlock> read_key(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  FIRN_LET(format::KeyFile key, format::parse_key_file(as_bytes(text)));
  repo::Unlock unlock;
  unlock.key_file = std::move(key);
  return unlock;
}

Result<> fill(const char* path, const char* key_path, int count) {
  base::ThreadExecutor executor;
  base::SystemRng rng;
  base::MemoryScratch scratch;
  const base::SystemClock clock;
  const repo::Services services{executor, rng, clock, scratch};
  FIRN_LET(const repo::Unlock unlock, read_key(key_path));
  FIRN_LET(const auto store, store::LocalStore::open(path, rng, clock));
  FIRN_LET(const auto repository, repo::Repository::open(services, *store, unlock));
  kv::MemoryKv state(executor);
  FIRN_LET(const auto index, index::ChunkIndex::open(executor, state, scratch, repository->id(),
                                                     {.memory_bytes_max = 8 << 20}));
  FIRN_LET(const auto cache, repo::ObjectCache::open(*repository, &state));
  FIRN_LET(const auto session, repo::WriteSession::open(*repository, *index, *cache, state, {}));
  FIRN_LET(const auto list, repo::list_snapshots(*repository, *cache, session->maintenance()));
  if (list.snapshots.empty()) {
    return fail(ErrorCode::NotFound, "back something up first");
  }
  const repo::SnapshotInfo& first = list.snapshots.front();
  FIRN_LET(const format::ChunkSecret root, repo::open_root(*repository, first));
  for (int i = 1; i <= count; ++i) {
    format::Snapshot snapshot = first.snapshot;
    snapshot.source.host = "host-" + std::to_string(i % kHosts);
    snapshot.source.id = format::path_source_id(snapshot.source.host, snapshot.source.paths);
    snapshot.time.nanoseconds -= i * kHourNs;
    FIRN_TRY(session->commit(std::move(snapshot), root));
  }
  session->end();
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: many_snapshots REPOSITORY KEYFILE COUNT\n");
    return 2;
  }
  if (const auto filled = fill(argv[1], argv[2], std::atoi(argv[3])); !filled) {
    std::fprintf(stderr, "many_snapshots: %s\n", filled.error().message.c_str());
    return 1;
  }
  return 0;
}
