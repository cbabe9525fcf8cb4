#include "repo/store/s3/credential_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "crypto/secret.h"
#include "repo/base/files.h"

extern char** environ;

namespace firn::store::s3 {
namespace {

/// A running child in a process group of its own, killed with all that it started unless it was collected.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ > 0) {
      ::kill(-pid_, SIGKILL);
      while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
  }
  /// The status of its end as waitpid() gives it; nothing while it runs.
  std::optional<int> ended() {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) {
      return std::nullopt;
    }
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
};

/// Starts `/bin/sh -c command` with `output` as its standard output.
Result<pid_t> start(const std::string& command, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  std::string shell = "sh";
  std::string option = "-c";
  std::string text = command;
  const std::array<char*, 4> arguments = {shell.data(), option.data(), text.data(), nullptr};
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, "/bin/sh", &actions, &attributes, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    return fail_errno(error, "run", "the command");
  }
  return pid;
}

Failure too_long(const ProcessLimits& limits) {
  return fail(ErrorCode::Denied, "the command did not end within " +
                                     std::to_string(limits.time_max.count() / 1000) + " seconds");
}

Result<> check_time(base::SteadyTime deadline, const ProcessLimits& limits) {
  if (limits.stop != nullptr) {
    FIRN_TRY(limits.stop->check());
  }
  if (limits.clock.steady() > deadline) {
    return too_long(limits);
  }
  return {};
}

/// Everything up to the end of the output.
Result<std::size_t> read_output(int fd, MutableBytes buffer, base::SteadyTime deadline,
                                const ProcessLimits& limits) {
  std::size_t filled = 0;
  while (true) {
    FIRN_TRY(check_time(deadline, limits));
    pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, 100) <= 0) {
      continue;
    }
    const ssize_t got = ::read(fd, buffer.data() + filled, buffer.size() - filled);
    if (got < 0 && errno != EINTR) {
      return fail_errno(errno, "read", "the command's output");
    }
    if (got == 0) {
      return filled;
    }
    filled += got > 0 ? static_cast<std::size_t>(got) : 0;
    if (filled == buffer.size()) {
      return fail(ErrorCode::Corrupt, "the command prints too much");
    }
  }
}

}  // namespace

Result<WipedText> run_credential_process(const std::string& command, const ProcessLimits& limits) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail_errno(errno, "pipe", "the command");
  }
  const base::FileDescriptor reading(ends[0]);
  base::FileDescriptor writing(ends[1]);
  FIRN_LET(const pid_t pid, start(command, writing.get()));
  Child child(pid);
  writing.reset();
  crypto::SecretBytes output(limits.output_bytes_max);
  const base::SteadyTime deadline = limits.clock.steady() + limits.time_max;
  FIRN_LET(const std::size_t length, read_output(reading.get(), output.writable(), deadline, limits));
  // It closed its output and may still run.
  std::optional<int> end;
  while (!(end = child.ended())) {
    FIRN_TRY(check_time(deadline, limits));
    ::poll(nullptr, 0, 5);
  }
  const int status = *end;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return fail(ErrorCode::Denied,
                WIFEXITED(status) ? "the command failed with exit code " + std::to_string(WEXITSTATUS(status))
                                  : "the command was ended by signal " + std::to_string(WTERMSIG(status)));
  }
  return WipedText(as_text(output.bytes().first(length)));
}

}  // namespace firn::store::s3
