// How near the walker comes to a bare loop of getdents64 and statx on the same tree.
//
// usage: walk_bench DIRECTORY [ROUNDS]
// Prints files a second, and a second of processor time, the best of ROUNDS (default 5), warm: a bare
// recursive loop on one thread, and the walker with 1, 2 and 4 tasks.
#include <fcntl.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "agent/scan/linux_calls.h"
#include "agent/scan/linux_source_fs.h"
#include "agent/scan/walker.h"

namespace {

using namespace firn;

std::uint64_t bare_walk(int dir) {
  std::uint64_t files = 0;
  std::vector<std::string> below;
  const auto listed = scan::list_names(dir, [&](std::span<const scan::ListedName> names) -> Result<> {
    std::string name;
    for (const scan::ListedName& entry : names) {
      name.assign(entry.name);
      const auto stat = scan::stat_below(dir, name);
      files += 1;
      if (stat && stat->type == format::FileType::Directory) {
        below.push_back(name);
      }
    }
    return {};
  });
  for (const std::string& name : below) {
    if (const auto next = scan::open_below(dir, name, O_RDONLY | O_DIRECTORY)) {
      files += bare_walk(next->get());
    }
  }
  return listed ? files : 0;
}

std::uint64_t walk(const std::string& root, unsigned tasks) {
  base::ThreadExecutor executor;
  scan::LinuxSourceFs source;
  base::MemoryScratch scratch;
  const base::StopFlag stop;
  scan::WalkOptions options;
  options.roots = {root};
  options.tree_begins_at_root = true;
  options.tasks = tasks;
  auto walker = scan::start_walk(executor, source, scratch, stop, options);
  std::uint64_t files = 0;
  while (walker) {
    const auto batch = (*walker)->next();
    if (!batch || !*batch) {
      break;
    }
    files += (*batch)->entries.size();
  }
  return files;
}

double processor_seconds() {
  struct rusage usage = {};
  (void)::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const struct timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

template <class Run>
void measure(const char* what, int rounds, Run run) {
  double best = 0;
  double best_processor = 0;
  for (int i = 0; i < rounds; ++i) {
    const double processor = processor_seconds();
    const auto start = std::chrono::steady_clock::now();
    const std::uint64_t files = run();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(files) / seconds.count());
    best_processor = std::max(best_processor, static_cast<double>(files) / (processor_seconds() - processor));
  }
  std::printf("%-24s %8.0f files/s %8.0f files/processor second\n", what, best, best_processor);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: walk_bench DIRECTORY [ROUNDS]\n");
    return 2;
  }
  const std::string root = argv[1];
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  measure("bare loop, 1 thread", rounds, [&] {
    const auto dir = scan::open_directory_path(root);
    return dir ? bare_walk(dir->get()) : 0;
  });
  measure("walker, 1 task", rounds, [&] { return walk(root, 1); });
  measure("walker, 2 tasks", rounds, [&] { return walk(root, 2); });
  measure("walker, 4 tasks", rounds, [&] { return walk(root, 4); });
  return 0;
}
