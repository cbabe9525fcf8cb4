// A source tree that holds one file, which is read once, from standard input or a command: what
// `backup --stdin` backs up.
//
// Promise: a stream that ends with an error, or whose command fails, ends the backup without a snapshot: its
// failure() is asked for before the commit. Threads: as source_fs.h says; the stream is read by one task.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/scan/source_fs.h"
#include "repo/base/clock.h"
#include "repo/base/files.h"
#include "repo/base/monitor.h"
#include "repo/base/stop.h"

namespace firn::cli {

class StreamSource final : public scan::SourceFs {
 public:
  /// `path` is absolute and clean; `fd` stays the caller's.
  StreamSource(std::string path, int fd, const base::Clock& clock, const base::StopFlag& stop);
  ~StreamSource() override;

  const std::string& path() const { return path_; }
  /// Reads a command's standard output from now on. Errors: Denied, NotFound (it cannot be run).
  Result<> start_command(const std::vector<std::string>& words);

  /// What went wrong with the stream or its command; nothing as long as all is well.
  Result<> failure();

  /// At most out.size() bytes; 0 at the end, when the command ended well.
  Result<std::size_t> read(MutableBytes out);
  format::Timestamp time() const { return time_; }

  Result<std::unique_ptr<scan::SourceDir>> open_root(const std::string& path) override;
  std::string user_name(std::uint32_t) override { return {}; }
  std::string group_name(std::uint32_t) override { return {}; }

 private:
  Result<> end_command();

  const std::string path_;
  int fd_;
  const format::Timestamp time_;
  const base::StopFlag& stop_;
  base::FileDescriptor command_output_;
  std::string command_name_;
  pid_t command_ = -1;
  bool ended_ = false;
  base::Guarded<std::optional<Error>> failure_;
};

}  // namespace firn::cli
