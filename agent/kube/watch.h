// Follows a set of objects: first all that are there, then every change, for as long as the process lives.
//
// Promise: whatever happens to connections and servers, the follower's picture comes right again: an object
// that vanished unseen is reported gone after the next list. Uses one stream for both where the server offers
// it (sendInitialEvents), else a list and a watch. Memory: one object, and the uids of all.
// Threads: run() blocks its caller, who alone calls the follower.
#pragma once

#include <atomic>
#include <set>
#include <string>

#include "agent/kube/client.h"

namespace firn::kube {

/// Told what there is. Must not block long: the watch waits for it.
class Follower {
 public:
  virtual ~Follower() = default;
  /// New or changed; the same state may come several times.
  virtual void there(const Json& object) = 0;
  virtual void gone(const std::string& uid) = 0;
  /// Everything that was there when we began to look has been told.
  virtual void complete() = 0;
  /// Something went wrong; it is being tried again.
  virtual void problem(const Error& error) = 0;
};

class Watch {
 public:
  Watch(Client& client, Selection selection, Follower& follower)
      : client_(client), selection_(std::move(selection)), follower_(follower) {}

  /// Until the client's stop. Never gives up.
  void run();

  /// What a watch's stream holds; public for tests and fuzzing. Errors: Changed (the version is too old),
  /// Corrupt, Unavailable.
  Result<> event(std::string_view line);

 private:
  Result<> follow();
  Result<> list();
  Result<> stream(const std::string& parameters);
  Result<> bytes(std::string_view more);
  void saw(const Json& object);
  void sweep();

  Client& client_;
  const Selection selection_;
  Follower& follower_;
  std::string version_;  // empty: list first
  std::string line_;     // the beginning of the next event
  std::set<std::string> known_;
  std::set<std::string> seen_;  // since the list began
  bool listing_ = false;
  bool streams_lists_ = true;  // the server offers sendInitialEvents, as far as we know
  int stream_failures_ = 0;    // of lists by stream, one after the other
  bool any_event_ = false;
};

}  // namespace firn::kube
