// What stands with every command: where the repository is, how it opens, and how the program behaves.
//
// A setting comes from its flag, else from FIRN_<NAME>, else from RESTIC_<NAME>, so that scripts and front
// ends of restic work unchanged. Not here: reading passwords (secrets.h). Threads: one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/cli/flags.h"
#include "agent/cli/world.h"
#include "repo/store/location.h"

namespace firn::cli {

/// Where a repository is and how it opens; a second one for `--from-…`.
struct Place {
  std::optional<std::string> repository;
  std::optional<std::string> repository_file;
  std::optional<std::string> password_file;
  std::optional<std::string> password_command;
  std::optional<std::string> key_file;
  std::optional<std::string> key_hint;
};

struct Globals {
  Place place;
  bool json = false;
  bool quiet = false;
  int verbose = 0;
  std::optional<std::string> cache_dir;
  bool no_cache = false;
  std::optional<std::string> memory;
  std::vector<std::string> options;  // -o key=value
  std::optional<std::string> cacert;
  std::optional<std::string> tls_client_cert;
  bool insecure_tls = false;
  std::optional<std::string> limit_upload;
  std::optional<std::string> limit_download;
  std::optional<std::string> stuck_request_timeout;
  bool no_lock = false;
  std::optional<std::string> retry_lock;
};

/// The flags that write into `globals`.
std::vector<Flag> global_flags(Globals& globals);
/// `--from-repo` and its kin.
std::vector<Flag> from_flags(Place& place);

using Variables = std::function<std::optional<std::string>(const std::string& name)>;

/// FIRN_<name>, else RESTIC_<name>; an empty variable counts as not set.
std::optional<std::string> setting(const Variables& variables, const std::string& name);

/// Fills in from the environment what no flag said. A flag that names the password or the repository in one
/// way keeps the variables that name it in other ways out. `prefix` is "" or "FROM_".
void fill_from_environment(Place& place, const Variables& variables, const std::string& prefix = {});
void fill_from_environment(Globals& globals, const Variables& variables);

/// The URL or path. Errors: Invalid (none, or two), those of reading the file.
Result<std::string> repository_url(const Place& place);

/// What `-o`, the TLS flags, the limits and the timeout ask of the store. Errors: Invalid.
Result<store::StoreOptions> store_options(const Globals& globals);

/// The directory of all caches: --cache-dir, FIRN_CACHE_DIR, $XDG_CACHE_HOME/firn, ~/.cache/firn. Errors:
/// Invalid (none of these is known).
Result<std::string> cache_root(const Globals& globals, const Variables& variables);

/// How the budget is shared out.
struct MemoryShares {
  std::uint64_t total = 0;
  std::uint64_t packs = 0;    // of a writing session
  std::uint64_t work = 0;     // of the job: reading, sorting, restoring, checking
  std::uint64_t index = 0;    // of the local index
  std::uint64_t walk = 0;     // of the walk over the source
  std::uint64_t windows = 0;  // read-ahead for pages
};
constexpr std::uint64_t kMemoryBytesMin = 64ULL << 20;
constexpr std::uint64_t kMemoryBytesDefaultMax = 256ULL << 20;

/// --memory, or half of the cgroup's limit and at most 256 MiB. Errors: Invalid (below 64 MiB, no size).
Result<MemoryShares> memory_shares(const Globals& globals, std::optional<std::uint64_t> cgroup_limit_bytes);

}  // namespace firn::cli
