#include "agent/service/log.h"

#include "agent/kube/json.h"
#include "agent/kube/times.h"
#include "repo/base/files.h"

namespace firn::service {

void Log::line(const char* level, std::string_view message, Fields fields, bool audit) const {
  kube::Json json = {{"time", kube::micro_time_text(clock_.wall())},
                     {"level", level},
                     {"component", component_},
                     {"message", message}};
  if (audit) {
    json["audit"] = true;
  }
  for (const auto& [name, value] : fields) {
    json[name] = value;
  }
  // A log that cannot be written has nowhere to say so.
  static_cast<void>(base::write_all(fd_, as_bytes(kube::to_text(json) + "\n"), "log"));
}

}  // namespace firn::service
