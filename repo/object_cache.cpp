#include "repo/object_cache.h"

#include <utility>
#include <vector>

#include "repo/base/codec.h"
#include "repo/format/limits.h"
#include "repo/reread.h"

namespace firn::repo {
namespace {
constexpr kv::TableId kObjects{0};
constexpr kv::TableId kPages{1};
constexpr kv::TableId kPageBytes{2};  // one record: how many bytes lie in kPages
constexpr std::string_view kPageBytesKey = "all";
constexpr std::string_view kEnvironmentName = "objects";
constexpr std::uint64_t kSizeBytesMax = 4ULL << 30;
// Every session reads all unions; larger objects are old catalogs.
constexpr std::size_t kCachedBytesMax = 8 << 20;

/// Takes the size of further pages into account; when all would be too large, the old ones go.
Result<> count_pages(kv::WriteTxn& txn, std::size_t size_bytes) {
  FIRN_LET(const auto record, txn.get(kPageBytes, as_bytes(kPageBytesKey)));
  std::uint64_t total = size_bytes;
  if (record) {
    total += base::Reader(*record).u64();
  }
  if (total > ObjectCache::kPagesBytesMax) {
    std::vector<Bytes> keys;
    FIRN_TRY(txn.scan(kPages, {}, [&](ByteView key, ByteView) {
      keys.push_back(to_bytes(key));
      return true;
    }));
    for (const Bytes& key : keys) {
      FIRN_TRY(txn.erase(kPages, key));
    }
    total = size_bytes;
  }
  Bytes bytes;
  base::Writer(bytes).u64(total);
  return txn.put(kPageBytes, as_bytes(kPageBytesKey), bytes);
}

}  // namespace

Result<std::unique_ptr<ObjectCache>> ObjectCache::open(const Repository& repository, kv::LocalKv* kv) {
  std::unique_ptr<kv::Environment> environment;
  if (kv != nullptr) {
    const kv::EnvironmentOptions options{.size_bytes_max = kSizeBytesMax, .durable = false};
    auto opened = kv->open(kEnvironmentName, options);
    if (!opened && opened.error().code == ErrorCode::Corrupt) {
      FIRN_TRY(kv->remove(kEnvironmentName));
      opened = kv->open(kEnvironmentName, options);
    }
    if (!opened) {
      return Failure(std::move(opened).error());
    }
    environment = *std::move(opened);
  }
  return std::unique_ptr<ObjectCache>(new ObjectCache(repository, std::move(environment)));
}

std::optional<format::OpenedObject> ObjectCache::cached(const format::ObjectName& name) {
  auto txn = environment_->begin_read();
  if (!txn) {
    return std::nullopt;
  }
  const auto sealed = (*txn)->get(kObjects, as_bytes(name.str()));
  if (!sealed || !*sealed) {
    return std::nullopt;
  }
  // The seal proves that these are the bytes that were verified when they came from the store: only a holder
  // of K_meta can make others, and such a holder already has this machine.
  auto object = format::open_object(repository_.keys().meta(), name, **sealed);
  return object ? std::optional(*std::move(object)) : std::nullopt;
}

Result<format::OpenedObject> ObjectCache::get(const format::ObjectName& name, const Verify& verify) {
  if (environment_) {
    if (auto object = cached(name)) {
      return *std::move(object);
    }
  }
  return read_again_if_damaged([&]() -> Result<format::OpenedObject> {
    FIRN_LET(const Bytes sealed, repository_.store().get(name, format::kSealedObjectBytesMax));
    FIRN_LET(format::OpenedObject object, repository_.open_sealed(name, sealed));
    if (verify) {
      FIRN_TRY(verify(object));
    }
    remember(name, sealed);
    return object;
  });
}

store::Outcome ObjectCache::put(const format::ObjectName& name, Bytes body, Bytes extra) {
  auto sealed = repository_.seal(name, std::move(body), std::move(extra));
  if (!sealed) {
    return store::NotDone{std::move(sealed).error()};
  }
  store::Outcome outcome = repository_.store().put(name, *sealed);
  if (outcome.done()) {
    remember(name, *sealed);
  }
  return outcome;
}

void ObjectCache::remember(const format::ObjectName& name, ByteView sealed) {
  if (!environment_ || sealed.size() > kCachedBytesMax) {
    return;
  }
  // A cache that cannot take it (disk full, torn) only costs the next reader a request.
  if (auto txn = environment_->begin_write()) {
    if ((*txn)->put(kObjects, as_bytes(name.str()), sealed)) {
      static_cast<void>((*txn)->commit());
    }
  }
}

void ObjectCache::remember_page(const format::ChunkId& id, ByteView stored) {
  if (!environment_) {
    return;
  }
  auto pending = pending_.lock();
  if (pending->size_bytes + stored.size() <= kPendingBytesMax) {
    pending->size_bytes += stored.size();
    pending->pages.emplace_back(id, to_bytes(stored));
  }
}

void ObjectCache::keep_pages() {
  const Pending pages = std::exchange(*pending_.lock(), {});
  if (pages.pages.empty()) {
    return;
  }
  const auto write = [&]() -> Result<> {
    FIRN_LET(const auto txn, environment_->begin_write());
    FIRN_TRY(count_pages(*txn, pages.size_bytes));
    for (const auto& [id, stored] : pages.pages) {
      FIRN_TRY(txn->put(kPages, id.bytes, stored));
    }
    return txn->commit();
  };
  // A cache that cannot take them costs the next run their requests.
  static_cast<void>(write());
}

std::optional<Bytes> ObjectCache::page(const format::ChunkId& id) {
  if (!environment_) {
    return std::nullopt;
  }
  auto txn = environment_->begin_read();
  const auto stored = txn ? (*txn)->get(kPages, id.bytes) : Result<std::optional<ByteView>>();
  return txn && stored && *stored ? std::optional(to_bytes(**stored)) : std::nullopt;
}

}  // namespace firn::repo
