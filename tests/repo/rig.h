// A repository in memory, and nodes that work on it, each with a local cache of its own.
//
// A test may look at and change every object of the store behind their backs. Nothing here reads a clock, a
// disk or the kernel's randomness.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "repo/base/executor.h"
#include "repo/base/rng.h"
#include "repo/base/seeded_executor.h"
#include "repo/chunk_reader.h"
#include "repo/format/page.h"
#include "repo/index/chunk_index.h"
#include "repo/kv/memory_kv.h"
#include "repo/object_cache.h"
#include "repo/repository.h"
#include "repo/session.h"
#include "repo/snapshots.h"
#include "repo/store/memory_store.h"
#include "repo/tree/slice_list.h"
#include "repo/tree/tree_reader.h"
#include "repo/tree/tree_writer.h"

namespace firn::repo {

/// Fails the test that holds it, and gives the value.
template <class T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << to_string(result.error().code) << ": " << result.error().message;
    throw std::runtime_error(result.error().message);
  }
  return *std::move(result);
}
inline void must(const Result<>& result) {
  ASSERT_TRUE(result) << to_string(result.error().code) << ": " << result.error().message;
}

inline Unlock key_file_of(int number, std::optional<format::KeyId> kid = std::nullopt) {
  std::array<std::byte, 32> key{};
  key.fill(static_cast<std::byte>(number));
  Unlock unlock;
  unlock.key_file = format::KeyFile{.kid = kid, .key = crypto::Secret<32>::copy_of(key)};
  return unlock;
}
inline Unlock password_of(std::string_view word) {
  Unlock unlock;
  unlock.password = crypto::SecretBytes::copy_of(as_bytes(word));
  return unlock;
}

/// Bytes that no codec makes smaller.
inline Bytes random_bytes(std::uint64_t seed, std::size_t count) {
  base::SeededRng rng(seed);
  Bytes bytes(count);
  rng.fill(bytes);
  return bytes;
}

/// Small files by their paths ("a/b"), each in one chunk or, when it is longer than `kPieceBytes`, several.
using Files = std::map<std::string, Bytes>;
inline constexpr std::size_t kPieceBytes = 64 << 10;

/// The world: a store, randomness, an executor.
class World {
 public:
  explicit World(base::Executor& executor_, std::uint64_t seed = 1)
      : executor(executor_), rng(seed), store(executor_) {}

  Services services() { return {executor, rng, executor.clock(), scratch}; }

  std::vector<std::string> names(std::string_view prefix) {
    std::vector<std::string> names;
    must(store::list_all(store, prefix, [&](const store::ListedObject& object) -> Result<> {
      names.push_back(object.name.str());
      return {};
    }));
    return names;
  }
  Bytes bytes(std::string_view name) { return must(store.get(object(name), 256 << 20)); }
  void replace(std::string_view name, ByteView with) {
    EXPECT_TRUE(store.put(object(name), with, {.replace = true}).done());
  }
  void flip(std::string_view name, std::size_t at) {
    Bytes changed = bytes(name);
    changed.at(at) ^= std::byte{1};
    replace(name, changed);
  }
  void remove(std::string_view name) { EXPECT_TRUE(store.remove(object(name)).done()); }
  static format::ObjectName object(std::string_view name) { return must(format::ObjectName::parse(name)); }

  base::Executor& executor;
  base::SeededRng rng;
  base::MemoryScratch scratch;
  store::MemoryStore store;
};

/// A process with a cache directory: opens the repository through `store`.
class Node {
 public:
  Node(World& world, store::ObjectStore& store, kv::LocalKv& state, const Unlock& unlock)
      : Node(world, world.services(), store, state, unlock) {}
  Node(World& world, const Services& services, store::ObjectStore& store, kv::LocalKv& state,
       const Unlock& unlock)
      : services_(services), state_(state) {
    repository_ = must(Repository::open(services_, store, unlock));
    index_ = must(index::ChunkIndex::open(world.executor, state, world.scratch, repository_->id(),
                                          {.memory_bytes_max = 2 << 20}));
    cache_ = must(ObjectCache::open(*repository_, &state));
  }

  Repository& repository() { return *repository_; }
  index::ChunkIndex& index() { return *index_; }
  ObjectCache& cache() { return *cache_; }
  kv::LocalKv& state() { return state_; }

  Result<std::unique_ptr<WriteSession>> session(SessionOptions options = {}) {
    return WriteSession::open(*repository_, *index_, *cache_, state_, options);
  }

  /// How a piece of a file gets into the repository; nothing: it is stored.
  using StorePiece = std::function<Result<format::ChunkSecret>(ChunkWriter&, ByteView piece)>;

  /// Stores files and commits a snapshot of them in the given session.
  Result<format::SnapshotId> backup(WriteSession& session, const Files& files,
                                    std::string_view source = "src", const StorePiece& store_piece = {}) {
    FIRN_LET(const tree::WrittenTree tree, write(session, files, store_piece));
    format::Snapshot snapshot;
    snapshot.source.id = to_bytes(as_bytes(source));
    snapshot.source.host = "host";
    snapshot.time = services_.clock.wall();
    snapshot.root = tree.id;
    snapshot.refs_root = tree.refs;
    return session.commit(std::move(snapshot), tree.t);
  }
  /// A whole session.
  Result<format::SnapshotId> backup(const Files& files, std::string_view source = "src") {
    FIRN_LET(auto opened, session());
    auto id = backup(*opened, files, source);
    if (id) {
      opened->end();
    }
    return id;
  }

  Result<tree::WrittenTree> write(WriteSession& session, const Files& files,
                                  const StorePiece& store_piece = {}) {
    SessionPages sink(session);
    ChunkWriter chunks(session);
    const auto seeds = format::derive_cut_seeds(*repository_->keys().cut());
    struct Below {
      bool operator()(const std::string& a, const std::string& b) const {
        return format::compare_keys(format::key_of(a), format::key_of(b)) < 0;
      }
    };
    std::map<std::string, const Bytes*, Below> entries;
    entries[""] = nullptr;
    for (const auto& [path, content] : files) {
      for (std::size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) {
        entries[path.substr(0, at)] = nullptr;
      }
      entries[path] = &content;
    }
    tree::TreeWriter writer(sink, seeds);
    for (const auto& [path, content] : entries) {
      const format::Key key = format::key_of(path);
      format::Entry entry;
      entry.name = key.name;
      entry.type = content == nullptr ? format::FileType::Directory : format::FileType::Regular;
      if (content != nullptr) {
        entry.size_bytes = content->size();
        tree::SliceListWriter slices(sink, seeds);
        for (std::size_t at = 0; at < content->size(); at += kPieceBytes) {
          const auto piece = ByteView(*content).subspan(at, std::min(kPieceBytes, content->size() - at));
          FIRN_LET(const format::ChunkSecret t,
                   store_piece ? store_piece(chunks, piece) : store_data(chunks, piece));
          FIRN_TRY(slices.add({.chunk = t, .offset = 0, .length = static_cast<std::uint32_t>(piece.size())}));
        }
        FIRN_LET(entry.content, slices.finish());
      }
      FIRN_TRY(writer.add(key.directory, entry));
    }
    return writer.finish();
  }

  static Result<format::ChunkSecret> store_data(ChunkWriter& chunks, ByteView piece) {
    FIRN_LET(const StoredChunk chunk, chunks.store(format::ChunkType::Data, piece));
    return chunk.t;
  }

  /// Reads a snapshot back, as a new process would.
  Result<Files> restore(const format::SnapshotId& id) {
    FIRN_LET(const MaintenanceView maintenance, load_maintenance(*repository_, *cache_));
    FIRN_LET(const SnapshotList list, list_snapshots(*repository_, *cache_, maintenance));
    FIRN_LET(const SnapshotInfo* info, find_by_prefix(list, id.hex()));
    FIRN_LET(const format::ChunkSecret root, open_root(*repository_, *info));
    FIRN_TRY(sync_index(*repository_, maintenance, *index_));
    ChunkReader reader(*repository_, *index_, *cache_);
    RepositoryPages pages(reader);
    tree::TreeReader entries(pages, root);
    Files files;
    while (true) {
      FIRN_LET(const bool more, entries.next());
      if (!more) {
        return files;
      }
      if (entries.entry().type != format::FileType::Regular) {
        continue;
      }
      Bytes& content = files[format::path_of(entries.key())];
      tree::SliceListReader slices(pages, entries.entry().content);
      while (true) {
        FIRN_LET(const auto placed, slices.next());
        if (!placed) {
          break;
        }
        FIRN_LET(const Bytes plain, reader.read(format::ChunkType::Data, placed->slice.chunk));
        append(content, ByteView(plain).subspan(placed->slice.offset, placed->slice.length));
      }
    }
  }

 private:
  Services services_;
  kv::LocalKv& state_;
  std::unique_ptr<Repository> repository_;
  std::unique_ptr<index::ChunkIndex> index_;
  std::unique_ptr<ObjectCache> cache_;
};

/// A repository with one key of all roles, opened by key_file_of(1).
inline void make_repository(World& world, std::uint32_t pack_size = 1 << 20) {
  InitOptions options;
  options.parameters.pack_size = pack_size;
  const Services services = world.services();
  must(Repository::init(services, world.store, key_file_of(1), options));
}

/// Runs a test body under both executors: real threads, and a seeded run on one.
inline void under_each_executor(const std::function<void(base::Executor&)>& body) {
  {
    SCOPED_TRACE("threads");
    base::ThreadExecutor threads(2);
    body(threads);
  }
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    SCOPED_TRACE("seeded executor, seed " + std::to_string(seed));
    base::SeededExecutor seeded(seed);
    seeded.run([&] { body(seeded); });
  }
}

}  // namespace firn::repo
