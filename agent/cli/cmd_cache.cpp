// firn cache: which local caches there are, and removing those of repositories that nobody uses any more.
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>

#include "agent/cli/commands.h"
#include "agent/cli/context.h"
#include "agent/cli/errors.h"
#include "agent/cli/json.h"
#include "agent/cli/text.h"
#include "repo/format/ids.h"
#include "repo/kv/lmdb_kv.h"

namespace firn::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxAgeDays = 30;

struct CacheCommand {
  bool cleanup = false;
  std::optional<std::uint64_t> max_age;
  bool no_size = false;
};

/// The cache of one repository.
struct Found {
  std::string repository;
  fs::path path;
  std::uint64_t size_bytes = 0;
  base::WallTime used;
  unsigned slots = 0;
};

Result<std::vector<Found>> caches_in(const std::string& root) {
  std::vector<Found> caches;
  std::error_code problem;
  for (fs::directory_iterator at(root, problem), end; !problem && at != end; at.increment(problem)) {
    const std::string name = at->path().filename();
    if (!format::RepositoryId::parse(name)) {
      continue;
    }
    Found cache{.repository = name, .path = at->path(), .used = {}};
    std::error_code ignored;
    for (const fs::directory_entry& slot : fs::directory_iterator(at->path(), ignored)) {
      cache.slots += slot.path().filename().string().starts_with("slot-") ? 1U : 0U;
    }
    for (const fs::directory_entry& file : fs::recursive_directory_iterator(at->path(), ignored)) {
      struct stat status {};
      if (::lstat(file.path().c_str(), &status) == 0) {
        // What lies on the disk: LMDB's files are sparse.
        cache.size_bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
        cache.used.nanoseconds =
            std::max(cache.used.nanoseconds, std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000);
      }
    }
    caches.push_back(std::move(cache));
  }
  if (problem && problem != std::errc::no_such_file_or_directory) {
    return fail(ErrorCode::Unavailable, "read " + root + ": " + problem.message());
  }
  std::sort(caches.begin(), caches.end(), [](const Found& a, const Found& b) { return a.used > b.used; });
  return caches;
}

/// Removes the slots that no process owns; true when nothing is left.
bool remove_cache(const Found& cache) {
  std::error_code ignored;
  bool all = true;
  for (const fs::directory_entry& slot : fs::directory_iterator(cache.path, ignored)) {
    const auto owned = kv::LmdbKv::open_directory(slot.path());
    all = all && owned.has_value();
    if (owned) {
      fs::remove_all(slot.path(), ignored);
    }
  }
  if (all) {
    fs::remove_all(cache.path, ignored);
  }
  return all;
}

Result<int> run_cache(Context& context, const CacheCommand& command) {
  FIRN_LET(const std::string root, cache_root(context.globals, context.world.variable));
  FIRN_LET(const std::vector<Found> caches, caches_in(root));
  const std::int64_t oldest =
      context.world.clock.wall().nanoseconds -
      static_cast<std::int64_t>(command.max_age.value_or(kMaxAgeDays)) * 86'400'000'000'000;
  const auto is_old = [&](const Found& cache) { return cache.used.nanoseconds < oldest; };
  if (command.cleanup) {
    std::uint64_t removed = 0;
    for (const Found& cache : caches) {
      if (is_old(cache) && remove_cache(cache)) {
        ++removed;
        context.out.note("removed " + cache.path.string() + " (" + size_text(cache.size_bytes) + ")");
      }
    }
    if (removed == 0) {
      context.out.note("no cache in " + root + " is old enough to be removed");
    }
    return kExitOk;
  }
  if (context.out.json()) {
    Json array = Json::array();
    for (const Found& cache : caches) {
      array.push_back(Json::object({{"repository", cache.repository},
                                    {"path", cache.path.string()},
                                    {"size", cache.size_bytes},
                                    {"last_used", json_time(cache.used)},
                                    {"slots", cache.slots},
                                    {"old", is_old(cache)}}));
    }
    context.out.line(json_text(array));
    return kExitOk;
  }
  if (caches.empty()) {
    context.out.note("there is no cache in " + root);
    return kExitOk;
  }
  Table table({"Repository", "Last used", "Slots", "Size", ""}, {false, false, true, true, false});
  for (const Found& cache : caches) {
    table.add({cache.repository, plain_time(cache.used), count_text(cache.slots), size_text(cache.size_bytes),
               is_old(cache) ? "old" : ""});
  }
  context.out.note("caches in " + root);
  context.out.write(table.text());
  return kExitOk;
}

}  // namespace

void add_cache(CommandSet& set) {
  auto options = std::make_shared<CacheCommand>();
  Command command{.name = "cache",
                  .summary = "List or remove local caches",
                  .text = "A cache holds nothing that is not in its repository: losing it costs time once.",
                  .examples = {{"firn cache", ""}, {"firn cache --cleanup --max-age 7", ""}},
                  .flags = {},
                  .arguments = {},
                  .run = [options](Context& context) { return run_cache(context, *options); }};
  command.flag({.names = "--cleanup",
                .value = "",
                .help = "Remove caches that were not used for long",
                .choices = {},
                .target = &options->cleanup});
  command.flag({.names = "--max-age",
                .value = "DAYS",
                .help = "How long is long (30)",
                .choices = {},
                .target = &options->max_age});
  command.flag({.names = "--no-size",
                .value = "",
                .help = "Accepted, and of no effect",
                .choices = {},
                .target = &options->no_size,
                .hidden = true});
  set.add(std::move(command));
}

}  // namespace firn::cli
