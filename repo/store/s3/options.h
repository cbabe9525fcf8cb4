// The `-o s3.…` options: what a bucket is to do beside keeping bytes.
//
// Threads: any.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "repo/base/result.h"

namespace firn::store::s3 {

struct Options {
  std::string region;                      // s3.region; empty = the environment's, else found out
  std::optional<bool> path_style;          // s3.path-style; none = virtual hosts on AWS, paths elsewhere
  bool dual_stack = false;                 // s3.dual-stack: AWS's hosts that have IPv6 addresses
  unsigned connections = 32;               // s3.connections: most requests in flight, 1 to 64
  std::string storage_class;               // s3.storage-class, of data packs
  std::string sse;                         // s3.sse: AES256 or aws:kms
  std::string sse_kms_key_id;              // s3.sse-kms-key-id
  std::string object_lock_mode;            // s3.object-lock-mode: GOVERNANCE or COMPLIANCE
  std::chrono::hours object_lock_time{0};  // s3.object-lock-days
  std::string profile;                     // s3.profile, of the shared files; empty = as the environment says
  bool instance_metadata = false;          // s3.instance-metadata: ask the instance for credentials
};

using OptionTexts = std::map<std::string, std::string, std::less<>>;

/// Options of other kinds of stores are left alone. Errors: Invalid (an unknown s3 option, or a bad value).
Result<Options> parse_options(const OptionTexts& texts);

}  // namespace firn::store::s3
