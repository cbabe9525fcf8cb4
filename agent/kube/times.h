// Times as Kubernetes writes them: RFC 3339 in UTC.
//
// Threads: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "repo/base/clock.h"

namespace firn::kube {

/// "2026-11-21T18:24:24Z"; with micro, as Leases want it, "2026-11-21T18:24:24.000000Z".
std::string time_text(base::WallTime time);
std::string micro_time_text(base::WallTime time);
/// Fractions and "Z" only; empty for anything else.
std::optional<base::WallTime> parse_time_text(std::string_view text);

}  // namespace firn::kube
