#include "agent/cli/host.h"

#include <unistd.h>

#include <array>

#include "agent/cli/globals.h"

namespace firn::cli {

std::string host_name(World& world) {
  if (auto name = setting(world.variable, "HOST")) {
    return *std::move(name);
  }
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == 0) {
    return "localhost";
  }
  return name.data();
}

std::string user_name_here(World& world) {
  const auto uid = ::geteuid();
  std::string name = world.source.user_name(uid);
  return name.empty() ? std::to_string(uid) : name;
}

}  // namespace firn::cli
