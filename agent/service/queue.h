// In which order requests are begun: higher priority first; among equals each namespace in turn; within one,
// the oldest first.
//
// Pure: no clock, no threads. One caller at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "repo/base/clock.h"

namespace firn::service {

struct Waiting {
  std::string uid;
  std::string ns;
  std::int64_t priority = 0;
  base::WallTime created;
};

class Queue {
 public:
  /// A uid that is there already takes the new place.
  void put(const Waiting& request);
  /// False when it does not wait here.
  bool remove(const std::string& uid);
  /// The uid of the next one; empty when nothing waits.
  std::optional<std::string> take();
  std::size_t size() const { return places_.size(); }

 private:
  // Highest priority first; then by creation, and uid, so that the order is total.
  using Line = std::map<std::pair<base::WallTime, std::string>, std::string>;
  struct Level {
    std::map<std::string, Line> by_namespace;
    std::string last_served;
  };
  void drop(const Waiting& request);

  std::map<std::int64_t, Level, std::greater<>> levels_;
  std::map<std::string, Waiting> places_;
};

}  // namespace firn::service
