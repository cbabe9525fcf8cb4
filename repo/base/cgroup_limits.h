// What the kernel lets this process use: the memory and processor limits of its own cgroup and of every
// cgroup above it that can be seen, v1 and v2.
//
// Limits are advice for sizing budgets and pools: a limit that cannot be read counts as none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace firn::base {

struct CgroupLimits {
  std::optional<std::uint64_t> memory_bytes;
  std::optional<double> cpus;  // quota divided by period: 0.5 is half a processor
};

/// Where to look; tests give files of their own.
struct CgroupPlaces {
  std::string cgroup_file = "/proc/self/cgroup";
  std::string mountinfo_file = "/proc/self/mountinfo";
};

CgroupLimits own_cgroup_limits(const CgroupPlaces& places = {});

}  // namespace firn::base
