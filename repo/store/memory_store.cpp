#include "repo/store/memory_store.h"

#include <algorithm>

namespace firn::store {
namespace {

/// A switch point at both ends of a request.
class Request {
 public:
  explicit Request(base::Executor& executor) : executor_(executor) { executor_.yield(); }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;
  ~Request() { executor_.yield(); }

 private:
  base::Executor& executor_;
};

}  // namespace

Outcome MemoryStore::put(const ObjectName& name, ByteView bytes, PutOptions options) {
  const Request request(executor_);
  auto copy = std::make_shared<const Bytes>(bytes.begin(), bytes.end());
  const base::WallTime stored = executor_.clock().wall();
  auto objects = objects_.lock();
  const auto [place, is_new] = objects->try_emplace(name.str());
  if (is_new || options.replace) {
    place->second = Object{std::move(copy), stored};
    return Done{};
  }
  if (equal(*place->second.bytes, bytes)) {
    return Done{};
  }
  return NotDone{{ErrorCode::Exists, "put " + name.str() + ": another object has this name"}};
}

Result<std::shared_ptr<const Bytes>> MemoryStore::find(const ObjectName& name) {
  auto objects = objects_.lock();
  const auto place = objects->find(name.str());
  if (place == objects->end()) {
    return fail(ErrorCode::NotFound, "get " + name.str() + ": no such object");
  }
  return place->second.bytes;
}

Result<Bytes> MemoryStore::get(const ObjectName& name, std::uint64_t size_bytes_max) {
  const Request request(executor_);
  FIRN_LET(const auto bytes, find(name));
  if (bytes->size() > size_bytes_max) {
    return fail(ErrorCode::Corrupt, "get " + name.str() + ": " + std::to_string(bytes->size()) +
                                        " bytes, more than " + std::to_string(size_bytes_max));
  }
  return *bytes;
}

Result<> MemoryStore::get_range(const ObjectName& name, std::uint64_t offset, MutableBytes out) {
  const Request request(executor_);
  FIRN_LET(const auto bytes, find(name));
  if (offset > bytes->size() || out.size() > bytes->size() - offset) {
    return fail(ErrorCode::Corrupt,
                "get " + name.str() + ": it ends at byte " + std::to_string(bytes->size()));
  }
  std::copy_n(bytes->begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
  return {};
}

Result<std::uint64_t> MemoryStore::head(const ObjectName& name) {
  const Request request(executor_);
  FIRN_LET(const auto bytes, find(name));
  return bytes->size();
}

Result<ListPage> MemoryStore::list(std::string_view prefix, std::string_view after, std::uint32_t count_max) {
  const Request request(executor_);
  ListPage page;
  auto objects = objects_.lock();
  auto place = after < prefix ? objects->lower_bound(prefix) : objects->upper_bound(after);
  for (; place != objects->end() && place->first.starts_with(prefix); ++place) {
    if (page.objects.size() == count_max) {
      page.last = false;
      break;
    }
    FIRN_LET(ObjectName name, ObjectName::parse(place->first));
    page.objects.push_back({std::move(name), place->second.bytes->size(), place->second.stored});
  }
  return page;
}

Outcome MemoryStore::remove(const ObjectName& name) {
  const Request request(executor_);
  objects_.lock()->erase(name.str());
  return Done{};
}

Result<base::WallTime> MemoryStore::now() {
  const Request request(executor_);
  return executor_.clock().wall();
}

}  // namespace firn::store
