// A store that passes every request on: the base of stores for tests, and a client of a store that somebody
// else owns.
#pragma once

#include <memory>
#include <string>

#include "repo/store/object_store.h"

namespace firn::test {

class ForwardingStore : public store::ObjectStore {
 public:
  /// `inner` must outlive this store.
  explicit ForwardingStore(store::ObjectStore& inner) : inner_(inner) {}
  ForwardingStore(const ForwardingStore&) = delete;
  ForwardingStore& operator=(const ForwardingStore&) = delete;

  store::Outcome put(const store::ObjectName& name, ByteView bytes, store::PutOptions options = {}) override {
    return inner_.put(name, bytes, options);
  }
  Result<Bytes> get(const store::ObjectName& name, std::uint64_t size_bytes_max) override {
    return inner_.get(name, size_bytes_max);
  }
  Result<> get_range(const store::ObjectName& name, std::uint64_t offset, MutableBytes out) override {
    return inner_.get_range(name, offset, out);
  }
  Result<std::uint64_t> head(const store::ObjectName& name) override { return inner_.head(name); }
  Result<store::ListPage> list(std::string_view prefix, std::string_view after,
                               std::uint32_t count_max) override {
    return inner_.list(prefix, after, count_max);
  }
  store::Outcome remove(const store::ObjectName& name) override { return inner_.remove(name); }
  Result<base::WallTime> now() override { return inner_.now(); }
  std::string describe() const override { return inner_.describe(); }
  std::chrono::seconds deletion_delay() const override { return inner_.deletion_delay(); }
  unsigned parallel_requests() const override { return inner_.parallel_requests(); }

 protected:
  store::ObjectStore& inner_;
};

/// A client of a store that somebody else owns.
inline std::unique_ptr<store::ObjectStore> client_of(store::ObjectStore& store) {
  return std::make_unique<ForwardingStore>(store);
}

}  // namespace firn::test
