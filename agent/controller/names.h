// Names and labels of what the controller makes.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace firn::controller {

inline constexpr const char* kPolicyLabel = "backup.firn.io/policy";
/// Of a policy's request: the scheduled time in seconds, and which volume it is.
inline constexpr const char* kRunLabel = "backup.firn.io/run";
inline constexpr const char* kTargetLabel = "backup.firn.io/target";
inline constexpr const char* kRepositoryLabel = "backup.firn.io/repository-uid";
inline constexpr const char* kTaskLabel = "backup.firn.io/task";

/// The tag that a policy's snapshots carry, as `firn tend` looks for it.
std::string policy_tag(const std::string& policy);

/// FNV-1a: the same for the same text, whichever process asks.
std::uint64_t hash(std::string_view text);
/// Ten hex digits of it.
std::string short_hash(std::string_view text);

}  // namespace firn::controller
