// Local copies of what never changes and is small: snapshots, maintenance records, pages of trees.
//
// Promise: get() gives what the store gave once, verified then. Objects are kept as they are stored, sealed,
// so the cache says nothing to who finds it. Losing it costs requests. An object that is gone from the store
// is the caller's to know: it asks only for names that a LIST gave. Threads: any.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "repo/base/monitor.h"
#include "repo/kv/local_kv.h"
#include "repo/repository.h"

namespace firn::repo {

class ObjectCache {
 public:
  /// A cache in `kv`; an unusable one is thrown away and begun anew. Null = no cache: every get() asks the
  /// store.
  static Result<std::unique_ptr<ObjectCache>> open(const Repository& repository, kv::LocalKv* kv);

  /// `verify` is asked about what comes from the store, beyond its seal and signature, and not again about
  /// what lies here.
  using Verify = std::function<Result<>(const format::OpenedObject&)>;
  Result<format::OpenedObject> get(const format::ObjectName& name, const Verify& verify = {});
  /// Repository::put_sealed(), and what was surely stored need not be fetched later.
  store::Outcome put(const format::ObjectName& name, Bytes body, Bytes extra = {});

  /// Holds on to a tree's page as it is stored, for the next run of this node, which has the tree as its
  /// parent. Of a huge tree only the first pages, kPendingBytesMax in memory.
  static constexpr std::size_t kPendingBytesMax = 4 << 20;
  void remember_page(const format::ChunkId& id, ByteView stored);
  /// Writes these pages down. When all that are kept would be larger than kPagesBytesMax, the old ones go.
  static constexpr std::size_t kPagesBytesMax = 64 << 20;
  void keep_pages();
  /// The stored bytes of a page, which the caller opens: they may be anything. Nothing: it is not here.
  std::optional<Bytes> page(const format::ChunkId& id);

 private:
  ObjectCache(const Repository& repository, std::unique_ptr<kv::Environment> environment)
      : repository_(repository), environment_(std::move(environment)) {}

  void remember(const format::ObjectName& name, ByteView sealed);
  std::optional<format::OpenedObject> cached(const format::ObjectName& name);

  const Repository& repository_;
  std::unique_ptr<kv::Environment> environment_;
  struct Pending {
    std::vector<std::pair<format::ChunkId, Bytes>> pages;
    std::size_t size_bytes = 0;
  };
  base::Guarded<Pending> pending_;
};

}  // namespace firn::repo
