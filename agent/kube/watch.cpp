#include "agent/kube/watch.h"

#include <algorithm>

namespace firn::kube {
namespace {

using std::chrono::milliseconds;

// An object is at most 1.5 MiB in etcd; the text around it is little.
constexpr std::size_t kLineBytesMax = 8U << 20;
constexpr milliseconds kFirstPause{200};
constexpr milliseconds kPauseMax{30'000};
// The server ends a watch after this, so that long-lived connections spread over its replicas.
constexpr int kWatchSeconds = 300;
constexpr int kStreamFailuresMax = 3;
constexpr const char* kInitialEnd = "k8s.io/initial-events-end";

}  // namespace

void Watch::run() {
  milliseconds delay = kFirstPause;
  while (!client_.stop().requested()) {
    any_event_ = false;
    const auto ended = follow();
    if (client_.stop().requested()) {
      return;
    }
    if (any_event_ || ended) {
      delay = kFirstPause;
    }
    if (ended) {
      continue;
    }
    if (ended.error().code == ErrorCode::Changed) {
      version_.clear();  // too old: everything is looked at again
    } else {
      follower_.problem(ended.error());
    }
    if (!client_.pause(client_.jittered(delay))) {
      return;
    }
    delay = std::min(delay * 2, kPauseMax);
  }
}

Result<> Watch::follow() {
  line_.clear();
  const int spread = std::to_integer<int>(client_.rng().bytes<1>()[0]);
  const std::string timeout = "&timeoutSeconds=" + std::to_string(kWatchSeconds + spread);
  if (!version_.empty()) {
    return stream("&resourceVersion=" + url_escaped(version_) + timeout);
  }
  listing_ = true;
  seen_.clear();
  if (streams_lists_) {
    const auto streamed = stream("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan" + timeout);
    const bool away = !streamed && (streamed.error().code == ErrorCode::Unavailable ||
                                    streamed.error().code == ErrorCode::Cancelled ||
                                    streamed.error().code == ErrorCode::Denied);
    // A server whose storage lacks the feature may say so as an error like any other.
    if (streamed || !listing_ || (away && ++stream_failures_ < kStreamFailuresMax)) {
      return streamed;
    }
    streams_lists_ = false;
    seen_.clear();
  }
  FIRN_TRY(list());
  return stream("&resourceVersion=" + url_escaped(version_) + timeout);
}

Result<> Watch::list() {
  FIRN_LET(version_, client_.list(selection_, [&](const Json& item) -> Result<> {
    saw(item);
    return {};
  }));
  any_event_ = true;
  sweep();
  return {};
}

Result<> Watch::stream(const std::string& parameters) {
  const auto response =
      client_.watch(selection_, parameters, [&](std::string_view more) { return bytes(more); });
  if (!response) {
    // Half an event at the end is nothing: the next watch begins behind the last whole one.
    return Failure(response.error());
  }
  if (response->status != 200) {
    return Failure(error_of(*response));
  }
  return {};
}

Result<> Watch::bytes(std::string_view more) {
  while (true) {
    const auto end = more.find('\n');
    if (line_.size() + std::min(end, more.size()) > kLineBytesMax) {
      return fail(ErrorCode::Corrupt, "an event of a watch has no end");
    }
    if (end == std::string_view::npos) {
      line_.append(more);
      return {};
    }
    line_.append(more.substr(0, end));
    more.remove_prefix(end + 1);
    if (!line_.empty()) {
      auto done = event(line_);
      line_.clear();
      FIRN_TRY(std::move(done));
    }
  }
}

Result<> Watch::event(std::string_view line) {
  FIRN_LET(const Json event, parse_json(line));
  const std::string type = text_of(member(event, "type"));
  const Json& object = member(event, "object");
  if (type == "ERROR") {
    HttpResponse response{.status = static_cast<long>(number_of(member(object, "code")).value_or(500)),
                          .body = to_text(object),
                          .retry_after = {}};
    return Failure(error_of(response));
  }
  const Json& meta = member(object, "metadata");
  const std::string version = text_of(member(meta, "resourceVersion"));
  if (version.empty()) {
    return fail(ErrorCode::Corrupt, "an event of a watch names no version");
  }
  any_event_ = true;
  if (type == "ADDED" || type == "MODIFIED") {
    saw(object);
  } else if (type == "DELETED") {
    const std::string uid = text_of(member(meta, "uid"));
    known_.erase(uid);
    seen_.erase(uid);
    follower_.gone(uid);
  } else if (type == "BOOKMARK") {
    if (listing_ && text_of(member(meta, "annotations", kInitialEnd)) == "true") {
      sweep();
    }
  }
  // Before the initial events have ended there is no version to go on from.
  if (!listing_) {
    version_ = version;
  }
  return {};
}

void Watch::saw(const Json& object) {
  const std::string uid = text_of(member(object, "metadata", "uid"));
  known_.insert(uid);
  if (listing_) {
    seen_.insert(uid);
  }
  follower_.there(object);
}

void Watch::sweep() {
  std::vector<std::string> lost;
  std::set_difference(known_.begin(), known_.end(), seen_.begin(), seen_.end(), std::back_inserter(lost));
  for (const std::string& uid : lost) {
    known_.erase(uid);
    follower_.gone(uid);
  }
  seen_.clear();
  listing_ = false;
  stream_failures_ = 0;
  follower_.complete();
}

}  // namespace firn::kube
