// A repository that is open: its configuration, the keys at hand, its store, and sealed small objects in and
// out.
//
// Promise: every small object that get_sealed() gives was sealed with this repository's K_meta under exactly
// its name, and signed by a key whose role allows it. Not here: sessions (session.h), chunks
// (chunk_reader.h), which snapshots count (snapshots.h). Threads: any, once it is open.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "repo/base/result.h"
#include "repo/format/config.h"
#include "repo/format/sealed.h"
#include "repo/keyring.h"
#include "repo/services.h"
#include "repo/store/object_store.h"

namespace firn::repo {

struct InitOptions {
  format::Parameters parameters;
  std::string user;
  std::string host;
  /// Taken over with the parameters from another repository, so that both cut alike.
  const format::CutKey* cut = nullptr;
};

using ConfigNumbers = std::vector<std::uint32_t>;

class Repository {
 public:
  /// Makes a repository in an empty place, with one key of all roles. Errors: Exists (there is one), Invalid
  /// (parameters), and those of the store.
  static Result<std::unique_ptr<Repository>> init(const Services& services, store::ObjectStore& store,
                                                  const Unlock& unlock, const InitOptions& options);
  /// The configurations that a place has, highest first: one LIST, before anybody is asked for a key. Errors:
  /// NotFound (no repository there), and those of the store.
  static Result<ConfigNumbers> find(store::ObjectStore& store);
  /// Errors: NotFound (no repository there), WrongKey, Unsupported (names the features that are not known),
  /// Corrupt, and those of the store. `found` is what find() gave; without it, open() asks.
  static Result<std::unique_ptr<Repository>> open(const Services& services, store::ObjectStore& store,
                                                  const Unlock& unlock,
                                                  std::optional<ConfigNumbers> found = std::nullopt);

  const format::RepositoryId& id() const { return config_.repository; }
  const format::Config& config() const { return config_; }
  const Keyring& keys() const { return *keys_; }
  store::ObjectStore& store() const { return store_; }
  const Services& services() const { return services_; }

  /// `body` (and unsigned `extra`) as they are stored under `name`, signed by the own key.
  Result<Bytes> seal(const format::ObjectName& name, Bytes body, Bytes extra = {}) const;
  /// Seals and PUTs it.
  store::Outcome put_sealed(const format::ObjectName& name, Bytes body, Bytes extra = {},
                            store::PutOptions options = {}) const;
  /// Opens and verifies the bytes of a sealed object. Errors: Corrupt (names the object; also when it was
  /// signed by nobody who may).
  Result<format::OpenedObject> open_sealed(const format::ObjectName& name, ByteView sealed) const;
  /// GETs, opens and verifies. Errors: NotFound, Corrupt, and those of the store.
  Result<format::OpenedObject> get_sealed(const format::ObjectName& name) const;

  /// Seals bytes for a local file that only who opens this repository may read; `purpose` separates uses.
  Bytes seal_local(std::string_view purpose, ByteView plain) const;
  /// Errors: Corrupt.
  Result<Bytes> open_local(std::string_view purpose, ByteView sealed) const;

 private:
  Repository(const Services& services, store::ObjectStore& store, format::Config config,
             std::unique_ptr<Keyring> keys)
      : services_(services), store_(store), config_(std::move(config)), keys_(std::move(keys)) {}

  const Services& services_;
  store::ObjectStore& store_;
  format::Config config_;
  std::unique_ptr<Keyring> keys_;
};

}  // namespace firn::repo
