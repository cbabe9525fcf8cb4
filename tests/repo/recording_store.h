// A store that writes down what was asked of it, in order, and may be told to do something in between.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "repo/base/monitor.h"
#include "tests/support/forwarding_store.h"

namespace firn::repo {

class RecordingStore final : public test::ForwardingStore {
 public:
  struct Request {
    std::string verb;  // PUT, GET, RANGE, HEAD, LIST, DELETE
    std::string name;  // or the prefix of a LIST
    bool answered = false;
    bool operator==(const Request&) const = default;
  };
  using test::ForwardingStore::ForwardingStore;

  /// Called before a request goes on.
  std::function<void(const Request&)> before;

  std::vector<Request> requests() { return *requests_.lock(); }
  void forget() { requests_.lock()->clear(); }
  std::size_t count(std::string_view verb, std::string_view prefix) {
    std::size_t count = 0;
    for (const Request& request : requests()) {
      count += request.verb == verb && request.name.starts_with(prefix) ? 1 : 0;
    }
    return count;
  }
  /// Where the first such request stands, and the last one.
  std::ptrdiff_t first(std::string_view verb, std::string_view prefix) {
    const auto all = requests();
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].verb == verb && all[i].name.starts_with(prefix)) {
        return static_cast<std::ptrdiff_t>(i);
      }
    }
    return -1;
  }
  std::ptrdiff_t last(std::string_view verb, std::string_view prefix) {
    const auto all = requests();
    for (std::size_t i = all.size(); i-- > 0;) {
      if (all[i].verb == verb && all[i].name.starts_with(prefix)) {
        return static_cast<std::ptrdiff_t>(i);
      }
    }
    return -1;
  }

  store::Outcome put(const store::ObjectName& name, ByteView bytes, store::PutOptions options = {}) override {
    note("PUT", name);
    auto outcome = inner_.put(name, bytes, options);
    note_answer("PUT", name);
    return outcome;
  }
  Result<Bytes> get(const store::ObjectName& name, std::uint64_t size_bytes_max) override {
    note("GET", name);
    return inner_.get(name, size_bytes_max);
  }
  Result<> get_range(const store::ObjectName& name, std::uint64_t offset, MutableBytes out) override {
    note("RANGE", name);
    return inner_.get_range(name, offset, out);
  }
  Result<std::uint64_t> head(const store::ObjectName& name) override {
    note("HEAD", name);
    return inner_.head(name);
  }
  Result<store::ListPage> list(std::string_view prefix, std::string_view after,
                               std::uint32_t count_max) override {
    note("LIST", prefix);
    // Small pages, so that a LIST is many instants.
    return inner_.list(prefix, after, std::min(count_max, page_max));
  }
  store::Outcome remove(const store::ObjectName& name) override {
    note("DELETE", name);
    return inner_.remove(name);
  }

  std::uint32_t page_max = 1000;

 private:
  void note(std::string_view verb, std::string_view name) {
    Request request{std::string(verb), std::string(name), false};
    if (before) {
      before(request);
    }
    requests_.lock()->push_back(std::move(request));
  }
  void note_answer(std::string_view verb, std::string_view name) {
    requests_.lock()->push_back({std::string(verb) + " answered", std::string(name), true});
  }

  base::Guarded<std::vector<Request>> requests_;
};

}  // namespace firn::repo
