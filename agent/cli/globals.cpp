#include "agent/cli/globals.h"

#include <algorithm>

#include "agent/scan/filter.h"
#include "repo/base/files.h"

namespace firn::cli {
namespace {

constexpr std::size_t kSettingFileBytesMax = 64 << 10;

/// The first line of a file that holds one setting.
Result<std::string> first_line(const std::string& path) {
  FIRN_LET(const Bytes bytes, base::read_file(path, kSettingFileBytesMax));
  std::string_view text = as_text(bytes);
  text = text.substr(0, text.find('\n'));
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ' || text.back() == '\t')) {
    text.remove_suffix(1);
  }
  return std::string(text);
}

}  // namespace

std::vector<Flag> global_flags(Globals& globals) {
  return {
      {.names = "-r,--repo",
       .value = "URL",
       .help = "The repository: a directory, or s3:… (FIRN_REPOSITORY)",
       .choices = {},
       .hint = Hint::Directory,
       .target = &globals.place.repository},
      {.names = "--repository-file",
       .value = "FILE",
       .help = "Read the repository's place from a file (FIRN_REPOSITORY_FILE)",
       .choices = {},
       .hint = Hint::File,
       .target = &globals.place.repository_file},
      {.names = "-p,--password-file",
       .value = "FILE",
       .help = "Read the password from a file (FIRN_PASSWORD_FILE)",
       .choices = {},
       .hint = Hint::File,
       .target = &globals.place.password_file},
      {.names = "--password-command",
       .value = "COMMAND",
       .help = "Run a command that prints the password (FIRN_PASSWORD_COMMAND)",
       .choices = {},
       .target = &globals.place.password_command},
      {.names = "--key-file",
       .value = "FILE",
       .help = "Open with a key file instead of a password: made by key add, or 32 raw bytes (FIRN_KEY_FILE)",
       .choices = {},
       .hint = Hint::File,
       .target = &globals.place.key_file},
      {.names = "--key-hint",
       .value = "KID",
       .help = "Try this key first (FIRN_KEY_HINT)",
       .choices = {},
       .target = &globals.place.key_hint},
      {.names = "--json", .value = "", .help = "Print JSON", .choices = {}, .target = &globals.json},
      {.names = "-q,--quiet",
       .value = "",
       .help = "Print results and errors only",
       .choices = {},
       .target = &globals.quiet},
      {.names = "-v,--verbose",
       .value = "",
       .help = "Say more; -vv names every file",
       .choices = {},
       .target = &globals.verbose},
      {.names = "--cache-dir",
       .value = "DIR",
       .help = "Keep the local cache there (FIRN_CACHE_DIR; else ~/.cache/firn)",
       .choices = {},
       .hint = Hint::Directory,
       .target = &globals.cache_dir},
      {.names = "--no-cache",
       .value = "",
       .help = "Use a temporary directory and remove it at the end",
       .choices = {},
       .target = &globals.no_cache},
      {.names = "--memory",
       .value = "BYTES",
       .help = "The memory budget, at least 64M (default: half of the cgroup's limit, at most 256M)",
       .choices = {},
       .target = &globals.memory},
      {.names = "-o,--option",
       .value = "KEY=VALUE",
       .help = "An option of the place where the repository is",
       .choices = {},
       .target = &globals.options},
      {.names = "--cacert",
       .value = "FILE",
       .help = "Trust the certificates in this file",
       .choices = {},
       .hint = Hint::File,
       .target = &globals.cacert},
      {.names = "--tls-client-cert",
       .value = "FILE",
       .help = "Show this certificate and key to the server",
       .choices = {},
       .hint = Hint::File,
       .target = &globals.tls_client_cert},
      {.names = "--insecure-tls",
       .value = "",
       .help = "Do not verify the server's certificate",
       .choices = {},
       .target = &globals.insecure_tls},
      {.names = "--limit-upload",
       .value = "KIB",
       .help = "Upload at most so many KiB a second",
       .choices = {},
       .target = &globals.limit_upload},
      {.names = "--limit-download",
       .value = "KIB",
       .help = "Download at most so many KiB a second",
       .choices = {},
       .target = &globals.limit_download},
      {.names = "--stuck-request-timeout",
       .value = "DURATION",
       .help = "Try a request again that does not move for so long",
       .choices = {},
       .target = &globals.stuck_request_timeout},
      {.names = "--no-lock",
       .value = "",
       .help = "Does nothing: there are no locks",
       .choices = {},
       .target = &globals.no_lock},
      {.names = "--retry-lock",
       .value = "DURATION",
       .help = "Does nothing: there are no locks",
       .choices = {},
       .target = &globals.retry_lock},
  };
}

std::vector<Flag> from_flags(Place& place) {
  return {
      {.names = "--from-repo",
       .value = "URL",
       .help = "The other repository (FIRN_FROM_REPOSITORY)",
       .choices = {},
       .hint = Hint::Directory,
       .target = &place.repository},
      {.names = "--from-repository-file",
       .value = "FILE",
       .help = "Read the other repository's place from a file",
       .choices = {},
       .hint = Hint::File,
       .target = &place.repository_file},
      {.names = "--from-password-file",
       .value = "FILE",
       .help = "Read the other repository's password from a file",
       .choices = {},
       .hint = Hint::File,
       .target = &place.password_file},
      {.names = "--from-password-command",
       .value = "COMMAND",
       .help = "Run a command that prints the other repository's password",
       .choices = {},
       .target = &place.password_command},
      {.names = "--from-key-file",
       .value = "FILE",
       .help = "Open the other repository with a key file",
       .choices = {},
       .hint = Hint::File,
       .target = &place.key_file},
      {.names = "--from-key-hint",
       .value = "KID",
       .help = "Try this key of the other repository first",
       .choices = {},
       .target = &place.key_hint},
  };
}

std::optional<std::string> setting(const Variables& variables, const std::string& name) {
  for (const char* brand : {"FIRN_", "RESTIC_"}) {
    if (auto value = variables(brand + name); value && !value->empty()) {
      return value;
    }
  }
  return std::nullopt;
}

void fill_from_environment(Place& place, const Variables& variables, const std::string& prefix) {
  // The brand decides before the way in which it is said: FIRN_REPOSITORY_FILE beats RESTIC_REPOSITORY.
  for (const char* brand : {"FIRN_", "RESTIC_"}) {
    const auto fill = [&](std::optional<std::string>& target, const char* name) {
      if (auto value = variables(brand + prefix + name); value && !value->empty()) {
        target = std::move(value);
      }
    };
    if (!place.repository && !place.repository_file) {
      fill(place.repository, "REPOSITORY");
      if (!place.repository) {
        fill(place.repository_file, "REPOSITORY_FILE");
      }
    }
    if (!place.password_file && !place.password_command && !place.key_file) {
      fill(place.key_file, "KEY_FILE");
      if (!place.key_file) {
        fill(place.password_file, "PASSWORD_FILE");
      }
      if (!place.key_file && !place.password_file) {
        fill(place.password_command, "PASSWORD_COMMAND");
      }
    }
    if (!place.key_hint) {
      fill(place.key_hint, "KEY_HINT");
    }
  }
}

void fill_from_environment(Globals& globals, const Variables& variables) {
  fill_from_environment(globals.place, variables);
  if (!globals.cache_dir) {
    globals.cache_dir = setting(variables, "CACHE_DIR");
  }
  if (!globals.memory) {
    globals.memory = setting(variables, "MEMORY");
  }
}

Result<std::string> repository_url(const Place& place) {
  if (place.repository && place.repository_file) {
    return fail(ErrorCode::Invalid, "give --repo or --repository-file, not both");
  }
  if (place.repository) {
    return *place.repository;
  }
  if (place.repository_file) {
    FIRN_LET(std::string url, in("repository file", first_line(*place.repository_file)));
    if (url.empty()) {
      return fail(ErrorCode::Invalid, *place.repository_file + " names no repository");
    }
    return url;
  }
  return fail(ErrorCode::Invalid, "no repository was named: give --repo or set FIRN_REPOSITORY");
}

Result<std::string> cache_root(const Globals& globals, const Variables& variables) {
  if (globals.cache_dir) {
    return *globals.cache_dir;
  }
  if (const auto xdg = variables("XDG_CACHE_HOME"); xdg && !xdg->empty()) {
    return *xdg + "/firn";
  }
  if (const auto home = variables("HOME"); home && !home->empty()) {
    return *home + "/.cache/firn";
  }
  return fail(ErrorCode::Invalid, "no place for the cache is known: give --cache-dir, or --no-cache");
}

Result<MemoryShares> memory_shares(const Globals& globals, std::optional<std::uint64_t> cgroup_limit_bytes) {
  MemoryShares shares;
  if (globals.memory) {
    FIRN_LET(shares.total, in("--memory", scan::parse_size_bytes(*globals.memory)));
    if (shares.total < kMemoryBytesMin) {
      return fail(ErrorCode::Invalid, "--memory: at least 64M are needed");
    }
  } else {
    shares.total = kMemoryBytesDefaultMax;
    if (cgroup_limit_bytes) {
      shares.total = std::clamp(*cgroup_limit_bytes / 2, kMemoryBytesMin, kMemoryBytesDefaultMax);
    }
  }
  // A session always may have three packs, whatever its share; what is left goes to the work.
  const std::uint64_t spare = shares.total - std::min<std::uint64_t>(shares.total, 48ULL << 20);
  shares.packs = std::min<std::uint64_t>(64ULL << 20, (48ULL << 20) + spare / 8);
  shares.work = std::clamp<std::uint64_t>(spare / 2, 12ULL << 20, 96ULL << 20);
  shares.index = std::clamp<std::uint64_t>(spare / 6, 4ULL << 20, 32ULL << 20);
  shares.walk = std::clamp<std::uint64_t>(spare / 16, 2ULL << 20, 8ULL << 20);
  shares.windows = std::clamp<std::uint64_t>(spare / 16, 2ULL << 20, 8ULL << 20);
  return shares;
}

}  // namespace firn::cli
