// Named, immutable byte objects in a place that we do not trust.
//
// Promise: an object is there whole or not at all; after put() answered Done it survives power loss.
// Assumed of a store (probed at init): a read that starts after a PUT or DELETE was answered sees it, LIST
// included; objects are replaced atomically; a request whose answer was lost may take effect once, any time
// later. Not assumed: conditional writes, clocks, order between keys. No name may be a folder of another ("a"
// and "a/b"): directories cannot hold both. Not here: encryption and naming (repo/format), retries
// (retry_store.h). Threads: every member may be called from any thread; callers that want many requests in
// flight call from many.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "repo/base/bytes.h"
#include "repo/base/clock.h"
#include "repo/base/result.h"
#include "repo/format/names.h"

namespace firn::store {

using format::ObjectName;

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

/// What is known of a write after its call came back. Unknown = the answer was lost: it may have happened, or
/// may still happen. It is a type of its own so that nobody takes it for a failure.
struct Done {};
struct NotDone {
  Error why;
};
struct Unknown {
  Error why;
};
class [[nodiscard]] Outcome {
 public:
  Outcome(Done d) : state_(d) {}
  Outcome(NotDone n) : state_(std::move(n)) {}
  Outcome(Unknown u) : state_(std::move(u)) {}
  bool done() const { return std::holds_alternative<Done>(state_); }
  bool unknown() const { return std::holds_alternative<Unknown>(state_); }
  /// The error of a write that was not, or not surely, done.
  const Error& why() const;
  /// Done → success; anything else → its error. For callers to whom both mean "give up".
  Result<> as_result() const;

 private:
  std::variant<Done, NotDone, Unknown> state_;
};

struct ListedObject {
  ObjectName name;
  std::uint64_t size_bytes = 0;
  base::WallTime stored;  // by the store's clock; for people and for maintenance between runs
};

struct ListPage {
  std::vector<ListedObject> objects;  // in byte order of their names
  bool last = true;
};

struct PutOptions {
  bool replace = false;  // only the session heartbeat is ever overwritten
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  /// Stores `bytes` as `name`. Without `replace`: an equal object already there is Done, another one is
  /// NotDone(Exists) where the store can tell. Errors: Exhausted, Denied, Unavailable.
  virtual Outcome put(const ObjectName& name, ByteView bytes, PutOptions options = {}) = 0;

  /// The whole object, at most `size_bytes_max`. Errors: NotFound, Corrupt (larger than allowed), Denied,
  /// Unavailable. A lost answer is Unavailable, never NotFound.
  virtual Result<Bytes> get(const ObjectName& name, std::uint64_t size_bytes_max) = 0;

  /// Reads exactly out.size() bytes at `offset`. Errors: as get(); Corrupt when the object ends before.
  virtual Result<> get_range(const ObjectName& name, std::uint64_t offset, MutableBytes out) = 0;

  /// Size in bytes. Errors: NotFound, Denied, Unavailable.
  virtual Result<std::uint64_t> head(const ObjectName& name) = 0;

  /// The objects whose names begin with `prefix` and sort after `after`, at most `count_max` of them. A LIST
  /// of several pages is not one instant. A prefix with nothing under it is an empty last page. Errors:
  /// Denied, Unavailable, NotFound (the repository's place itself is not there).
  virtual Result<ListPage> list(std::string_view prefix, std::string_view after, std::uint32_t count_max) = 0;

  /// Removes `name`; Done also when it was not there.
  virtual Outcome remove(const ObjectName& name) = 0;

  /// The store's own clock.
  virtual Result<base::WallTime> now() = 0;

  /// How the store is called in messages: "/backup/repo", "s3:http://127.0.0.1:7480/bucket/prefix".
  virtual std::string describe() const = 0;

  /// How long maintenance should leave what it condemned, for readers whose index is old. Nothing is at stake
  /// but their repeated requests.
  virtual std::chrono::seconds deletion_delay() const { return std::chrono::seconds(0); }

  /// How many requests in flight use this store well (1 to 64).
  virtual unsigned parallel_requests() const = 0;
};

/// All objects under `prefix`, page by page, to `visit`; stops at its first error.
Result<> list_all(ObjectStore& store, std::string_view prefix,
                  const std::function<Result<>(const ListedObject&)>& visit);

}  // namespace firn::store
