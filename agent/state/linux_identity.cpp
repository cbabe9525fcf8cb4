#include "agent/state/linux_identity.h"

#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "repo/base/files.h"

namespace firn::state {
namespace {

/// A 128-bit id written as hex digits with or without dashes.
template <class Id>
Id read_id(const char* path) {
  Id id;
  auto text = base::read_file(path, 256);
  if (!text) {
    return id;
  }
  std::string digits(as_text(*text));
  std::erase_if(digits, [](char c) { return c == '-' || c == '\n'; });
  return Id::parse(digits).value_or(Id{});
}

/// Field 22 of /proc/<pid>/stat. The name in field 2 may hold anything, so fields are counted behind its ')'.
Result<std::uint64_t> start_ticks(const std::string& process) {
  const std::string path = "/proc/" + process + "/stat";
  FIRN_LET(const Bytes text, base::read_file(path, 4096));
  std::string_view fields = as_text(text);
  const auto malformed = [&] { return fail(ErrorCode::Corrupt, path + ": has another form than expected"); };
  const auto after_name = fields.rfind(')');
  if (after_name == std::string_view::npos) {
    return malformed();
  }
  fields.remove_prefix(after_name + 1);
  for (int field = 3; field < 22; ++field) {
    const auto space = fields.find(' ', 1);
    if (space == std::string_view::npos) {
      return malformed();
    }
    fields.remove_prefix(space);
  }
  std::uint64_t ticks = 0;
  std::from_chars(fields.data() + 1, fields.data() + fields.size(), ticks);
  return ticks;
}

}  // namespace

repo::ProcessIdentity process_identity(std::string node_name) {
  repo::ProcessIdentity identity;
  identity.machine = read_id<format::MachineId>("/etc/machine-id");
  identity.boot = read_id<format::BootId>("/proc/sys/kernel/random/boot_id");
  struct stat space {};
  if (::stat("/proc/self/ns/pid", &space) == 0) {
    identity.pid_namespace = space.st_ino;
  }
  identity.pid = static_cast<std::uint32_t>(::getpid());
  identity.process_start = start_ticks("self").value_or(0);
  struct utsname names {};
  if (::uname(&names) == 0) {
    identity.host = names.nodename;
  }
  identity.node = std::move(node_name);
  return identity;
}

bool process_is_gone(std::uint32_t pid, std::uint64_t start) {
  const auto self = start_ticks("self");
  if (!self || *self == 0 || start == 0) {
    return false;
  }
  const auto found = start_ticks(std::to_string(pid));
  return found ? *found != start : found.error().code == ErrorCode::NotFound;
}

}  // namespace firn::state
