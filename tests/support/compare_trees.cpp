#include "tests/support/compare_trees.h"

#include <array>
#include <cstdio>

namespace firn::test {

std::string differences(const std::string& original, const std::string& copy) {
  const std::string command =
      "rsync -naiHAXS --numeric-ids --checksum --delete '" + original + "/' '" + copy + "/' 2>&1";
  std::string said;
  std::FILE* pipe = ::popen(command.c_str(), "re");
  if (pipe == nullptr) {
    return "rsync cannot be started";
  }
  std::array<char, 4096> buffer{};
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) {
    said += buffer.data();
  }
  const int status = ::pclose(pipe);
  return status == 0 ? said : said + "rsync failed";
}

}  // namespace firn::test
