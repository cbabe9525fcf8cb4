// Work done in a process of its own, so that a signal is an answer and not the end of the test program.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

namespace firn::test {

/// What `body` returned (0 to 255), or minus the signal that ended it. A child that hangs is ended after a
/// minute.
inline int exit_code_of(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child < 0) {
    std::abort();
  }
  if (child == 0) {
    ::alarm(60);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// A process that runs until it is killed, at the latest on destruction.
class ChildProcess {
 public:
  /// Returns when `body` has called `ready`, or ended without.
  explicit ChildProcess(const std::function<void(const std::function<void()>& ready)>& body) {
    int ends[2];
    if (::pipe(ends) != 0) {
      std::abort();
    }
    pid_ = ::fork();
    if (pid_ < 0) {
      std::abort();
    }
    if (pid_ == 0) {
      ::close(ends[0]);
      ::alarm(60);
      body([&] { (void)!::write(ends[1], "r", 1); });
      ::_exit(0);
    }
    ::close(ends[1]);
    char byte = 0;
    ready_ = ::read(ends[0], &byte, 1) == 1;
    ::close(ends[0]);
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess() { kill(); }

  bool ready() const { return ready_; }
  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
      pid_ = -1;
    }
  }

 private:
  pid_t pid_ = -1;
  bool ready_ = false;
};

}  // namespace firn::test
