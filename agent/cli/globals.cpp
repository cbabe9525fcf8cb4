#include "agent/cli/globals.h"

#include <algorithm>
#include <charconv>

#include "agent/cli/text.h"
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

/// `-o key=value`.
Result<> add_option(store::StoreOptions& options, const std::string& option) {
  const auto equals = option.find('=');
  if (equals == std::string::npos || equals == 0) {
    return fail(ErrorCode::Invalid, "-o " + option + ": write key=value");
  }
  options.backend[option.substr(0, equals)] = option.substr(equals + 1);
  return {};
}

/// KiB a second as bytes a second; 0 = no limit.
Result<std::uint64_t> parse_limit(const std::string& flag, const std::optional<std::string>& text) {
  constexpr std::uint64_t kKibMax = 1ULL << 40;
  if (!text) {
    return 0;
  }
  std::uint64_t kib = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), kib);
  if (text->empty() || error != std::errc() || end != text->data() + text->size() || kib > kKibMax) {
    return fail(ErrorCode::Invalid, flag + " " + *text + ": write a number of KiB a second");
  }
  return kib << 10;
}

}  // namespace

std::vector<Flag> global_flags(Globals& globals) {
  return {
      {.names = "-r,--repo",
       .value = "URL",
       .help =
           "The repository: a directory, s3://bucket/prefix (AWS), or s3:http[s]://host[:port]/bucket/prefix"
           " (FIRN_REPOSITORY)",
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
       .help = "An option of the bucket: s3.region, s3.path-style, s3.storage-class, … (docs/OPERATING.md)",
       .choices = {},
       .target = &globals.options},
      {.names = "--cacert",
       .value = "FILE",
       .help = "Trust the certificates in this file (FIRN_CACERT)",
       .choices = {},
       .hint = Hint::File,
       .target = &globals.cacert},
      {.names = "--tls-client-cert",
       .value = "FILE",
       .help = "Show this certificate and key to the server (FIRN_TLS_CLIENT_CERT)",
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
       .help = "Try a request again that is not answered for so long (default 5m)",
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
  if (!globals.cacert) {
    globals.cacert = setting(variables, "CACERT");
  }
  if (!globals.tls_client_cert) {
    globals.tls_client_cert = setting(variables, "TLS_CLIENT_CERT");
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

Result<store::StoreOptions> store_options(const Globals& globals) {
  store::StoreOptions options;
  for (const std::string& option : globals.options) {
    FIRN_TRY(add_option(options, option));
  }
  options.ca_file = globals.cacert.value_or("");
  options.client_certificate = globals.tls_client_cert.value_or("");
  options.insecure_tls = globals.insecure_tls;
  FIRN_LET(options.upload_bytes_per_second_max, parse_limit("--limit-upload", globals.limit_upload));
  FIRN_LET(options.download_bytes_per_second_max, parse_limit("--limit-download", globals.limit_download));
  if (globals.stuck_request_timeout) {
    FIRN_LET(options.stuck_request_timeout,
             in("--stuck-request-timeout", parse_duration(*globals.stuck_request_timeout)));
    if (options.stuck_request_timeout < std::chrono::seconds(1)) {
      return fail(ErrorCode::Invalid, "--stuck-request-timeout: at least a second is needed");
    }
  }
  return options;
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
