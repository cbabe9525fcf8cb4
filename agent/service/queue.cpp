#include "agent/service/queue.h"

namespace firn::service {

void Queue::put(const Waiting& request) {
  remove(request.uid);
  levels_[request.priority].by_namespace[request.ns][{request.created, request.uid}] = request.uid;
  places_[request.uid] = request;
}

bool Queue::remove(const std::string& uid) {
  const auto place = places_.find(uid);
  if (place == places_.end()) {
    return false;
  }
  drop(place->second);
  places_.erase(place);
  return true;
}

void Queue::drop(const Waiting& request) {
  const auto level = levels_.find(request.priority);
  const auto line = level->second.by_namespace.find(request.ns);
  line->second.erase({request.created, request.uid});
  if (line->second.empty()) {
    level->second.by_namespace.erase(line);
  }
  if (level->second.by_namespace.empty()) {
    levels_.erase(level);
  }
}

std::optional<std::string> Queue::take() {
  if (levels_.empty()) {
    return std::nullopt;
  }
  Level& level = levels_.begin()->second;
  auto line = level.by_namespace.upper_bound(level.last_served);
  if (line == level.by_namespace.end()) {
    line = level.by_namespace.begin();
  }
  level.last_served = line->first;
  const std::string uid = line->second.begin()->second;
  remove(uid);
  return uid;
}

}  // namespace firn::service
