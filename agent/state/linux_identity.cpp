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

/// Field 22 of /proc/self/stat. The name in field 2 may hold anything, so fields are counted behind its ')'.
std::uint64_t process_start_ticks() {
  auto text = base::read_file("/proc/self/stat", 4096);
  if (!text) {
    return 0;
  }
  std::string_view fields = as_text(*text);
  const auto after_name = fields.rfind(')');
  if (after_name == std::string_view::npos) {
    return 0;
  }
  fields.remove_prefix(after_name + 1);
  for (int field = 3; field < 22; ++field) {
    const auto space = fields.find(' ', 1);
    if (space == std::string_view::npos) {
      return 0;
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
  identity.process_start = process_start_ticks();
  struct utsname names {};
  if (::uname(&names) == 0) {
    identity.host = names.nodename;
  }
  identity.node = std::move(node_name);
  return identity;
}

}  // namespace firn::state
