// An API server that keeps objects: get, create, merge patch and delete, each at its path. For what needs a
// memory behind the client and no cluster.
//
// No schema, no admission, no lists but by the path of a collection. Threads: as FakeApi.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "agent/kube/json.h"
#include "tests/agent/kube/fake_api.h"

namespace firn::kube {

class MemoryApi {
 public:
  std::string url() const { return server_.url(); }

  /// `path` is the object's own: "/api/v1/namespaces/app/pods/p".
  void put(const std::string& path, Json object) {
    const std::lock_guard lock(mutex_);
    store(path, std::move(object));
  }
  void remove(const std::string& path) {
    const std::lock_guard lock(mutex_);
    objects_.erase(path);
  }
  Json at(const std::string& path) {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(path);
    return found == objects_.end() ? Json() : found->second;
  }
  /// The objects below a collection's path.
  std::vector<Json> below(const std::string& path) {
    const std::lock_guard lock(mutex_);
    std::vector<Json> found;
    for (const auto& [name, object] : objects_) {
      if (name.starts_with(path + "/")) {
        found.push_back(object);
      }
    }
    return found;
  }

 private:
  static Answer status(int code, const std::string& reason) {
    return {.status = code,
            .body = to_text({{"kind", "Status"}, {"code", code}, {"reason", reason}, {"message", reason}})};
  }

  void store(const std::string& path, Json object) {
    Json& meta = object["metadata"];
    meta["resourceVersion"] = std::to_string(++version_);
    if (!meta.contains("uid")) {
      meta["uid"] = "uid-" + std::to_string(version_);
    }
    if (!meta.contains("creationTimestamp")) {
      meta["creationTimestamp"] = "2026-11-21T00:00:00Z";
    }
    objects_[path] = std::move(object);
  }

  Answer answer(const Asked& asked) {
    const std::lock_guard lock(mutex_);
    std::string path = asked.path.substr(0, asked.path.find('?'));
    const Json body = asked.body.empty() ? Json() : *parse_json(asked.body);
    if (asked.method == "POST") {
      path += "/" + text_of(member(body, "metadata", "name"));
      if (objects_.contains(path)) {
        return status(409, "AlreadyExists");
      }
      store(path, body);
      return {.status = 201, .body = to_text(objects_[path])};
    }
    if (path.ends_with("/status")) {
      path.resize(path.size() - 7);
    }
    const auto found = objects_.find(path);
    if (found == objects_.end()) {
      return status(404, "NotFound");
    }
    if (asked.method == "PATCH") {
      for (const char* name : {"resourceVersion", "uid"}) {
        const std::string wanted = text_of(member(body, "metadata", name));
        if (!wanted.empty() && wanted != text_of(member(found->second, "metadata", name))) {
          return status(409, "Conflict");
        }
      }
      Json changed = found->second;
      changed.merge_patch(body);
      store(path, std::move(changed));
    } else if (asked.method == "DELETE") {
      const Json gone = found->second;
      objects_.erase(found);
      return {.body = to_text(gone)};
    }
    return {.body = to_text(objects_[path])};
  }

  std::mutex mutex_;
  std::map<std::string, Json> objects_;
  int version_ = 0;
  FakeApi server_{[this](const Asked& asked) { return answer(asked); }};
};

}  // namespace firn::kube
