// System calls of this process that fail, fall short, only pretend (fsync), or kill it, as told.
//
// A program that links this has its own openat, write, fsync, rename, link, unlink, mkdir, stat, pread and
// getdents (through readdir) in front of the C library's: all file calls that the local stores make. Outside
// an Armed scope they pass through. Threads: arm on one thread while no other makes such calls.
#pragma once

#include <cstdint>
#include <string_view>

namespace firn::test {

class ArmedSyscalls {
 public:
  enum class Action { Count, Fail, FallShort, Pretend, Kill };
  struct Plan {
    Action action = Action::Count;
    std::uint64_t index = 0;  // of the call, from 0, among those that `only` names
    int errno_value = 0;      // of Fail
    std::string_view only{};  // "fsync", or several: "renameat2+linkat"; empty = all of them
    bool sticky = false;      // this call and all that follow
  };
  explicit ArmedSyscalls(const Plan& plan);
  ArmedSyscalls(const ArmedSyscalls&) = delete;
  ArmedSyscalls& operator=(const ArmedSyscalls&) = delete;
  ~ArmedSyscalls();
  /// Calls so far.
  std::uint64_t count() const;
  /// Whether the planned call came.
  bool fired() const;
};

}  // namespace firn::test
