#include "tests/support/syscall_faults.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace firn::test {
namespace {

std::atomic<bool> armed{false};
ArmedSyscalls::Plan plan_now;
std::uint64_t calls = 0;
bool has_fired = false;

enum class Verdict { Pass, Fail, FallShort, Pretend };

bool concerns(std::string_view only, std::string_view call) {
  while (!only.empty()) {
    const auto end = only.find('+');
    if (only.substr(0, end) == call) {
      return true;
    }
    only = end == std::string_view::npos ? std::string_view() : only.substr(end + 1);
  }
  return false;
}

Verdict judge(std::string_view call) {
  if (!armed.load() || (!plan_now.only.empty() && !concerns(plan_now.only, call))) {
    return Verdict::Pass;
  }
  const std::uint64_t index = calls++;
  const bool hit = index == plan_now.index || (plan_now.sticky && index > plan_now.index);
  if (!hit || plan_now.action == ArmedSyscalls::Action::Count) {
    return Verdict::Pass;
  }
  has_fired = true;
  if (plan_now.action == ArmedSyscalls::Action::Kill) {
    ::kill(::getpid(), SIGKILL);
  }
  if (plan_now.action == ArmedSyscalls::Action::FallShort) {
    return Verdict::FallShort;
  }
  if (plan_now.action == ArmedSyscalls::Action::Pretend) {
    return Verdict::Pretend;
  }
  errno = plan_now.errno_value;
  return Verdict::Fail;
}

/// The next definition of a function behind ours.
template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

ArmedSyscalls::ArmedSyscalls(const Plan& plan) {
  plan_now = plan;
  calls = 0;
  has_fired = false;
  armed = true;
}

ArmedSyscalls::~ArmedSyscalls() { armed = false; }

std::uint64_t ArmedSyscalls::count() const { return calls; }

bool ArmedSyscalls::fired() const { return has_fired; }

}  // namespace firn::test

using firn::test::judge;
using firn::test::Verdict;

extern "C" {

int openat64(int directory, const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  if (judge("openat") == Verdict::Fail) {
    return -1;
  }
  return static_cast<int>(::syscall(SYS_openat, directory, path, flags, mode));
}

ssize_t write(int fd, const void* bytes, size_t count) {
  const Verdict verdict = judge("write");
  if (verdict == Verdict::Fail) {
    return -1;
  }
  return ::syscall(SYS_write, fd, bytes, verdict == Verdict::FallShort ? (count + 1) / 2 : count);
}

ssize_t pread64(int fd, void* bytes, size_t count, off64_t offset) {
  const Verdict verdict = judge("pread");
  if (verdict == Verdict::Fail) {
    return -1;
  }
  return ::syscall(SYS_pread64, fd, bytes, verdict == Verdict::FallShort ? (count + 1) / 2 : count, offset);
}

int fsync(int fd) {
  switch (judge("fsync")) {
    case Verdict::Fail:
      return -1;
    case Verdict::Pretend:
      return 0;
    default:
      return static_cast<int>(::syscall(SYS_fsync, fd));
  }
}

int renameat(int from_directory, const char* from, int to_directory, const char* to) noexcept {
  return judge("renameat") == Verdict::Fail
             ? -1
             : static_cast<int>(::syscall(SYS_renameat2, from_directory, from, to_directory, to, 0));
}

int renameat2(int from_directory, const char* from, int to_directory, const char* to,
              unsigned flags) noexcept {
  return judge("renameat2") == Verdict::Fail
             ? -1
             : static_cast<int>(::syscall(SYS_renameat2, from_directory, from, to_directory, to, flags));
}

int linkat(int from_directory, const char* from, int to_directory, const char* to, int flags) noexcept {
  return judge("linkat") == Verdict::Fail
             ? -1
             : static_cast<int>(::syscall(SYS_linkat, from_directory, from, to_directory, to, flags));
}

int unlinkat(int directory, const char* path, int flags) noexcept {
  return judge("unlinkat") == Verdict::Fail
             ? -1
             : static_cast<int>(::syscall(SYS_unlinkat, directory, path, flags));
}

int mkdirat(int directory, const char* path, mode_t mode) noexcept {
  return judge("mkdirat") == Verdict::Fail ? -1
                                           : static_cast<int>(::syscall(SYS_mkdirat, directory, path, mode));
}

int fstat64(int fd, struct stat64* status) noexcept {
  static const auto real = firn::test::next<int (*)(int, struct stat64*)>("fstat64");
  return judge("fstat") == Verdict::Fail ? -1 : real(fd, status);
}

int fstatat64(int directory, const char* path, struct stat64* status, int flags) noexcept {
  static const auto real = firn::test::next<int (*)(int, const char*, struct stat64*, int)>("fstatat64");
  return judge("fstatat") == Verdict::Fail ? -1 : real(directory, path, status, flags);
}

dirent64* readdir64(DIR* directory) {
  static const auto real = firn::test::next<dirent64* (*)(DIR*)>("readdir64");
  return judge("readdir") == Verdict::Fail ? nullptr : real(directory);
}

}  // extern "C"
