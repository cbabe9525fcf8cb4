#include "agent/cli/probe.h"

#include <chrono>
#include <cstdlib>
#include <string>

#include "agent/cli/errors.h"
#include "agent/cli/json.h"
#include "agent/cli/text.h"

namespace firn::cli {
namespace {

// Servers refuse signatures that are older than a quarter of an hour.
constexpr std::chrono::minutes kClockOffsetTold{5};

void tell_clock(Context& context, const repo::StoreProbe& probe) {
  const auto minutes = std::chrono::duration_cast<std::chrono::minutes>(probe.clock_offset);
  if (std::abs(minutes.count()) >= kClockOffsetTold.count()) {
    context.out.warn("the store's clock is " + std::to_string(std::abs(minutes.count())) + " minutes " +
                     (minutes.count() > 0 ? "ahead of" : "behind") + " this machine's: one of them is wrong");
  }
}

}  // namespace

Result<> require_fit_store(Context& context, const repo::Services& services, store::ObjectStore& store) {
  FIRN_LET(const repo::StoreProbe probe, repo::probe_store(services, store));
  if (!probe.tested) {
    return fail(ErrorCode::Denied, "nothing can be written to " + store.describe() + ": " + probe.why_not);
  }
  if (!probe.broken.empty()) {
    std::string all;
    for (const std::string& sentence : probe.broken) {
      all += (all.empty() ? "" : "; ") + sentence;
    }
    return fail(
        ErrorCode::Unsupported,
        store.describe() + " does not keep what firn relies on, so no repository was made there: " + all);
  }
  tell_clock(context, probe);
  return {};
}

Result<std::uint64_t> count_broken_promises(Context& context, const repo::Services& services,
                                            store::ObjectStore& store) {
  Output& out = context.out;
  FIRN_LET(const repo::StoreProbe probe, repo::probe_store(services, store));
  if (!probe.tested) {
    out.detail(
        1, "the store itself was not tested, because nothing can be written: " + printable(probe.why_not));
    return 0;
  }
  for (const std::string& sentence : probe.broken) {
    const std::string message = store.describe() + " does not keep what firn relies on: " + sentence;
    if (out.json()) {
      Json json = Json::object();
      json["message_type"] = "error";
      json["message"] = message;
      out.error_line(json_text(json));
    } else {
      out.warn(printable(message));
    }
  }
  tell_clock(context, probe);
  return probe.broken.size();
}

Result<int> tell_posture(Context& context, const repo::Services& services, store::ObjectStore& store) {
  FIRN_LET(const repo::Posture posture, repo::probe_posture(services, store));
  const std::vector<std::string> lines = repo::describe(posture);
  if (!context.out.json()) {
    for (const std::string& line : lines) {
      context.out.line(printable(line));
    }
    return kExitOk;
  }
  Json json = Json::object();
  json["message_type"] = "posture";
  json["can_write"] = posture.can_write;
  json["can_overwrite"] = posture.can_overwrite;
  json["can_delete"] = posture.can_delete;
  json["honours_if_none_match"] = posture.refuses_replacement_unasked;
  json["left_behind"] = posture.left_behind;
  json["text"] = lines;
  context.out.line(json_text(json));
  return kExitOk;
}

}  // namespace firn::cli
